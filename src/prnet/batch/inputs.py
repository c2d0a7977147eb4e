"""Folders, globs, lists and Parquet files → the photos of a batch, each with a name of its own."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prnet.errors import ImageReadError, LabelError
from prnet.files import read_text

LISTS = (".txt", ".list")
PATH_COLUMNS, BYTES_COLUMNS, NAME_COLUMNS = ("path", "file", "uri"), ("bytes", "image"), ("name",)


@dataclass(frozen=True, slots=True)  # there may be millions
class Photo:
    """Where a photo is.

    Attributes:
        source: What it is called: its path or address, or `FILE#ROW` of a Parquet file.
        row_group: Where it lies as bytes in a Parquet file, if it does.
        row: In its row group.
        table: That Parquet file.
        column: The column of its bytes.
    """

    source: str
    table: str | None = None
    column: str | None = None
    row_group: int = 0
    row: int = 0


def find_photos(given: Iterable[str], expand: Any) -> list[Photo]:
    """All photos of a batch, in order, each once.

    Args:
        given: Each a photo, a folder, a glob, a list (a .txt with a path or address a line), a
            Parquet file with a column of paths (`path`, `file`, `uri`) or of bytes (`bytes`, or
            `image` as Hugging Face has it, and perhaps `name`), or an address such as s3://….
        expand: Path, recursive → the photos of a folder; raises ImageReadError for none.

    Raises:
        ImageReadError: There is nothing by a name.
        LabelError: A Parquet file without such a column, or no Parquet file.
    """
    photos: dict[str, Photo] = {}
    for name in given:
        for photo in _photos_of(name, expand):
            photos.setdefault(photo.source, photo)
    return list(photos.values())


def _photos_of(name: str, expand: Any) -> Iterator[Photo]:
    """The photos of one thing given."""
    path = Path(name)
    if is_address(name):
        yield Photo(name)
    elif path.suffix.lower() == ".parquet":
        yield from _of_table(path)
    elif path.suffix.lower() in LISTS:
        try:
            lines = read_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ImageReadError(f"{path}: can't read this list ({error})") from error
        for line in map(str.strip, lines):
            if line and not line.startswith("#"):
                here = is_address(line) or Path(line).is_absolute()
                yield Photo(line if here else str(path.parent / line))
    elif path.is_dir():
        yield from (Photo(str(each)) for each in expand(path, True))
    elif glob.has_magic(name) and not path.exists():
        found = sorted(filter(os.path.isfile, glob.glob(name, recursive=True)))  # noqa: PTH207
        if not found:
            raise ImageReadError(f"{name}: no file has such a name")
        yield from map(Photo, found)
    elif path.is_file():
        yield Photo(name)
    else:
        raise ImageReadError(f"{name}: no such file or folder")


def is_address(name: str) -> bool:
    """Whether a name is one of fsspec's, such as s3://bucket/photo.jpg."""
    return "://" in name


def _of_table(path: Path) -> Iterator[Photo]:
    """The photos that a Parquet file lists or holds."""
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        table = parquet.ParquetFile(path)
    except (OSError, ArrowException) as error:
        raise LabelError(f"{path}: not a Parquet file that can be read ({error})") from error
    with table:
        columns = table.schema_arrow.names
        paths = next((each for each in PATH_COLUMNS if each in columns), None)
        contents = next((each for each in BYTES_COLUMNS if each in columns), None)
        names = next((each for each in NAME_COLUMNS if each in columns), None)
        if contents is None and paths is None:
            wanted = ", ".join(PATH_COLUMNS + BYTES_COLUMNS)
            raise LabelError(f"{path}: has no column of paths or bytes ({wanted}), but {columns}")
        number = 0
        for group in range(table.num_row_groups):
            shown = [each for each in (names, paths if contents is None else None) if each]
            rows = table.read_row_group(group, columns=shown)
            for row in range(table.metadata.row_group(group).num_rows):
                if contents is None:
                    yield Photo(str(rows[paths][row]))
                else:
                    own = f"{path}#{number}" if names is None else str(rows[names][row])
                    yield Photo(own, str(path), contents, group, row)
                number += 1
