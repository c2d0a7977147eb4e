"""Mesh → file: OBJ with MTL and PNG, PLY with vertex colors, or GLB."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError
from prnet.files import encode_jpeg, encode_png, side_name, write_files
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
    triangles = zip(*mesh.triangles.T.tolist(), strict=True)
    text = "".join(
        [
            f"mtllib {name}.mtl\nusemtl {material}\n",
            _lines("v %.7f %.7f %.7f\n", mesh.vertices),
            _lines("vt %.7f %.7f\n", uv_up),
            *[f"f {corners[a]} {corners[b]} {corners[c]}\n" for a, b, c in triangles],
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
    import pygltflib as gltf  # slow to import

    if lossless:
        picture, mime = encode_png(mesh.texture), "image/png"
    else:
        picture, mime = encode_jpeg(mesh.texture, JPEG_QUALITY, sharp_colors=True), "image/jpeg"
    vertices = mesh.vertices
    planes = np.ascontiguousarray(vertices.T)
    parts = [
        (mesh.triangles.astype(np.uint32).tobytes(), gltf.ELEMENT_ARRAY_BUFFER),
        (vertices.tobytes(), gltf.ARRAY_BUFFER),
        (mesh.normals.tobytes(), gltf.ARRAY_BUFFER),
        (mesh.uv.tobytes(), gltf.ARRAY_BUFFER),
        (picture, None),
    ]
    ends = np.cumsum([len(content) for content, _ in parts]).tolist()
    tree = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator="prnet"),
        scene=0,
        scenes=[gltf.Scene(nodes=[0])],
        nodes=[gltf.Node(name="face", mesh=0)],
        meshes=[
            gltf.Mesh(
                name="face",
                primitives=[
                    gltf.Primitive(
                        attributes=gltf.Attributes(POSITION=1, NORMAL=2, TEXCOORD_0=3),
                        indices=0,
                        material=0,
                    )
                ],
            )
        ],
        materials=[
            gltf.Material(
                name="face",
                pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                    baseColorTexture=gltf.TextureInfo(index=0),
                    metallicFactor=0.0,
                    roughnessFactor=1.0,
                ),
                doubleSided=True,
                alphaMode=None,
                alphaCutoff=None,
            )
        ],
        textures=[gltf.Texture(source=0)],
        images=[gltf.Image(bufferView=4, mimeType=mime)],
        accessors=[
            gltf.Accessor(
                bufferView=view,
                componentType=gltf.UNSIGNED_INT if view == 0 else gltf.FLOAT,
                count=count,
                type=kind,
                min=planes.min(1).tolist() if view == 1 else None,
                max=planes.max(1).tolist() if view == 1 else None,
            )
            for view, (count, kind) in enumerate(
                [
                    (mesh.triangles.size, gltf.SCALAR),
                    (len(vertices), gltf.VEC3),
                    (len(vertices), gltf.VEC3),
                    (len(vertices), gltf.VEC2),
                ]
            )
        ],
        bufferViews=[
            gltf.BufferView(
                buffer=0, byteOffset=end - len(content), byteLength=len(content), target=target
            )
            for (content, target), end in zip(parts, ends, strict=True)
        ],
        buffers=[gltf.Buffer(byteLength=ends[-1])],
    )
    tree.set_binary_blob(b"".join(content for content, _ in parts))  # it pads the end itself
    return {path: b"".join(tree.save_to_bytes())}


# extension → what makes the files' contents, by path; a new format is one function and one line
WRITERS: dict[str, Callable[[Path, Mesh, bool], dict[Path, bytes]]] = {
    ".glb": _glb,
    ".obj": _obj,
    ".ply": _ply,
}
