"""The command line, run in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from prnet.cli.main import main


class Outcome(NamedTuple):
    """What a command leaves with."""

    code: int
    stdout: str
    stderr: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process; a traceback is a failure of every test."""

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as left:
            main([str(each) for each in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Outcome(left.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def reconstruct(run: Run, model_folder: Path, tmp_path: Path) -> Run:
    """Runs `prnet reconstruct … --out tmp_path/out` with the stand-in network."""

    def reconstruct(*arguments: object) -> Outcome:
        out = () if {"--out", "-o"} & set(arguments) else ("--out", tmp_path / "out")
        return run("reconstruct", *arguments, "--model", model_folder, "--threads", 1, *out)

    return reconstruct


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
