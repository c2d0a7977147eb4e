"""Faces of one person, from several photos or a track → one shape and one texture.

Each face's shape is taken without its pose and, where the head model fits, without its expression.
A photo shows far better where a point lies in its own plane than how deep, so shapes are averaged
as measurements whose precision differs between directions: frontal photos settle the outline,
profiles the depth.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.normals import vertex_normals
from prnet.geometry.sampling import read_only
from prnet.mesh.mesh import Mesh
from prnet.morphable.blendshapes import blendshape_fitter, sample_chart
from prnet.morphable.head_model import FACE as FACE_PART
from prnet.morphable.head_model import HeadModel, embedded_head
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.chart import ChartSampler, nearest_covered, rasterize_chart
from prnet.uv.complete import complete_texture
from prnet.uv.position_map import decode_landmarks68, decode_vertices

if TYPE_CHECKING:
    from prnet.head.head import Head

CM_PER_METRE = 100
TEXTURE_SIZE = 512
# what a measurement is worth: along the line of sight, of a hidden point, of one turned away
DEPTH_WORTH, HIDDEN_WORTH, LEAST_FACING = 0.2, 0.3, 0.1
BEST_VIEW = 4  # power of a view's weight in the texture: the best one all but rules


@dataclass(frozen=True, eq=False)
class FusedFace:
    """One person's face, at rest.

    Attributes:
        shape_map: (256, 256, 3) float32, canonical frame (cm, y up): no pose, no expression.
        atlas: The UV space of the map.
        count: Of how many faces it was made.
        texture: (S, S, 3) uint8 RGB in UV space, complete; None if no face had a photo.
        best: The face with the best photo, which shows what the eyes and the hair look like; None
            if no face had one.
    """

    shape_map: NDArray[np.float32]
    atlas: Atlas
    count: int
    texture: NDArray[np.uint8] | None
    best: Face | None = None

    @property
    def vertices(self) -> NDArray[np.float32]:
        """(V, 3) float32, canonical frame."""
        return decode_vertices(self.shape_map, self.atlas)

    @property
    def landmarks68(self) -> NDArray[np.float32]:
        """(68, 3) float32, canonical frame."""
        return decode_landmarks68(self.shape_map, self.atlas)

    def mesh(self) -> Mesh:
        """The face as a mesh in metres, y up, looking along z, origin at the vertices' mean.

        Raises:
            ValueError: There is no texture.
        """
        if self.texture is None:
            raise ValueError("none of the faces had a photo, so there is no texture")
        centred = self.vertices - self.vertices.mean(0)
        vertices = (centred / CM_PER_METRE).astype(np.float32)
        triangles, uv = self.atlas.triangles, self.atlas.vertices_uv
        return Mesh(vertices, triangles, uv, self.texture, vertex_normals(vertices, triangles))

    def head(self) -> "Head":
        """Make a whole head, at rest: eyes, teeth, skull, and ARKit's shapes to animate it by.

        Raises:
            ValueError: No face had a photo, or the faces have another UV space than the package's.
        """
        from prnet.head.head import build_head  # not every face becomes one

        best, texture = self.best, self.texture
        if best is None or best.image is None or texture is None:
            raise ValueError("none of the faces had a photo, so there is no head")
        identity = blendshape_fitter()(sample_chart(self.shape_map, embedded_head())).identity
        shown = replace(best.head_coefficients, identity=identity)
        # what the best photo shows is the fused face with that photo's expression
        expressive = self.shape_map + expression_moves(shown.expression)
        head = build_head(expressive, shown, texture, best.image, best.pose)
        return head.with_weights({})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the textured mesh as .glb, .obj or .ply.

        Raises:
            OutputError: Another extension, or the file can't be written.
            ValueError: There is no texture.
        """
        from prnet.mesh.files import write_mesh  # slow to import

        write_mesh(path, self.mesh())


class Fuser:
    """Takes faces one by one, and keeps sums only.

    Args:
        atlas: The faces' UV space.
        texture_size: Side of the texture.
    """

    def __init__(self, atlas: Atlas, texture_size: int = TEXTURE_SIZE) -> None:
        if texture_size < 1:
            raise ValueError(f"texture_size must be at least 1, got {texture_size}")
        self._atlas, self._size = atlas, texture_size
        self._worth = np.zeros((MAP_SIZE * MAP_SIZE, 3, 3), np.float32)
        self._sum = np.zeros((MAP_SIZE * MAP_SIZE, 3), np.float32)
        self._colors = np.zeros((texture_size, texture_size, 4), np.float32)
        self._facing = np.full(len(atlas.vertex_index), -1, np.float32)
        self._count = 0
        self._best: Face | None = None

    def add(self, face: Face) -> None:
        """Take a face.

        Raises:
            ValueError: It has another UV space.
        """
        if face.atlas is not self._atlas and face.atlas.sha256 != self._atlas.sha256:
            raise ValueError("faces must be of one UV space: their atlases differ")
        facing = face.view.normals[:, 2]
        worth = np.maximum(facing, LEAST_FACING) * np.where(face.visibility, 1, HIDDEN_WORTH)
        weights = self._spread(max(face.score, 1e-3) * worth)
        sight = face.pose.rotation[2]  # of the viewer, seen from the face
        precision = np.eye(3) - (1 - DEPTH_WORTH) * np.outer(sight, sight)
        shape = neutral_shape(face).reshape(-1, 3)
        self._worth += weights[:, None, None] * precision.astype(np.float32)
        self._sum += weights[:, None] * (shape @ precision.astype(np.float32))
        self._count += 1
        if face.image is not None:
            self._add_texture(face, facing)

    def _add_texture(self, face: Face, facing: NDArray[np.float32]) -> None:
        """Take the colors of what a face's photo shows, by how well it shows it."""
        texture = face.texture(self._size)
        sharpness = min(face.pose.scale * MAP_SIZE / self._size / 10, 1.0)
        weights = self._spread(np.maximum(facing, 0)).reshape(MAP_SIZE, MAP_SIZE)
        share = cv2.resize(weights, (self._size, self._size), interpolation=cv2.INTER_LINEAR)
        share = (share * sharpness * texture[..., 3] / 255) ** BEST_VIEW
        self._colors[..., :3] += texture[..., :3] * share[..., None]
        self._colors[..., 3] += share
        self._facing = np.maximum(self._facing, facing)
        if self._best is None or view_worth(face) > view_worth(self._best):
            self._best = face

    def result(self) -> FusedFace:
        """What came of all faces.

        Raises:
            ValueError: There was none.
        """
        if not self._count:
            raise ValueError("faces must be one or more, got none")
        shape = np.linalg.solve(self._worth, self._sum[..., None])[..., 0].astype(np.float32)
        shape_map = read_only(shape.reshape(MAP_SIZE, MAP_SIZE, 3))
        return FusedFace(shape_map, self._atlas, self._count, self._texture(), self._best)

    def _texture(self) -> NDArray[np.uint8] | None:
        """The merged colors, with likely ones where no photo shows any."""
        if self._best is None:
            return None
        share = self._colors[..., 3:]
        merged = self._colors[..., :3] / np.maximum(share, 1e-12)
        is_seen = np.where(share > 1e-9, 255, 0)
        rgba = np.rint(np.dstack([merged * (is_seen > 0), is_seen])).astype(np.uint8)
        facing = self._spread(self._facing).reshape(MAP_SIZE, MAP_SIZE)
        return complete_texture(rgba, facing)

    def _spread(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """(V,) values → the map's pixels (M²,), holes and border like their nearest vertex."""
        return values[_nearest_vertex(self._atlas)].astype(np.float32)


def fuse(faces: Iterable[Face], texture_size: int = TEXTURE_SIZE) -> FusedFace:
    """Make one face of several of the same person.

    Args:
        faces: Any number from one on, each looked at once: of photos, or of a track.
        texture_size: Side of the texture in texels.

    Returns:
        FusedFace: shape without pose and expression, each point from the photos that show it, by
        their confidence and by the direction from which they show it; texture from the best views.

    Raises:
        ValueError: There is no face, their UV spaces differ, or texture_size isn't positive.
    """
    fuser = None
    for face in faces:
        fuser = fuser or Fuser(face.atlas, texture_size)
        fuser.add(face)
    if fuser is None:
        raise ValueError("faces must be one or more, got none")
    return fuser.result()


def neutral_shape(face: Face) -> NDArray[np.float32]:
    """A face's map without pose, and without expression where the head model fits.

    Returns:
        (256, 256, 3) float32, canonical frame.
    """
    shape: NDArray[np.float32] = face.pose.remove(face.position_map).astype(np.float32)
    if not face.has_head:
        return shape
    return shape - expression_moves(face.head_coefficients.expression)


def expression_moves(weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """What an expression does to the face: (E,) weights → (256, 256, 3) float32, cm."""
    model = embedded_head()
    chart = model.expression[:, : len(model.chart_uv)]
    moves = np.einsum("e,evd->vd", weights.astype(np.float32), chart)
    return _chart_sampler(model).sample(moves)


def view_worth(face: Face) -> float:
    """How well a photo shows a face: large, frontal, trusted."""
    return face.score * face.pose.scale * float(face.pose.rotation[2, 2])


@cache
def _chart_sampler(model: HeadModel) -> ChartSampler:
    """The head model's face at the size of a map."""
    return rasterize_chart(model.uv, *model.triangles_of(FACE_PART), MAP_SIZE)


@cache
def _nearest_vertex(atlas: Atlas) -> NDArray[np.int64]:
    """(M²,) int64, the vertex nearest to each pixel of the map."""
    number = np.zeros(MAP_SIZE * MAP_SIZE, np.int64)
    number[atlas.vertex_index] = np.arange(len(atlas.vertex_index))
    return number[nearest_covered(atlas.mask)[0].ravel()]
