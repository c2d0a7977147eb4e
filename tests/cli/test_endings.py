"""How commands end: exit codes, signals, and streams that nobody reads."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SLOW_DISK = """
import sys, time
from pathlib import Path
from prnet.cli.main import main

def replace(self, target):
    print("writing", flush=True)
    time.sleep(60)

Path.replace = replace
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_sigterm_leaves_nothing_half_done(
    model_folder: Path, portrait: Path, out: Path, tmp_path: Path
) -> None:
    words = "reconstruct", portrait, "-o", out, "--jsonl", tmp_path / "a.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_DISK, *words, "--model", model_folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    assert list(out.glob(".*.partial")) and list(tmp_path.glob(".*.partial"))
    for _ in range(2):  # as coreutils' timeout does
        process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 143
    assert list(out.iterdir()) == [] and not list(tmp_path.glob(".*.partial"))


def test_sigterm_is_nobodys_once_a_command_is_done() -> None:
    from prnet.cli.terminal import orderly_sigterm

    with orderly_sigterm():
        within = signal.getsignal(signal.SIGTERM)
        with orderly_sigterm():  # it is handled already
            assert signal.getsignal(signal.SIGTERM) is within
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL != within
