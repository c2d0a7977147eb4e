"""A video's faces → numbers in files: JSON lines and NumPy arrays."""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from prnet.apps.records import plain_text
from prnet.apps.video import Tracked
from prnet.errors import OutputError
from prnet.files import aside_of, write_aside
from prnet.video.frames import Sound

FORMAT, VERSION = "prnet video", 1
CHUNK = 4096  # rows that are brought into the archive at a time
# a face of a frame in the archive; frames and units as in `Face`
ROW = np.dtype(
    [
        ("frame", np.int64),
        ("time_s", np.float64),
        ("id", np.int64),
        ("score", np.float32),
        ("box", np.float32, (4,)),
        ("yaw", np.float32),
        ("pitch", np.float32),
        ("roll", np.float32),
        ("scale", np.float32),
        ("rotation", np.float32, (3, 3)),
        ("translation", np.float32, (3,)),
        ("landmarks68", np.float32, (68, 3)),
    ]
)


class LinesSink:
    """Writes JSON lines, one a face and frame.

    Args:
        path: Of the file.
        video: The video's name, as the command line has it.
    """

    def __init__(self, path: Path, video: str) -> None:
        self._path, self._stack = path, ExitStack()
        self._shared = {"format": FORMAT, "version": VERSION, "file": plain_text(video)}
        self._lines: TextIO

    def take(self, item: Tracked | Sound) -> None:
        """Write the lines of a frame."""
        if isinstance(item, Sound):
            return
        height, width = item.rgb.shape[:2]
        for each in item.faces:
            line = {
                **self._shared,
                **{"width": width, "height": height},
                **{"frame": item.number, "time_s": round(item.time_s, 6), "id": each.id},
                **each.face.to_record(with_map=False),
            }
            try:
                self._lines.write(f"{json.dumps(line)}\n")
            except OSError as error:
                raise _failure(self._path, error) from error

    def __enter__(self) -> "LinesSink":
        """Open the file, aside."""
        try:
            aside = self._stack.enter_context(write_aside(self._path))
            self._lines = self._stack.enter_context(aside.open("w", encoding="utf-8"))
        except OSError as error:
            raise _failure(self._path, error) from error
        return self

    def __exit__(self, *details: Any) -> None:  # noqa: ANN401
        """Give the file its name; delete it after an error."""
        try:
            self._stack.__exit__(*details)
        except OSError as error:
            raise _failure(self._path, error) from error


class ArraysSink:
    """Writes one .npz archive of arrays, ROW's fields, a row a face and frame.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._rows_path = path, aside_of(path)
        self._rows: BinaryIO

    def take(self, item: Tracked | Sound) -> None:
        """Keep the rows of a frame, on disk."""
        if isinstance(item, Sound):
            return
        for each in item.faces:
            face, pose = each.face, each.face.pose
            row = np.array(
                (
                    *(item.number, item.time_s, each.id, face.score, face.box),
                    *(pose.yaw, pose.pitch, pose.roll, pose.scale),
                    *(pose.rotation, pose.translation, face.landmarks68),
                ),
                ROW,
            )
            try:
                self._rows.write(row.tobytes())
            except OSError as error:
                raise _failure(self._path, error) from error

    def __enter__(self) -> "ArraysSink":
        """Open the file of the rows."""
        try:
            self._rows = self._rows_path.open("wb")
        except OSError as error:
            raise _failure(self._path, error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Make the archive of the rows, unless there was an error."""
        try:
            self._rows.close()
            if kind is None:
                with write_aside(self._path) as aside:
                    self._archive(aside)
        except OSError as error:
            raise _failure(self._path, error) from error
        finally:
            self._rows_path.unlink(missing_ok=True)

    def _archive(self, path: Path) -> None:
        """Write one array after the other, a part at a time."""
        count = self._rows_path.stat().st_size // ROW.itemsize
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ROW.names or ():
                field = ROW[name]
                header = {
                    "descr": np.lib.format.dtype_to_descr(field.base),
                    "fortran_order": False,
                    "shape": (count, *field.shape),
                }
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array_header_2_0(stream, header)
                    for rows in self._read():
                        stream.write(np.ascontiguousarray(rows[name]).tobytes())

    def _read(self) -> Iterator[np.ndarray]:
        """The rows again, some at a time."""
        with self._rows_path.open("rb") as stream:
            while content := stream.read(CHUNK * ROW.itemsize):
                yield np.frombuffer(content, ROW)


def _failure(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """What went wrong, in words."""
    return OutputError(f"{path}: can't write this file ({error.strerror})")
