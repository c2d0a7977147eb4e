"""`<name>.json`: what prnet found in a photo, and which files it wrote of it.

Its JSON Schema is `SCHEMA_FILE`; a line of `--jsonl` is that schema's `$defs/line`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prnet import __version__
from prnet.files import ascii_name, read_json

SCHEMA_FILE = "assets/faces.schema.json"  # inside the package
FORMAT, VERSION = "prnet faces", 2
UNITS = {
    "box": "px",
    "landmarks68": "px",
    "pose.yaw": "deg",
    "pose.pitch": "deg",
    "pose.roll": "deg",
    "pose.scale": "px/cm",
    "pose.translation": "px",
    "depth_range": "px",
    "position_map": "px",
    "mesh": "m",
}
FRAMES = {
    "photo": "x right, y down, pixel centres at integers, z toward the viewer, 0 at the mean of "
    "the face's vertices: box, landmarks68, depth_range, position_map",
    "pose": "takes the canonical face (cm, x to the subject's left, y up, z out of the face) to "
    "the photo with y up: scale * rotation @ point + translation; angles as in 300W-LP",
    "mesh": "x right, y up, z toward the viewer, origin at the mean of the vertices",
}


def make_record(
    photo: Mapping[str, str | None],
    shape_hw: tuple[int, int],
    faces: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Begin the record of a photo; its files and what else there is to say are for others to add.

    Args:
        photo: Which it is: `file`, `path` and `sha256`, see `prnet.apps.inputs.identity_of`.
        shape_hw: Its height and width.
        faces: `Face.to_record` of each, with the names of its files as `files`.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "generator": f"prnet {__version__}",
        "units": UNITS,
        "frames": FRAMES,
        **photo,
        "width": shape_hw[1],
        "height": shape_hw[0],
        "faces": list(faces),
        "files": {},
        "written": [],
    }


def load_record(path: Path) -> dict[str, Any] | None:
    """Read a record; None if there is no file or it isn't one of prnet's."""
    record = load_object(path, FORMAT)
    return record if record is not None and isinstance(record.get("written"), list) else None


def load_object(path: Path, form: str) -> dict[str, Any] | None:
    """Read a JSON object whose `format` is this; None if there is no file or it isn't one."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("format") == form else None


def own_files(path: Path, record: Mapping[str, Any] | None) -> set[str]:
    """The names of the files that belong to a record, in its folder; none that it may not name."""
    names = [] if record is None else record["written"]
    return {
        name
        for name in names
        if isinstance(name, str)
        and Path(name).name == name
        and name.startswith((path.stem, ascii_name(path.stem)))
    }


def files_of_prnet(folder: Path) -> set[str]:
    """The names of all files of a folder that its records say prnet wrote."""
    return {name for path in folder.glob("*.json") for name in own_files(path, load_record(path))}


def lines_of(record: Mapping[str, Any]) -> Iterator[str]:
    """A record as JSON lines, one a face; none for a photo without a face."""
    shared = {name: record[name] for name in ("format", "version", "file", "width", "height")}
    for number, face in enumerate(record["faces"], 1):
        yield json.dumps({**shared, "face": number, **face})


def plain_text(name: str) -> str:
    """A file's name as text that is UTF-8; other bytes as a backslash, x and two hex digits."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
