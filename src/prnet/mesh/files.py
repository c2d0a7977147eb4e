"""Mesh → file: OBJ with MTL and PNG, PLY with vertex colors, or GLB."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.exchange.gltf import export_glb
from trimesh.exchange.obj import export_obj
from trimesh.exchange.ply import export_ply
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from prnet.errors import OutputError
from prnet.files import side_name, write_files
from prnet.mesh.mesh import Mesh

WHITE, BLACK = [255, 255, 255, 255], [0, 0, 0, 255]


def write_mesh(path: str | os.PathLike[str], mesh: Mesh) -> None:
    """Write a mesh in the form that the path's extension names.

    Vertices, their order and triangles are the mesh's own.

    Args:
        path: Ends in .glb (texture inside), .obj (beside it `side_name`.mtl and
            `side_name`_obj.png) or .ply (vertex colors).
        mesh: What to write.

    Raises:
        OutputError: Another extension, or a file can't be written; then none is.
    """
    path = Path(path)
    contents_of = WRITERS.get(path.suffix.lower())
    if contents_of is None:
        raise OutputError(f"{path}: mesh files end in {', '.join(WRITERS)}, not {path.suffix!r}")
    write_files(contents_of(path, mesh))


def _obj(path: Path, mesh: Mesh) -> dict[Path, bytes]:
    """The three files of an OBJ, itself last."""
    name = side_name(path.stem)
    # no lighting is to be added to the photo's own, so the color doesn't shine
    material = SimpleMaterial(
        image=Image.fromarray(mesh.texture),
        name=f"{name}_obj",  # also that of the picture; NAME.png is too often a photo
        diffuse=WHITE,
        ambient=WHITE,
        specular=BLACK,
    )
    text, others = export_obj(
        _for_trimesh(mesh, TextureVisuals(_uv_up(mesh), material=material)),
        include_normals=False,
        return_texture=True,
        mtl_name=f"{name}.mtl",
        header=None,
    )
    files = {path.with_name(each): content for each, content in others.items()}
    files[path.with_name(f"{name}.mtl")] += b"\n"  # some readers drop a last line without it
    return {**files, path: text.encode()}


def _ply(path: Path, mesh: Mesh) -> dict[Path, bytes]:
    """A binary PLY."""
    opaque = np.full((len(mesh.vertices), 1), 255, np.uint8)
    colors = ColorVisuals(vertex_colors=np.hstack([mesh.colors, opaque]))
    content = export_ply(_for_trimesh(mesh, colors), encoding="binary", vertex_normal=True)
    return {path: content}


def _glb(path: Path, mesh: Mesh) -> dict[Path, bytes]:
    """A GLB with its texture inside."""
    material = PBRMaterial(
        name="face",
        baseColorTexture=Image.fromarray(mesh.texture),
        metallicFactor=0.0,
        roughnessFactor=1.0,
        doubleSided=True,
    )
    visual = TextureVisuals(_uv_up(mesh), material=material)
    scene = trimesh.Scene()
    scene.add_geometry(_for_trimesh(mesh, visual), geom_name="face", node_name="face")
    return {path: export_glb(scene, include_normals=True)}


# extension → what makes the files' contents, by path; a new format is one function and one line
WRITERS: dict[str, Callable[[Path, Mesh], dict[Path, bytes]]] = {
    ".glb": _glb,
    ".obj": _obj,
    ".ply": _ply,
}


def _for_trimesh(mesh: Mesh, visual: TextureVisuals | ColorVisuals) -> trimesh.Trimesh:
    """The mesh for trimesh, which is to leave it as it is."""
    return trimesh.Trimesh(
        mesh.vertices, mesh.triangles, vertex_normals=mesh.normals, visual=visual, process=False
    )


def _uv_up(mesh: Mesh) -> NDArray[np.float32]:
    """(V, 2) float32, v up from the texture's lower edge, as OBJ and trimesh have it."""
    u, v = mesh.uv.T
    return np.stack([u, 1 - v], axis=1)
