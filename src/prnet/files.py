"""Files that are whole or absent: written aside, then given their names."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a name in the same folder to write to; the file takes its own once the block is done.

    The name is nobody else's, so several processes may write into one folder, even the same file.

    Raises:
        OSError: The file can't get its name; what was written aside is gone then, as after any
            other error.
    """
    aside = aside_of(path)
    try:
        yield aside
        aside.replace(path)
    finally:
        _remove(aside)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files aside, then give them their names in order: none is ever seen half written.

    Args:
        contents: What to write by path; a file that exists is replaced.

    Raises:
        OutputError: One of them can't be written; none is.
    """
    asides = {path: aside_of(path) for path in contents}
    path = next(iter(contents), None)
    try:
        for path, content in contents.items():
            if path.is_dir():
                raise IsADirectoryError(None, "a folder has this name")
            asides[path].write_bytes(content)
        for path, aside in asides.items():
            aside.replace(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        cause = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: can't write this file ({cause})") from error
    finally:
        for aside in asides.values():
            _remove(aside)


def aside_of(path: Path) -> Path:
    """A hidden, short and unused name beside a file's."""
    return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.partial")


def _remove(path: Path) -> None:
    """Delete a file if it is there and can be deleted."""
    try:
        path.unlink(missing_ok=True)
    except (OSError, ValueError):
        return


def encode_png(picture: NDArray[Any]) -> bytes:
    """Make a PNG file's bytes.

    Args:
        picture: (H, W) uint8 or uint16, or (H, W, 3) RGB or (H, W, 4) RGBA uint8.
    """
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    pixels = cv2.cvtColor(picture, codes[picture.shape[2]]) if picture.ndim == 3 else picture
    return bytes(cv2.imencode(".png", np.asarray(pixels))[1])
