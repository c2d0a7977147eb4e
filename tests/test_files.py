from pathlib import Path

import cv2
import numpy as np
import pytest

from prnet.errors import OutputError
from prnet.files import encode_png, write_files


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
