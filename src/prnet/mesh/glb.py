"""A GLB file, put together piece by piece."""

import json
import struct
from typing import Any

import numpy as np
import pygltflib as gltf
from numpy.typing import NDArray

from prnet.files import encode_jpeg, encode_png
from prnet.geometry.boxes import bounds
from prnet.mesh.own import GENERATOR

UNLIT = "KHR_materials_unlit"


class GlbFile:
    """A GLB that is being put together: one scene, one buffer."""

    def __init__(self) -> None:
        self._file = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator=GENERATOR),
            scene=0,
            scenes=[gltf.Scene(nodes=[])],
        )
        self._parts: list[bytes | memoryview] = []
        self._length = 0

    def to_bytes(self) -> bytes:
        """The file."""
        self._file.buffers = [gltf.Buffer(byteLength=self._length)]
        text = json.dumps(_plain(self._file), separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + self._length
        header = struct.pack("<4sII", b"glTF", 2, size)
        head, body = (
            struct.pack("<I4s", length, kind)
            for length, kind in ((len(text), b"JSON"), (self._length, b"BIN\0"))
        )
        return b"".join([header, head, text, body, *self._parts])

    def add_mesh(
        self,
        name: str,
        primitives: list[gltf.Primitive],
        matrix: NDArray[np.floating] | None = None,
        **more: Any,  # noqa: ANN401
    ) -> None:
        """Add a mesh and its node, with its (4, 4) matrix; `more` is the mesh's in glTF's words."""
        self._file.meshes.append(gltf.Mesh(name=name, primitives=primitives, **more))
        self.add_node(gltf.Node(name=name, mesh=len(self._file.meshes) - 1), matrix)

    def add_node(self, node: gltf.Node, matrix: NDArray[np.floating] | None = None) -> None:
        """Add a node to the scene, with its (4, 4) matrix."""
        if matrix is not None:
            node.matrix = np.asarray(matrix, np.float64).T.ravel().tolist()
        self._file.nodes.append(node)
        self._file.scenes[0].nodes.append(len(self._file.nodes) - 1)

    def primitive(
        self,
        vertices: NDArray[np.float32],
        normals: NDArray[np.float32],
        uv: NDArray[np.float32] | None,
        triangles: NDArray[np.integer],
        material: int,
    ) -> gltf.Primitive:
        """Triangles of one material.

        Args:
            vertices: (V, 3) float32, metres, y up.
            normals: (V, 3) float32 of length 1.
            uv: (V, 2) float32 in [0, 1], u right, v down; None without a texture.
            triangles: (T, 3) int, counter-clockwise seen from outside.
            material: Its index.
        """
        attributes = gltf.Attributes(
            POSITION=self._vectors(vertices), NORMAL=self._vectors(normals, bounded=False)
        )
        if uv is not None:
            attributes.TEXCOORD_0 = self._vectors(uv, bounded=False)
        indices = self._indices(triangles, len(vertices))
        return gltf.Primitive(attributes=attributes, indices=indices, material=material)

    def material(
        self,
        name: str,
        color: NDArray[np.uint8] | tuple[float, float, float],
        *,
        quality: int | None,
        roughness: float = 1.0,
        is_unlit: bool = False,
        is_thin: bool = False,
        shows_back: bool = False,
    ) -> int:
        """Add a material; gives its index.

        Args:
            name: Of the material.
            color: (S, T, 3 or 4) uint8 RGB(A), a texture; or an RGB color in [0, 1], linear.
            quality: Of a texture's JPEG; None for a PNG, which one with alpha is in any case.
            roughness: From a mirror's 0 to chalk's 1.
            is_unlit: Whether the color shows as it is.
            is_thin: Whether the texture's alpha counts.
            shows_back: Whether the triangles show from behind, too.
        """
        look = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=roughness)
        if isinstance(color, tuple):
            look.baseColorFactor = [*color, 1.0]
        else:
            look.baseColorTexture = gltf.TextureInfo(index=self._texture(color, quality))
        material = gltf.Material(name=name, pbrMetallicRoughness=look, alphaCutoff=None)
        material.doubleSided = shows_back
        if is_thin:
            material.alphaMode = "BLEND"
        if is_unlit:
            material.extensions = {UNLIT: {}}
            self._file.extensionsUsed = [UNLIT]
        self._file.materials.append(material)
        return len(self._file.materials) - 1

    def _texture(self, picture: NDArray[np.uint8], quality: int | None) -> int:
        """The index of a new texture."""
        if quality is None or picture.shape[2] == 4:
            content, kind = encode_png(picture), "image/png"
        else:
            content, kind = encode_jpeg(picture, quality), "image/jpeg"
        self._file.images.append(gltf.Image(bufferView=self._view(content), mimeType=kind))
        if not self._file.samplers:
            self._file.samplers.append(
                gltf.Sampler(
                    magFilter=gltf.LINEAR,
                    minFilter=gltf.LINEAR_MIPMAP_LINEAR,
                    wrapS=gltf.CLAMP_TO_EDGE,
                    wrapT=gltf.CLAMP_TO_EDGE,
                )
            )
        self._file.textures.append(gltf.Texture(sampler=0, source=len(self._file.images) - 1))
        return len(self._file.textures) - 1

    def _view(self, content: bytes | memoryview, target: int | None = None) -> int:
        """The index of a new buffer view; the content isn't copied."""
        self._file.bufferViews.append(
            gltf.BufferView(
                buffer=0, byteOffset=self._length, byteLength=len(content), target=target
            )
        )
        padding = -len(content) % 4
        self._parts += [content, b"\0" * padding]
        self._length += len(content) + padding
        return len(self._file.bufferViews) - 1

    def _accessor(self, accessor: gltf.Accessor) -> int:
        """Its index."""
        self._file.accessors.append(accessor)
        return len(self._file.accessors) - 1

    def _vectors(self, values: NDArray[np.float32], bounded: bool = True) -> int:
        """The index of an accessor of (N, 2 or 3) float32; positions need bounds."""
        values = np.ascontiguousarray(values, "<f4")
        accessor = gltf.Accessor(
            bufferView=self._view(_bytes(values), gltf.ARRAY_BUFFER),
            componentType=gltf.FLOAT,
            count=len(values),
            type=f"VEC{values.shape[1]}",
        )
        if bounded:
            accessor.min, accessor.max = (each.tolist() for each in bounds(values))
        return self._accessor(accessor)

    def _indices(self, triangles: NDArray[np.integer], vertices: int) -> int:
        """The index of an accessor of triangles of so many vertices."""
        is_short = vertices <= 0xFFFF  # the largest number of each kind is reserved
        values = np.ascontiguousarray(triangles, "<u2" if is_short else "<u4").ravel()
        return self._accessor(
            gltf.Accessor(
                bufferView=self._view(_bytes(values), gltf.ELEMENT_ARRAY_BUFFER),
                componentType=gltf.UNSIGNED_SHORT if is_short else gltf.UNSIGNED_INT,
                count=len(values),
                type="SCALAR",
            )
        )


def _bytes(values: NDArray[np.generic]) -> memoryview:
    """What lies in a contiguous array's memory, not copied."""
    return values.ravel().view(np.uint8).data


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A glTF object as JSON has it; the library's own way takes ten times as long."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not hasattr(value, "__dict__"):
        return value
    parts = {name: part for name, part in vars(value).items() if name[0] != "_"}
    return {name: _plain(part) for name, part in parts.items() if part not in (None, [], {})}
