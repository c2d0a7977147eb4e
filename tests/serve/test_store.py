import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from prnet.errors import OutputError
from prnet.serve import store as module
from prnet.serve.store import MARKER, PREFIX, RECORD, Store, remove_leftovers

FILES = {RECORD: b"{}", "face1.glb": b"x" * 98}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def opened(folder: Path | None, most_bytes: int = 250, seconds: float = 60, **how: bool) -> Store:
    store = Store(folder, most_bytes, seconds, **how)
    store.open()
    return store


def put(store: Store, files: dict[str, bytes] = FILES) -> str:
    own = store.new_id()
    store.put(own, files)
    return own


def test_what_is_put_is_found_until_the_end(folder: Path) -> None:
    store = opened(folder)
    own = put(store)
    path = store.find(own, "face1.glb")
    assert path is not None and path.read_bytes() == FILES["face1.glb"]
    assert store.size == 100
    assert store.find(own, "face2.glb") is None
    assert store.find(f"../{own}", "face1.glb") is None
    assert store.find(store.new_id(), RECORD) is None
    store.close()
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_only_its_owner_reads_it(folder: Path) -> None:
    store = opened(folder)
    own = put(store)
    assert folder.stat().st_mode & 0o077 == (folder / own).stat().st_mode & 0o077 == 0
    store.close()


def test_the_oldest_make_room(folder: Path) -> None:
    store = opened(folder)
    first, second, third = (put(store) for _ in range(3))
    assert store.find(first, RECORD) is None
    assert store.find(second, RECORD) and store.find(third, RECORD)
    with pytest.raises(OutputError, match="ask for fewer"):
        put(store, FILES | {"face2.glb": b"x" * 200})
    assert store.size == 200
    store.close()


def test_results_expire(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    store = opened(folder, seconds=60)
    own = put(store)
    now = 1059
    assert store.find(own, RECORD)
    now = 1061
    assert store.find(own, RECORD) is None
    assert not (folder / own).exists()
    store.close()


def test_a_store_is_one_services(folder: Path) -> None:
    store = opened(folder)
    with pytest.raises(OutputError, match="in use by another"):
        opened(folder)
    store.close()


@pytest.mark.parametrize("name", ["thesis.doc", "A" * 31, "." + "A" * 31])
def test_nothing_foreign_is_touched(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).mkdir()
    for _ in range(2):
        with pytest.raises(OutputError, match="not a store"):
            opened(folder)
    (folder / MARKER).touch()
    with pytest.raises(OutputError, match="move it away"):
        opened(folder)
    assert (folder / name).is_dir()


def test_what_is_kept_is_taken_up(folder: Path) -> None:
    store = opened(folder, keep=True)
    own = put(store)
    store.close()
    (folder / f".{store.new_id()}").mkdir()  # half written
    (folder / store.new_id()).mkdir()  # without its record
    again = opened(folder, keep=True)
    assert again.find(own, "face1.glb")
    assert {path.name for path in folder.iterdir()} == {MARKER, own}
    again.close()
    bare = opened(folder)
    assert bare.find(own, RECORD) is None and not (folder / own).exists()
    bare.close()


@pytest.mark.parametrize(
    "names", [{"face1.glb"}, {RECORD, "../x"}, {RECORD, ".x"}, {RECORD, "a/b"}]
)
def test_names_are_plain(folder: Path, names: set[str]) -> None:
    store = opened(folder)
    with pytest.raises(ValueError, match="plain"):
        put(store, dict.fromkeys(names, b""))
    store.close()


def test_a_killed_services_store_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os, tempfile; from prnet.serve.store import Store\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "store = Store(None, 999, 60); store.open()\n"
        f"store.put(store.new_id(), {FILES!r}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    (left,) = tmp_path.glob(f"{PREFIX}*")
    assert len(list(left.iterdir())) == 2
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path)
    living = opened(None)
    assert {path.name for path in tmp_path.iterdir()} == {living.folder.name, f"{PREFIX}link"}
    remove_leftovers(tmp_path)
    assert living.folder.is_dir()
    living.close()
    assert not living.folder.exists()
