"""How commands end: exit codes, signals, and streams that nobody reads."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]  # see conftest.py: gives (code, stdout, stderr)

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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PHOTO", ("reconstruct", "", "-o", "out")),
        ("PHOTO", ("reconstruct", "a.jpg", "", "-o", "out")),
        ("--out", ("reconstruct", "a.jpg", "-o", "")),
        ("--jsonl", ("reconstruct", "a.jpg", "-o", "out", "--jsonl=")),
        ("--model", ("reconstruct", "a.jpg", "-o", "out", "--model", "")),
        ("--out", ("demo", "-o", "")),
        ("PHOTO", ("head", "", "-o", "a.glb")),
        ("PHOTO", ("fuse", "", "-o", "a.glb")),
        ("VIDEO", ("video", "", "-o", "a.mp4")),
        ("--glb", ("video", "a.mp4", "--glb", "")),
        ("--out", ("webcam", "-o", "")),
        ("--out", ("align", "a.jpg", "-o", "")),
        ("--out", ("view", "a.jpg", "-o", "")),
        ("TARGET", ("swap", "a.jpg", "", "-o", "a.png")),
        ("INPUT", ("batch", "", "-o", "a")),
        ("PHOTO", ("bench", "")),
        ("--static-export", ("serve", "--static-export", "")),
        ("--landmarks", ("data", "wrap", "a.obj", "--landmarks", "", "--out", "a.npz")),
        ("PATH", ("evaluate", "aflw2000", "")),
    ],
)
def test_empty_names_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    outcome = run(*words)
    assert outcome.code == 2
    (line,) = [each for each in outcome.stderr.splitlines() if "must not be empty" in each]
    assert f"'{name}" in line
    assert list(tmp_path.iterdir()) == []
