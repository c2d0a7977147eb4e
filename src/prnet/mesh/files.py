"""Mesh → file: OBJ with MTL and PNG, PLY with vertex colors, or GLB."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError
from prnet.files import encode_png, side_name, write_files
from prnet.mesh.mesh import Mesh

JPEG_QUALITY = 95  # of textures; the photo was mostly a JPEG itself
# no lighting is to be added to the photo's own, so the color doesn't shine
MTL = "newmtl {name}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nNs 1\nmap_Kd {name}.png\n"


def write_mesh(path: str | os.PathLike[str], mesh: Mesh, lossless: bool = False) -> None:
    """Write a mesh in the form that the path's extension names.

    Vertices, their order and triangles are the mesh's own.

    Args:
        path: Ends in .glb (texture inside), .obj (beside it `side_name`.mtl and
            `side_name`_obj.png) or .ply (vertex colors).
        mesh: What to write.
        lossless: A GLB's texture is a PNG, four times as large and as slow as the JPEG of quality
            95 that it else is.

    Raises:
        OutputError: Another extension, or a file can't be written; then none is.
    """
    path = Path(path)
    contents_of = WRITERS.get(path.suffix.lower())
    if contents_of is None:
        raise OutputError(f"{path}: mesh files end in {', '.join(WRITERS)}, not {path.suffix!r}")
    write_files(contents_of(path, mesh, lossless))


def _obj(path: Path, mesh: Mesh, lossless: bool) -> dict[Path, bytes]:  # noqa: ARG001
    """The three files of an OBJ, itself last."""
    name = side_name(path.stem)
    material = f"{name}_obj"  # also the picture's name; NAME.png is too often a photo
    u, v = mesh.uv.T
    uv_up = np.stack([u, 1 - v], axis=1)  # v from the picture's lower edge
    corners = [f"{number}/{number}" for number in range(1, len(mesh.vertices) + 1)]
    fields = [corners[vertex] for vertex in mesh.triangles.ravel().tolist()]
    text = "".join(
        [
            f"mtllib {name}.mtl\nusemtl {material}\n",
            _lines("v %.7f %.7f %.7f\n", mesh.vertices),
            _lines("vt %.7f %.7f\n", uv_up),
            "f %s %s %s\n" * len(mesh.triangles) % tuple(fields),
        ]
    )
    return {
        path.with_name(f"{material}.png"): encode_png(mesh.texture),
        path.with_name(f"{name}.mtl"): MTL.format(name=material).encode(),
        path: text.encode(),
    }


def _lines(form: str, rows: NDArray[np.float32]) -> str:
    """Each row's numbers in this form; at one go, which is quicker than row by row."""
    return form * len(rows) % tuple(rows.ravel().tolist())


def _ply(path: Path, mesh: Mesh, lossless: bool) -> dict[Path, bytes]:  # noqa: ARG001
    """A binary PLY."""
    from trimesh import Trimesh  # slow to import
    from trimesh.exchange.ply import export_ply
    from trimesh.visual import ColorVisuals

    opaque = np.full((len(mesh.vertices), 1), 255, np.uint8)
    colors = ColorVisuals(vertex_colors=np.hstack([mesh.colors, opaque]))
    own = Trimesh(
        mesh.vertices, mesh.triangles, vertex_normals=mesh.normals, visual=colors, process=False
    )
    return {path: export_ply(own, encoding="binary", vertex_normal=True)}


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
