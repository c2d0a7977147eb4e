"""A head → a GLB file with materials and named morph targets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pygltflib as gltf
from numpy.typing import NDArray

from prnet.mesh.glb import GlbFile

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


class HeadFile(GlbFile):
    """A GLB of heads that is being put together."""

    def __init__(self) -> None:
        super().__init__()
        self._nothing: dict[int, int] = {}  # accessors of zeros by their length

    def add_head(self, mesh: MorphMesh) -> None:
        """Add a head and its node."""
        primitives = []
        for surface in mesh.surfaces:
            rows = surface.vertices
            material = self.material(
                surface.name,
                surface.texture,
                quality=JPEG_QUALITY,
                roughness=surface.roughness,
                is_thin=surface.is_thin,
                shows_back=surface.is_thin,
            )
            uv = None if isinstance(surface.texture, tuple) else surface.uv
            vertices, normals = mesh.vertices[rows], mesh.normals[rows]
            primitive = self.primitive(vertices, normals, uv, surface.triangles, material)
            moves, turns = mesh.moves[:, rows], mesh.turns[:, rows]
            primitive.targets = [
                {"POSITION": self._sparse(move, changed), "NORMAL": self._sparse(turn, changed)}
                for move, turn, changed in zip(moves, turns, _changed(moves, turns), strict=True)
            ]
            primitives.append(primitive)
        weights = [round(float(weight), 4) for weight in mesh.weights]
        extras = {"targetNames": list(mesh.target_names)}
        self.add_mesh(mesh.name, primitives, mesh.matrix, weights=weights, extras=extras)

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
        normals = np.array([[0, 0, 1]] * 4, np.float32)
        uv = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32)
        triangles = np.array([[0, 1, 2], [0, 2, 3]])
        material = self.material("photo", photo, quality=JPEG_QUALITY, is_unlit=True)
        behind, before = np.eye(4), np.eye(4)
        behind[2, 3], before[2, 3] = -depth_m, depth_m
        plane = self.primitive(corners, normals, uv, triangles, material)
        self.add_mesh("photo", [plane], behind)
        lens = gltf.Orthographic(xmag=x, ymag=y, znear=depth_m / 100, zfar=3 * depth_m)
        self._file.cameras.append(gltf.Camera(name="view", type="orthographic", orthographic=lens))
        self.add_node(gltf.Node(name="view", camera=len(self._file.cameras) - 1), before)

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


def _changed(moves: NDArray[np.float32], turns: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(E, N): which vertices a target changes."""
    x, y, z = np.moveaxis((np.abs(moves) > LEAST_MOVE_M) | (np.abs(turns) > LEAST_TURN), 2, 0)
    return x | y | z
