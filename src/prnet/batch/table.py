"""What a batch writes: a Parquet file a shard, whole or absent, that says which photos it is of."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from prnet.errors import OutputError
from prnet.files import read_json, write_aside, write_files
from prnet.morphable.head_model import embedded_head

FORMAT = "prnet batch 1"
RUN_FILE = "_prnet-batch.json"  # readers of data sets leave out what begins so
SOURCES_KEY = b"prnet.sources"
ROWS, ROWS_WITH_VERTICES = 1000, 64  # of a row group, which is held in memory: 3 MB, 24 MB


def schema(vertices: int | None, files: Iterable[str]) -> pa.Schema:
    """The columns: a row for each face, and one with `error` for each photo that failed.

    Args:
        vertices: How many a face has, where they are wanted.
        files: Kinds of files beside the table: "mesh", "crop".
    """
    names = embedded_head().expression_names
    fields = [
        ("source", pa.string()),
        ("face", pa.int32()),  # 1, 2, … of its photo
        ("error", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("box", pa.list_(pa.float32(), 4)),  # x0 y0 x1 y1
        ("angle", pa.float32()),  # in the picture's plane, degrees
        ("score", pa.float32()),
        ("yaw", pa.float32()),
        ("pitch", pa.float32()),
        ("roll", pa.float32()),
        ("scale", pa.float32()),  # photo pixels per cm
        ("rotation", pa.list_(pa.float32(), 9)),
        ("translation", pa.list_(pa.float32(), 3)),
        ("landmarks68", pa.list_(pa.float32(), 204)),  # x y z of each, photo pixels
        ("expression", pa.struct([(name, pa.float32()) for name in names])),
        ("identity", pa.list_(pa.float32())),  # standard deviations of the head model's modes
    ]
    if vertices is not None:  # pose-free, cm: float16 is exact to 0.04 mm
        fields.append(("vertices", pa.list_(pa.float16(), 3 * vertices)))
    return pa.schema([*fields, *((each, pa.string()) for each in files)])


def part_name(sources: Sequence[str]) -> str:
    """A shard's file, named after its photos: done again, they replace it."""
    digest = hashlib.sha256("\0".join(sources).encode(errors="surrogateescape"))
    return f"part-{digest.hexdigest()[:20]}.parquet"


def write_part(
    folder: Path, sources: Sequence[str], rows: Iterable[Mapping[str, Any]], columns: pa.Schema
) -> None:
    """Write a shard's rows, as they come; all or nothing.

    Raises:
        OutputError: They can't be written.
    """
    own = columns.with_metadata({SOURCES_KEY: json.dumps(list(sources)).encode()})
    path = folder / part_name(sources)
    at_once = ROWS_WITH_VERTICES if "vertices" in columns.names else ROWS
    left = iter(rows)
    try:
        with (
            write_aside(path) as aside,
            parquet.ParquetWriter(aside, own, compression="zstd") as writer,
        ):
            while group := list(islice(left, at_once)):
                writer.write_table(pa.Table.from_pylist(group, own))
    except OSError as error:
        raise OutputError(f"{path}: can't write this part ({error.strerror or error})") from error


def done_sources(folder: Path) -> Iterator[str]:
    """The photos of all shards that are there."""
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            metadata = parquet.read_schema(path).metadata or {}
            yield from json.loads(metadata[SOURCES_KEY])
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise OutputError(f"{path}: not a part that prnet wrote ({error})") from error


def open_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin a data set, or go on with one that was begun with the same settings.

    Raises:
        OutputError: It was begun with others, the folder holds something else, or can't be
            written into.
    """
    path = folder / RUN_FILE
    record = {"format": FORMAT, **settings}
    if path.exists():
        try:
            begun = read_json(path)
        except (OSError, ValueError) as error:
            raise OutputError(f"{path}: can't be read ({error})") from error
        if begun != record:
            different = sorted(
                key for key in {*begun, *record} if begun.get(key) != record.get(key)
            )
            raise OutputError(
                f"{folder}: begun with other settings ({', '.join(different)}); name another folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: holds other files; a data set needs a folder of its own")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_partials(folder)
    except OSError as error:
        raise OutputError(f"{folder}: can't write into this folder ({error.strerror})") from error
    write_files({path: json.dumps(record, indent=1).encode()})


def remove_partials(folder: Path) -> None:
    """Delete what workers that were killed left; no other must be at work."""
    for left in folder.glob(".*.partial"):
        left.unlink(missing_ok=True)
