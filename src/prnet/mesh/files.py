"""Face → textured mesh file: OBJ with MTL and PNG, PLY with vertex colours, or GLB."""

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
from prnet.face import Face
from prnet.files import write_files
from prnet.geometry.surface import vertex_normals
from prnet.uv.atlas import MAP_SIZE
from prnet.uv.position_map import flip_y

TEXTURE_SIZES = (256, 2048)  # texels a side, least and most
SHARPEST_SHARE = 90  # per cent of the surface that the texture must show as sharply as the photo
CM_PER_METRE = 100
WHITE, BLACK = [255, 255, 255, 255], [0, 0, 0, 255]


def write_mesh(path: str | os.PathLike[str], face: Face) -> None:
    """Write a face's mesh in the form that the path's extension names.

    Frame of the file: metres, x right in the photo, y up, z toward the viewer, origin at the mean
    of the vertices; the head is turned as in the photo, and as large as the canonical face.
    Vertices, their order and triangles are the face's own. Skin that the photo doesn't show has a
    likely colour.

    Args:
        path: Ends in .glb (texture inside), .obj (with a .mtl and a .png of the same stem beside
            it) or .ply (vertex colours).
        face: The face.

    Raises:
        OutputError: Another extension, or a file can't be written; then none is.
    """
    path = Path(path)
    contents_of = WRITERS.get(path.suffix.lower())
    if contents_of is None:
        raise OutputError(f"{path}: mesh files end in {', '.join(WRITERS)}, not {path.suffix!r}")
    write_files(contents_of(path, face))


def metric_vertices(face: Face) -> NDArray[np.float32]:
    """The vertices as in a mesh file: (V, 3) float32, metres, y up, centred."""
    centred = face.vertices.astype(np.float64) - face.vertices.mean(0, dtype=np.float64)
    return flip_y(centred / (face.pose.scale * CM_PER_METRE)).astype(np.float32)


def _obj(path: Path, face: Face) -> dict[Path, bytes]:
    """The three files of an OBJ, itself last."""
    # no lighting is to be added to the photo's own, so the colour doesn't shine
    material = SimpleMaterial(
        image=_picture(face), name=path.stem, diffuse=WHITE, ambient=WHITE, specular=BLACK
    )
    text, others = export_obj(
        _mesh(face, TextureVisuals(_uv_up(face), material=material)),
        include_normals=False,
        return_texture=True,
        mtl_name=f"{path.stem}.mtl",
        header=None,
    )
    files = {path.with_name(name): content for name, content in others.items()}
    files[path.with_suffix(".mtl")] += b"\n"  # some readers drop a last line without it
    return {**files, path: text.encode()}


def _ply(path: Path, face: Face) -> dict[Path, bytes]:
    """A binary PLY."""
    texture = face.texture(MAP_SIZE, complete=True)
    colours = texture.reshape(-1, 4)[face.atlas.vertex_index]
    mesh = _mesh(face, ColorVisuals(vertex_colors=colours))
    return {path: export_ply(mesh, encoding="binary", vertex_normal=True)}


def _glb(path: Path, face: Face) -> dict[Path, bytes]:
    """A GLB with its texture inside."""
    material = PBRMaterial(
        name="face",
        baseColorTexture=_picture(face),
        metallicFactor=0.0,
        roughnessFactor=1.0,
        doubleSided=True,
    )
    mesh = _mesh(face, TextureVisuals(_uv_up(face), material=material))
    scene = trimesh.Scene()
    scene.add_geometry(mesh, geom_name="face", node_name="face")
    return {path: export_glb(scene, include_normals=True)}


WRITERS: dict[str, Callable[[Path, Face], dict[Path, bytes]]] = {
    ".glb": _glb,
    ".obj": _obj,
    ".ply": _ply,
}


def _mesh(face: Face, visual: TextureVisuals | ColorVisuals) -> trimesh.Trimesh:
    """The face for trimesh, which is to leave it as it is."""
    vertices = metric_vertices(face)
    return trimesh.Trimesh(
        vertices,
        face.triangles,
        vertex_normals=vertex_normals(vertices, face.triangles),
        visual=visual,
        process=False,
    )


def _uv_up(face: Face) -> NDArray[np.float32]:
    """(V, 2) float32, v up from the texture's lower edge, as OBJ and trimesh have it."""
    u, v = face.atlas.vertices_uv.T
    return np.stack([u, 1 - v], axis=1)


def _picture(face: Face) -> Image.Image:
    """The completed texture, as fine as the photo makes worth while."""
    corners = face.vertices[face.triangles[face.visibility[face.triangles].all(1)], :2]
    sharpest = 0.0
    if len(corners):
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
        sharpest = float(np.percentile(edges.min(1), SHARPEST_SHARE))  # pixels per step of the map
    wanted = 2.0 ** np.ceil(np.log2(max(MAP_SIZE * sharpest, 1)))
    size = int(np.clip(wanted, *TEXTURE_SIZES))
    return Image.fromarray(np.ascontiguousarray(face.texture(size, complete=True)[..., :3]))
