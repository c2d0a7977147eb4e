"""Mesh → file: OBJ with MTL and PNG, PLY with vertex colors, or GLB."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError
from prnet.files import encode_png, write_files
from prnet.mesh.mesh import Mesh
from prnet.mesh.own import PLY_COMMENT, check_sides, side_paths

DECIMALS = 7  # of an OBJ's numbers
JPEG_QUALITY = 95  # of textures; the photo was mostly a JPEG itself
PLY_PROPERTIES = "nx", "ny", "nz", "red", "green", "blue"
# no lighting is to be added to the photo's own, so the color doesn't shine
MTL = "newmtl {name}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nNs 1\nmap_Kd {name}.png\n"


def write_mesh(path: str | os.PathLike[str], mesh: Mesh, lossless: bool = False) -> None:
    """Write a mesh in the form that the path's extension names.

    Vertices, their order and triangles are the mesh's own.

    Args:
        path: Ends in .glb (texture inside), .obj (beside it `side_name`.mtl and
            `side_name`_obj.png) or .ply (vertex colors).
        mesh: What to write.
        lossless: A GLB's texture is a PNG, several times as large and as slow as the JPEG of
            quality 95 that it else is.

    Raises:
        OutputError: Another extension, a file of someone else's has the name of one that goes with
            an OBJ, or a file can't be written; then none is.
    """
    path = Path(path)
    contents_of = WRITERS.get(path.suffix.lower())
    if contents_of is None:
        raise OutputError(f"{path}: mesh files end in {', '.join(WRITERS)}, not {path.suffix!r}")
    check_sides(path)
    write_files(contents_of(path, mesh, lossless))


def _obj(path: Path, mesh: Mesh, lossless: bool) -> dict[Path, bytes]:  # noqa: ARG001
    """The three files of an OBJ, itself last."""
    library, picture = side_paths(path)
    material = picture.stem
    u, v = mesh.uv.T
    uv_up = np.stack([u, 1 - v], axis=1)  # v from the picture's lower edge
    corners = _corners(len(mesh.vertices))
    text = b"".join(
        [
            f"mtllib {library.name}\nusemtl {material}\n".encode(),
            _lines("v", _digits(mesh.vertices, DECIMALS)),
            _lines("vt", _digits(uv_up, DECIMALS)),
            _lines("f", corners.take(mesh.triangles).view(np.uint8)),
        ]
    )
    return {
        picture: encode_png(mesh.texture),
        library: MTL.format(name=material).encode(),
        path: text,
    }


def _lines(word: str, fields: NDArray[np.uint8]) -> bytes:
    """Lines of a word and fields (L, …) of ASCII each; zeros are left out."""
    count, width = len(fields), math.prod(fields.shape[1:])
    begin, end = (
        np.tile(np.frombuffer(part, np.uint8), (count, 1)) for part in (word.encode(), b"\n")
    )
    rows = np.hstack([begin, fields.reshape(count, width), end])
    return rows.tobytes().translate(None, b"\0")


def _corners(vertices: int) -> NDArray[np.void]:
    """What a triangle's line says of each of so many vertices, one item each: " 1/1" and so on."""
    number = _digits(np.arange(1, vertices + 1), 0)
    again = number.copy()
    again[:, 0] = ord("/")
    both = np.hstack([number, again])
    return both.view(f"V{both.shape[1]}")[:, 0]


def _digits(values: NDArray[np.generic], decimals: int) -> NDArray[np.uint8]:
    """Numbers (…,) in ASCII, (…, W), with a space before them and zeros for what isn't needed.

    NumPy does this many times as fast as Python formats numbers.
    """
    scaled = np.rint(np.asarray(values, np.float64) * 10**decimals)
    most = int(np.abs(scaled).max(initial=0))
    left = np.abs(scaled).astype(np.min_scalar_type(most))
    count = max(len(str(most)), decimals + 1)
    is_negative = scaled < 0
    begin = 1 + is_negative.any()
    digits = np.zeros((begin + count + bool(decimals), *left.shape), np.uint8)
    digits[1:begin] = np.where(is_negative, ord("-"), 0)
    digits[0] = ord(" ")
    place = len(digits) - 1
    for power in range(count):
        if decimals and power == decimals:
            digits[place] = ord(".")
            place -= 1
        rest = left // 10
        digit = left - 10 * rest + ord("0")
        digits[place] = digit if power <= decimals else np.where(left > 0, digit, 0)
        left, place = rest, place - 1
    return np.ascontiguousarray(np.moveaxis(digits, 0, -1))


def _ply(path: Path, mesh: Mesh, lossless: bool) -> dict[Path, bytes]:  # noqa: ARG001
    """A binary PLY."""
    from trimesh import Trimesh  # slow to import
    from trimesh.exchange.ply import export_ply

    # as properties of the vertices by PLY's own names: trimesh's normals and colors are hashed
    # again and again, which takes as long as the rest
    properties = dict(zip(PLY_PROPERTIES, (*mesh.normals.T, *mesh.colors.T), strict=True))
    own = Trimesh(mesh.vertices, mesh.triangles, vertex_attributes=properties, process=False)
    content = export_ply(own, encoding="binary", vertex_normal=False)
    return {path: content.replace(b" 1.0\n", b" 1.0" + PLY_COMMENT, 1)}


def _glb(path: Path, mesh: Mesh, lossless: bool) -> dict[Path, bytes]:
    """A GLB with its texture inside."""
    from prnet.mesh.glb import GlbFile  # slow to import

    file = GlbFile()
    quality = None if lossless else JPEG_QUALITY
    material = file.material("face", mesh.texture, quality=quality, shows_back=True)
    skin = file.primitive(mesh.vertices, mesh.normals, mesh.uv, mesh.triangles, material)
    file.add_mesh("face", [skin])
    return {path: file.to_bytes()}


# extension → what makes the files' contents, by path; a new format is one function and one line
WRITERS: dict[str, Callable[[Path, Mesh, bool], dict[Path, bytes]]] = {
    ".glb": _glb,
    ".obj": _obj,
    ".ply": _ply,
}
TEXTURED = ".glb", ".obj"  # the others hold the texture's colors at the vertices alone


def is_textured(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name holds a mesh's texture."""
    return Path(path).suffix.lower() in TEXTURED
