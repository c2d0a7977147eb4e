"""Mesh files that prnet wrote, told from others, which it doesn't write over."""

import json
import struct
from pathlib import Path

from prnet.errors import OutputError
from prnet.files import side_name

GENERATOR = "prnet"  # of a GLB's asset
PLY_COMMENT = b"\ncomment prnet\n"


def check_sides(path: Path) -> None:
    """Refuse a mesh's path beside which someone else's files have the names of its own.

    Raises:
        OutputError: There is such a file.
    """
    for each in side_paths(path):
        if each.exists() and not is_own_mesh(path):
            raise OutputError(
                f"{each}: is there, and prnet didn't write it; {path.name} needs that name"
            )


def side_paths(path: Path) -> tuple[Path, ...]:
    """The files that go with a mesh file: an OBJ's material and its texture; none of others."""
    if path.suffix.lower() != ".obj":
        return ()
    name = side_name(path.stem)
    # NAME.png is too often a photo
    return path.with_name(f"{name}.mtl"), path.with_name(f"{name}_obj.png")


def is_own_mesh(path: Path) -> bool:
    """Whether a file is a GLB, OBJ or PLY as prnet writes them; False if it can't be read."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with path.open("rb") as file:
            start = file.read(1024)
            if path.suffix.lower() == ".glb":
                (length,) = struct.unpack("<I", start[12:16])
                file.seek(20)
                return bool(json.loads(file.read(length))["asset"]["generator"] == GENERATOR)
    except (OSError, ValueError, LookupError, TypeError, struct.error):
        return False
    if path.suffix.lower() == ".ply":
        return start.startswith(b"ply\n") and PLY_COMMENT in start
    sides = side_paths(path)
    return bool(sides) and start.startswith(
        f"mtllib {sides[0].name}\nusemtl {sides[1].stem}\n".encode()
    )
