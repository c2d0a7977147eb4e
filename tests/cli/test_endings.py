"""How commands end: exit codes, signals, and streams that nobody reads."""

import errno
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prnet import files

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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use(run: Run, host: str) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run("serve", "--host", host, "--port", port)
    assert outcome.code == 2
    assert outcome.stderr == (
        f"prnet: can't listen at port {port} of {host}: it is in use; give another --port, or "
        "--port 0 for any free one\n"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_no_machine(run: Run, host: str) -> None:
    pytest.importorskip("uvicorn")
    outcome = run("serve", "--host", host, "--port", 0)
    message = f"can't listen at port 0 of {host}: --host must be an address of this machine"
    assert outcome.code == 2 and message in outcome.stderr.splitlines()[-1]


def test_a_topology_that_is_none_is_wrong_usage(
    reconstruct: Run, portrait: Path, out: Path
) -> None:
    missing = portrait.with_name("nofile.obj")
    for file, cause in ((missing, "no such file"), (portrait, "can't read this file")):
        outcome = reconstruct(portrait, "--topology", file)
        assert outcome.code == 2 and f"prnet: {file}: {cause}" in outcome.stderr
    assert not out.exists()


def test_a_full_disk_is_no_wrong_usage(
    run: Run, model_folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.Path, "write_bytes", write)
    outcome = run("demo", "-o", out, "--model", model_folder)
    assert outcome.code == 1 and "can't write this file (No space left" in outcome.stderr


def shell(line: str) -> tuple[int, str]:
    """The exit code and stderr of a line of a shell, in which `prnet` is this one's."""
    prnet = f"{shlex.quote(sys.executable)} -m prnet"
    words = ["bash", "-c", f'prnet() {{ {prnet} "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}']
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    "words",
    [
        "-h",
        "reconstruct -h",
        "--version",
        pytest.param("bench --runs 1", marks=pytest.mark.weights),
    ],
)
def test_who_has_read_enough(words: str) -> None:
    assert shell(f"prnet {words} | true") == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_lines_that_a_full_disk_does_not_take(
    model_folder: Path, portrait: Path, out: Path
) -> None:
    words = f"{portrait} -o {out} --model {model_folder}"
    message = "prnet: standard output can't be written (No space left on device)\n"
    assert shell(f"prnet reconstruct {words} > /dev/full") == (1, message)
    assert (out / "portrait.glb").exists()
