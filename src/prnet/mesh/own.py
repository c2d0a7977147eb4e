"""Mesh files that prnet wrote, told from others, which it doesn't write over."""

import json
import struct
from collections.abc import Iterable
from pathlib import Path

from prnet.errors import OutputError
from prnet.files import side_name

GENERATOR = "prnet"  # of a GLB's asset


def check_mesh_path(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a mesh file's path before any work is done.

    Args:
        path: Where it is to be written.
        inputs: Files that are read, and so may not be written.

    Raises:
        OutputError: It, or a file that goes with it, is an input, or is there and prnet didn't
            write it.
    """
    taken = {each.resolve() for each in inputs}
    for each in (path, *side_paths(path)):
        if each.resolve() in taken:
            raise OutputError(f"{each}: is an input; name another file")
    if path.exists() and not is_own_mesh(path):
        raise OutputError(f"{path}: is there, and prnet didn't write it; name another file")
    check_sides(path)


def check_sides(path: Path) -> None:
    """Refuse a mesh's path beside which someone else's files have the names of its own.

    Raises:
        OutputError: There is such a file.
    """
    if not is_own_mesh(path):
        for each in side_paths(path):
            if each.exists():
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
        return (
            start.startswith(b"ply\n") and b"\ncomment https://github.com/mikedh/trimesh\n" in start
        )
    sides = side_paths(path)
    return bool(sides) and start.startswith(
        f"mtllib {sides[0].name}\nusemtl {sides[1].stem}\n".encode()
    )
