"""Folders as they come: with parts that can't be listed, and pictures that can't be read."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]  # see conftest.py: gives (code, stdout, stderr)


@pytest.fixture
def tree(portrait: Path, tmp_path: Path) -> Path:
    """Photos in a folder and its folders."""
    for name in ("a.png", "locked/b.png", "open/c.png"):
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portrait, tmp_path / "m" / name)
    return tmp_path / "m"


@pytest.fixture
def locked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One of them that this process can't list."""
    folder = tree / "locked"
    listed = Path.iterdir

    def iterdir(self: Path) -> Iterator[Path]:
        if self == folder:  # root may list any folder
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    folder.chmod(0)
    yield folder
    folder.chmod(0o755)


@pytest.mark.parametrize("command", ["reconstruct", "align"])
def test_one_that_cannot_be_listed_stops_no_other(
    run: Run, tree: Path, locked: Path, model_folder: Path, out: Path, command: str
) -> None:
    outcome = run(command, tree, "-r", "-o", out, "--model", model_folder)
    message = f"prnet: {locked}: can't list this folder (Permission denied)\n"
    assert (outcome.code, outcome.stderr) == (1, message)
    assert {path.stem for path in out.glob("*.json")} in ({"a", "c"}, {"a_aligned", "c_aligned"})
    outcome = run(command, locked, tree, "-o", out, "--model", model_folder)
    assert (outcome.code, outcome.stderr) == (1, message)
    assert f"{tree / 'a.png'}: 1 face" in outcome.stdout


def test_fuse_says_the_same(
    run: Run, tree: Path, locked: Path, model_folder: Path, tmp_path: Path
) -> None:
    (tree / "d.heic").touch()
    outcome = run("fuse", locked, tree, "-o", tmp_path / "a.glb", "--model", model_folder)
    assert outcome.code == 1 and (tmp_path / "a.glb").exists()
    cannot, left_out, *_ = outcome.stderr.splitlines()
    assert cannot == f"prnet: {locked}: can't list this folder (Permission denied)"
    assert left_out.startswith(f"prnet: {tree}: 1 file of a kind")


def test_a_batch_goes_on_too(
    run: Run, tree: Path, locked: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Ray, which is too large for here: up to where it is handed the photos."""
    pytest.importorskip("pyarrow")
    from prnet.batch.run import Outcome

    given: list[str] = []

    def run_batch(photos: list[Any], *_: object, **__: object) -> object:
        given.extend(photo.source for photo in photos)
        return Outcome(len(photos), 0, 0, 0)

    monkeypatch.setattr("prnet.cli.batch.need_extra", lambda _: None)
    monkeypatch.setattr("prnet.batch.run.run_batch", run_batch)
    outcome = run("batch", tree, "-o", out)
    assert outcome.code == 1 and f"{locked}: can't list this folder" in outcome.stderr
    assert given == [str(tree / "a.png"), str(tree / "open" / "c.png")]
    given.clear()
    assert run("batch", locked, "-o", out).code == 1 and given == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read any file")
def test_a_photo_that_cannot_be_reached_stops_no_other(
    reconstruct: Run, tree: Path, locked: Path
) -> None:
    outcome = reconstruct(locked / "b.png", tree / "a.png")
    assert outcome.code == 1 and "a.png: 1 face" in outcome.stdout
    assert f"{locked / 'b.png'}: not readable, check its permissions" in outcome.stderr


def test_pictures_of_other_kinds_are_mentioned(reconstruct: Run, tree: Path) -> None:
    (tree / "notes.txt").touch()
    (tree / "d.heic").touch()
    kinds = "that prnet can't read left out"
    outcome = reconstruct(tree)
    assert outcome.code == 0
    assert outcome.stderr == f"prnet: {tree}: 1 file of a kind {kinds} (.heic)\n"
    for name in ("e.heic", "open/f.AVIF"):
        (tree / name).touch()
    outcome = reconstruct(tree, "-r")
    assert outcome.code == 0
    assert outcome.stderr == f"prnet: {tree}: 3 files of kinds {kinds} (.avif .heic)\n"
    assert reconstruct(tree, "-r", "-q") == (0, "", "")
