"""A head → a GLB file with materials and named morph targets."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pygltflib as gltf
from numpy.typing import NDArray

from prnet.files import encode_jpeg, encode_png

JPEG_QUALITY = 92
LEAST_MOVE_M = 5e-5  # vertices that a target moves by less, and turns less, don't move
LEAST_TURN = 0.02  # difference of normals


@dataclass(frozen=True, eq=False)
class Surface:
    """What has one material.

    Attributes:
        name: Of the material.
        vertices: (N,) int64, rows of the head's vertices, one for each row here.
        uv: (N, 2) float32 in [0, 1], u right, v down.
        triangles: (T, 3) int, indices of these rows.
        texture: (S, S, 3 or 4) uint8 RGB(A), or an RGB color in [0, 1], linear.
        roughness: From a mirror's 0 to chalk's 1.
        is_thin: Whether the texture's alpha counts, and both sides show.
    """

    name: str
    vertices: NDArray[np.int64]
    uv: NDArray[np.float32]
    triangles: NDArray[np.integer]
    texture: NDArray[np.uint8] | tuple[float, float, float]
    roughness: float
    is_thin: bool = False


@dataclass(frozen=True, eq=False)
class MorphMesh:
    """A mesh of several surfaces that move together.

    Attributes:
        name: Of the mesh and its node.
        vertices: (V, 3) float32, metres.
        normals: (V, 3) float32.
        moves: (E, V, 3) float32, metres at a weight of 1.
        turns: (E, V, 3) float32, differences of the normals.
        target_names: E names.
        weights: E numbers in [0, 1].
        surfaces: What is drawn.
        matrix: (4, 4) float, of its node; None for one.
    """

    name: str
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    moves: NDArray[np.float32]
    turns: NDArray[np.float32]
    target_names: Sequence[str]
    weights: Sequence[float]
    surfaces: Sequence[Surface]
    matrix: NDArray[np.floating] | None = None


class GlbFile:
    """A GLB that is being put together."""

    def __init__(self) -> None:
        self._file = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator="prnet"),
            scene=0,
            scenes=[gltf.Scene(nodes=[])],
        )
        self._parts: list[bytes] = []
        self._length = 0
        self._nothing: dict[int, int] = {}  # accessors of zeros by their length

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

    def add_mesh(self, mesh: MorphMesh) -> None:
        """Add a mesh and its node."""
        primitives = []
        for surface in mesh.surfaces:
            attributes = gltf.Attributes(
                POSITION=self._vectors(mesh.vertices[surface.vertices]),
                NORMAL=self._vectors(mesh.normals[surface.vertices], bounded=False),
            )
            if not isinstance(surface.texture, tuple):
                attributes.TEXCOORD_0 = self._vectors(surface.uv, bounded=False)
            moves, turns = mesh.moves[:, surface.vertices], mesh.turns[:, surface.vertices]
            primitives.append(
                gltf.Primitive(
                    attributes=attributes,
                    indices=self._indices(surface.triangles),
                    material=self._material(surface),
                    targets=[
                        {
                            "POSITION": self._sparse(move, changed),
                            "NORMAL": self._sparse(turn, changed),
                        }
                        for move, turn, changed in zip(
                            moves, turns, _changed(moves, turns), strict=True
                        )
                    ],
                )
            )
        weights = [round(float(weight), 4) for weight in mesh.weights]
        extras = {"targetNames": list(mesh.target_names)}
        self._file.meshes.append(
            gltf.Mesh(name=mesh.name, primitives=primitives, weights=weights, extras=extras)
        )
        node = gltf.Node(name=mesh.name, mesh=len(self._file.meshes) - 1)
        self.add_node(node, mesh.matrix)

    def add_node(self, node: gltf.Node, matrix: NDArray[np.floating] | None = None) -> None:
        """Add a node to the scene, with its (4, 4) matrix."""
        if matrix is not None:
            node.matrix = np.asarray(matrix, np.float64).T.ravel().tolist()
        self._file.nodes.append(node)
        self._file.scenes[0].nodes.append(len(self._file.nodes) - 1)

    def animate(
        self, name: str, times_s: NDArray[np.floating], **moving: NDArray[np.floating]
    ) -> None:
        """Let a node change in time, linear between T moments.

        Args:
            name: Of the node; one that turns or moves has no matrix.
            times_s: (T,) ascending, seconds, none below 0.
            moving: By glTF's paths: `weights` (T, E) in [0, 1] of the mesh's targets, `translation`
                (T, 3) metres, `rotation` (T, 4) unit quaternions x y z w, neighbours on one side.
        """
        node = [each.name for each in self._file.nodes].index(name)
        times = self._numbers(times_s[:, None], bounded=True)
        animation = gltf.Animation(name="performance")
        for path, values in moving.items():
            target = gltf.AnimationChannelTarget(node=node, path=path)
            place = len(animation.samplers)
            animation.channels.append(gltf.AnimationChannel(sampler=place, target=target))
            output = self._numbers(values.reshape(-1, 1) if path == "weights" else values)
            animation.samplers.append(
                gltf.AnimationSampler(input=times, output=output, interpolation="LINEAR")
            )
        self._file.animations.append(animation)

    def add_lens(self, field_deg: float, aspect: float) -> None:
        """Add a camera at the origin that looks along −z.

        Args:
            field_deg: How much it sees from top to bottom, degrees.
            aspect: Width over height of its picture.
        """
        lens = gltf.Perspective(yfov=float(np.radians(field_deg)), aspectRatio=aspect, znear=0.01)
        self._file.cameras.append(gltf.Camera(name="view", type="perspective", perspective=lens))
        self.add_node(gltf.Node(name="view", camera=len(self._file.cameras) - 1))

    def add_view(self, photo: NDArray[np.uint8], pixel_m: float, depth_m: float) -> None:
        """Add an orthographic camera that sees just the photo, and the photo behind all else.

        The camera looks along −z at the origin, the photo's middle.

        Args:
            photo: (H, W, 3) uint8 RGB.
            pixel_m: Metres a pixel.
            depth_m: How far before and behind the origin camera and photo are.
        """
        height, width = photo.shape[:2]
        x, y = width * pixel_m / 2, height * pixel_m / 2
        corners = np.array([[-x, y, 0], [-x, -y, 0], [x, -y, 0], [x, y, 0]], np.float32)
        uv = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32)
        attributes = gltf.Attributes(
            POSITION=self._vectors(corners),
            NORMAL=self._vectors(np.array([[0, 0, 1]] * 4, np.float32), bounded=False),
            TEXCOORD_0=self._vectors(uv, bounded=False),
        )
        material = gltf.Material(
            name="photo",
            pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                baseColorTexture=gltf.TextureInfo(index=self._texture(photo)),
                metallicFactor=0.0,
                roughnessFactor=1.0,
            ),
            extensions={"KHR_materials_unlit": {}},
        )
        self._file.extensionsUsed = ["KHR_materials_unlit"]
        self._file.materials.append(material)
        triangles = np.array([[0, 1, 2], [0, 2, 3]])
        primitive = gltf.Primitive(
            attributes=attributes,
            indices=self._indices(triangles),
            material=len(self._file.materials) - 1,
        )
        self._file.meshes.append(gltf.Mesh(name="photo", primitives=[primitive]))
        behind = np.eye(4)
        behind[2, 3] = -depth_m
        self.add_node(gltf.Node(name="photo", mesh=len(self._file.meshes) - 1), behind)
        lens = gltf.Orthographic(xmag=x, ymag=y, znear=depth_m / 100, zfar=3 * depth_m)
        self._file.cameras.append(gltf.Camera(name="view", type="orthographic", orthographic=lens))
        before = np.eye(4)
        before[2, 3] = depth_m
        self.add_node(gltf.Node(name="view", camera=len(self._file.cameras) - 1), before)

    def _material(self, surface: Surface) -> int:
        """The index of a new material."""
        look = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=surface.roughness)
        if isinstance(surface.texture, tuple):
            look.baseColorFactor = [*surface.texture, 1.0]
        else:
            look.baseColorTexture = gltf.TextureInfo(index=self._texture(surface.texture))
        material = gltf.Material(name=surface.name, pbrMetallicRoughness=look, alphaCutoff=None)
        if surface.is_thin:
            material.alphaMode, material.doubleSided = "BLEND", True
        self._file.materials.append(material)
        return len(self._file.materials) - 1

    def _texture(self, picture: NDArray[np.uint8]) -> int:
        """The index of a new texture: JPEG, or PNG where there is alpha."""
        if picture.shape[2] == 4:
            content, kind = encode_png(picture), "image/png"
        else:
            content, kind = encode_jpeg(picture, JPEG_QUALITY), "image/jpeg"
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

    def _view(self, content: bytes, target: int | None = None) -> int:
        """The index of a new buffer view."""
        self._file.bufferViews.append(
            gltf.BufferView(
                buffer=0, byteOffset=self._length, byteLength=len(content), target=target
            )
        )
        padded = content + b"\0" * (-len(content) % 4)
        self._parts.append(padded)
        self._length += len(padded)
        return len(self._file.bufferViews) - 1

    def _accessor(self, accessor: gltf.Accessor) -> int:
        """Its index."""
        self._file.accessors.append(accessor)
        return len(self._file.accessors) - 1

    def _vectors(self, values: NDArray[np.float32], bounded: bool = True) -> int:
        """The index of an accessor of (N, 2 or 3) float32; positions need bounds."""
        values = np.ascontiguousarray(values, "<f4")
        accessor = gltf.Accessor(
            bufferView=self._view(values.tobytes(), gltf.ARRAY_BUFFER),
            componentType=gltf.FLOAT,
            count=len(values),
            type=f"VEC{values.shape[1]}",
        )
        if bounded:
            accessor.min, accessor.max = values.min(0).tolist(), values.max(0).tolist()
        return self._accessor(accessor)

    def _numbers(self, values: NDArray[np.floating], bounded: bool = False) -> int:
        """The index of an accessor of (N, 1, 3 or 4) float32 that belong to no vertices."""
        kinds = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
        content = np.ascontiguousarray(values, "<f4")
        accessor = gltf.Accessor(
            bufferView=self._view(content.tobytes()),
            componentType=gltf.FLOAT,
            count=len(content),
            type=kinds[content.shape[1]],
        )
        if bounded:
            accessor.min, accessor.max = content.min(0).tolist(), content.max(0).tolist()
        return self._accessor(accessor)

    def _indices(self, triangles: NDArray[np.integer]) -> int:
        """The index of an accessor of triangles."""
        values = np.ascontiguousarray(triangles, "<u2").ravel()
        view = self._view(values.tobytes(), gltf.ELEMENT_ARRAY_BUFFER)
        return self._accessor(
            gltf.Accessor(
                bufferView=view, componentType=gltf.UNSIGNED_SHORT, count=len(values), type="SCALAR"
            )
        )

    def _sparse(self, values: NDArray[np.float32], changed: NDArray[np.bool_]) -> int:
        """The index of an accessor of (N, 3) float32 that are zero but for some."""
        count = len(values)
        rows = np.flatnonzero(changed)
        accessor = gltf.Accessor(
            byteOffset=None, componentType=gltf.FLOAT, count=count, type="VEC3"
        )
        kept = np.ascontiguousarray(values[rows], "<f4")
        bounds = kept if len(rows) == count else np.concatenate([kept, np.zeros((1, 3), "<f4")])
        accessor.min, accessor.max = bounds.min(0).tolist(), bounds.max(0).tolist()
        if not len(rows):
            if count not in self._nothing:
                self._nothing[count] = self._accessor(accessor)
            return self._nothing[count]
        accessor.sparse = gltf.Sparse(
            count=len(rows),
            indices=gltf.AccessorSparseIndices(
                bufferView=self._view(rows.astype("<u2").tobytes()),
                componentType=gltf.UNSIGNED_SHORT,
            ),
            values=gltf.AccessorSparseValues(bufferView=self._view(kept.tobytes())),
        )
        return self._accessor(accessor)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A glTF object as JSON has it; the library's own way takes ten times as long."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not hasattr(value, "__dict__"):
        return value
    parts = {name: part for name, part in vars(value).items() if name[0] != "_"}
    return {name: _plain(part) for name, part in parts.items() if part not in (None, [], {})}


def _changed(moves: NDArray[np.float32], turns: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(E, N): which vertices a target changes."""
    x, y, z = np.moveaxis((np.abs(moves) > LEAST_MOVE_M) | (np.abs(turns) > LEAST_TURN), 2, 0)
    return x | y | z
