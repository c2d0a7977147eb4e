"""Files that are whole or absent, written aside, then named; text and JSON in any encoding."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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


def make_folder(folder: Path) -> None:
    """Make a folder for results if it is missing, and see that it can be written into.

    Raises:
        OutputError: It can't.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except FileExistsError as error:
        raise OutputError(f"{folder}: is a file, not a folder") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        cause = getattr(error, "strerror", None) or error
        raise OutputError(f"{folder}: can't write into this folder ({cause})") from error


def aside_of(path: Path) -> Path:
    """A hidden, short and unused name beside a file's."""
    return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.partial")


def _remove(path: Path) -> None:
    """Delete a file if it is there and can be deleted."""
    try:
        path.unlink(missing_ok=True)
    except (OSError, ValueError):
        return


def reserve(path: Path) -> None:
    """Have the disk keep room for all of a file, where the system can.

    Raises:
        OutputError: There is no room.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            size = path.stat().st_size
            if size > shutil.disk_usage(path).free:  # else some would fill the disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with path.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, size)
        except OSError as error:
            raise OutputError(f"{path}: no room for this file ({error.strerror})") from error


def ascii_name(stem: str) -> str:
    """A name with underscores for all but ASCII letters, digits, dots, hyphens, underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem)


def side_name(stem: str) -> str:
    """What the files beside an OBJ are called: a name that every reader of OBJ files takes.

    That is the OBJ's own stem if it is an `ascii_name`; else that with the stem's hash behind it.
    """
    name = ascii_name(stem)
    return name if name == stem else f"{name}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder; let go when the process ends.

    Where folders can't be locked (Windows, some network disks) nobody is kept out.
    """
    handle = None
    if fcntl is not None:
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file in UTF-8, UTF-16 or UTF-32, with a byte order mark or without.

    Without one the first two characters must be ASCII, as those of JSON and TOML are.

    Raises:
        OSError: It can't be read.
        UnicodeDecodeError: Another encoding.
    """
    content = Path(path).read_bytes()
    return content.decode(json.detect_encoding(content))


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file, in any encoding that `read_text` knows.

    Raises:
        OSError: It can't be read.
        ValueError: Not JSON, or nested too deeply.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode_jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Make a JPEG file's bytes; color is kept half as finely as light.

    Args:
        picture: (H, W, 3) RGB uint8.
        quality: From 0 to 100.
    """
    how = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), how)[1])


def encode_png(picture: NDArray[Any]) -> bytes:
    """Make a PNG file's bytes.

    Args:
        picture: (H, W) uint8 or uint16, or (H, W, 3) RGB or (H, W, 4) RGBA uint8.
    """
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    pixels = cv2.cvtColor(picture, codes[picture.shape[2]]) if picture.ndim == 3 else picture
    return bytes(cv2.imencode(".png", np.asarray(pixels))[1])
