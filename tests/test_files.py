import codecs
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from prnet.errors import OutputError
from prnet.files import encode_png, locked, read_json, read_text, reserve, write_files


def test_writes_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    write_files({tmp_path / "a": b"new", tmp_path / "b": b""})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new", "b": b""}


def test_a_file_is_replaced_not_rewritten(tmp_path: Path) -> None:
    """Whoever has the old file open, here by a second name, keeps it whole."""
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    write_files({tmp_path / "a": b"new"})
    assert (tmp_path / "b").read_bytes() == b"old"


def test_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError, match=r"b: can't write this file"):
        write_files({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["missing/a", "file/a", "nul\0l", "a" * 300])
def test_what_can_t_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't write this file"):
        write_files({tmp_path / name: b"x"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_png_keeps_colours_and_depth() -> None:
    rng = np.random.default_rng(0)
    color = rng.integers(0, 256, (5, 4, 3), np.uint8)
    clear = rng.integers(0, 256, (5, 4, 4), np.uint8)
    deep = rng.integers(0, 65536, (5, 4), np.uint16)

    def back(content: bytes) -> np.ndarray:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)

    np.testing.assert_array_equal(back(encode_png(color)), color[..., ::-1])
    np.testing.assert_array_equal(back(encode_png(clear)), clear[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(back(encode_png(deep)), deep)


@pytest.mark.parametrize(
    "content",
    [
        '["é", 1]'.encode(),
        codecs.BOM_UTF8 + '["é", 1]'.encode(),
        '["é", 1]'.encode("utf-16"),
        codecs.BOM_UTF16_BE + '["é", 1]'.encode("utf-16-be"),
        '["é", 1]'.encode("utf-16-le"),
        '["é", 1]'.encode("utf-32"),
    ],
)
def test_text_as_windows_writes_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_text(tmp_path / "a") == '["é", 1]'
    assert read_json(tmp_path / "a") == ["é", 1]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'"\xe9"', b"[" * 100_000])
def test_json_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_json(tmp_path / "a")


def test_room_is_kept_or_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system can't keep room")
    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.truncate(1 << 20)
    reserve(path)
    assert path.stat().st_blocks * 512 >= 1 << 20
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 19))
    with pytest.raises(OutputError, match="a: no room for this file"):
        reserve(path)


def test_a_locked_folder_waits_for_its_holder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    context = multiprocessing.get_context("spawn")
    taken = context.Event()
    other = context.Process(target=_hold, args=(tmp_path, taken))
    other.start()
    assert taken.wait(60)
    with locked(tmp_path):
        assert (tmp_path / "done").exists()
    other.join()


def test_what_cannot_be_locked_is_not(tmp_path: Path) -> None:
    with locked(tmp_path / "missing"):
        pass


def _hold(folder: Path, taken) -> None:  # type: ignore[no-untyped-def]
    with locked(folder):
        taken.set()
        time.sleep(0.3)
        (folder / "done").touch()
