"""One face of a photo: its position map, and everything that is read off it."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose, fit_pose
from prnet.geometry.surface import front_triangles
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.position_map import decode_landmarks68, decode_vertices
from prnet.uv.texture import complete_texture, sample_photo, sample_texture
from prnet.uv.visibility import find_visible, vertices_facing

A = TypeVar("A", bound=NDArray[np.generic])


@dataclass(frozen=True, eq=False)
class Face:
    """A face in the photo frame: pixels, x right, y down, centres at integers, z toward the viewer.

    What is derived is worked out when first asked for and kept; those arrays are read-only, copy
    them to change them. Nothing here ever writes into the position map, the box or the photo.

    Attributes:
        position_map: (256, 256, 3) float32, photo frame, z = 0 at the mean of the vertices.
        atlas: The UV space of the map.
        box: (4,) float32, x0 y0 x1 y1 in pixels, tight around the face's landmarks: what was
            reconstructed.
        score: In [0, 1], how far to trust it. From a network with a confidence, as the one in the
            package, what it expects of exp(−NME / 5 %): about 0.7 for a usual face, near 0 where
            there is none. From others the detector's score, 1 for boxes given by hand.
        image: (H, W, 3) uint8 RGB, the whole photo. Shared, not copied: leave it as it is.
    """

    position_map: NDArray[np.float32]
    atlas: Atlas
    box: NDArray[np.float32]
    score: float
    image: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check the parts; raises ValueError naming the one that is wrong."""
        shape = (MAP_SIZE, MAP_SIZE, 3)
        if self.position_map.shape != shape or self.position_map.dtype != np.float32:
            raise ValueError(
                f"position_map must be {shape} float32, got {self.position_map.shape} "
                f"{self.position_map.dtype}"
            )
        if not np.isfinite(self.position_map).all():
            raise ValueError("position_map must be finite, got NaN or infinity")
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"image must be (H, W, 3) uint8, got {self.image.shape} {self.image.dtype}"
            )
        if np.shape(self.box) != (4,):
            raise ValueError(f"box must be x0 y0 x1 y1, got shape {np.shape(self.box)}")

    @cached_property
    def vertices(self) -> NDArray[np.float32]:
        """(V, 3) float32, photo frame: the mesh."""
        return _read_only(decode_vertices(self.position_map, self.atlas))

    @property
    def triangles(self) -> NDArray[np.int32]:
        """(T, 3) int32, indices of vertices; counter-clockwise from outside once y points up."""
        return self.atlas.triangles

    @cached_property
    def landmarks68(self) -> NDArray[np.float32]:
        """(68, 3) float32, photo frame: the iBUG points as in 300W-LP, jaw on the 3D outline."""
        return _read_only(decode_landmarks68(self.position_map, self.atlas))

    @cached_property
    def pose(self) -> Pose:
        """Canonical frame → photo frame, fitted over what expression hardly moves."""
        rigid = self.atlas.rigid_vertices
        return fit_pose(self.atlas.canonical_vertices[rigid], self.vertices[rigid])

    @cached_property
    def visibility(self) -> NDArray[np.bool_]:
        """(V,) bool, true where a vertex faces the viewer and no part of the face hides it.

        Hair, hands and the photo's own edges are not considered; `texture` minds the edges.
        """
        return _read_only(find_visible(self.vertices, self.triangles))

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """(V, 3) uint8 RGB, the photo at each vertex, bilinear; beyond its edge, the edge's colour.

        A hidden vertex has the colour of what hides it: see `visibility`.
        """
        return _read_only(sample_photo(self.image, self.vertices))

    @cached_property
    def frontal_vertices(self) -> NDArray[np.float32]:
        """(V, 3) float32, canonical frame (cm, y up): the mesh without its pose."""
        return _read_only(self.pose.remove(self.vertices))

    def texture(self, size: int = MAP_SIZE, complete: bool = False) -> NDArray[np.uint8]:
        """Unroll the face's skin into UV space.

        Args:
            size: S, side in texels.
            complete: False for what the photo shows and nothing else; True to make up the rest from
                the face's other half and its surroundings, as the saved meshes do.

        Returns:
            (S, S, 4) uint8 RGBA, u right, v down. Alpha is 0 where the photo doesn't show the skin
            (hidden, turned away, outside the photo or the chart), 255 where it does or `complete`
            is set.

        Raises:
            ValueError: size is not a positive number.
        """
        texture = sample_texture(self.image, self.position_map, self._to_map(self.visibility), size)
        if not complete:
            return texture
        facing = vertices_facing(self.vertices, self.triangles)
        colours = complete_texture(texture, self._to_map(facing))
        return np.dstack([colours, np.full((size, size), 255, np.uint8)])

    def depth(self, shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """Draw how near the face is to the viewer.

        Args:
            shape: Height and width of the picture (more numbers, as in `image.shape`, don't
                matter); its pixels are the photo's, from the top left corner. None for the whole
                photo.

        Returns:
            (H, W) float32, z in pixels toward the viewer, 0 at the mean of the vertices; NaN where
            the picture shows no face (so `np.nanmin`, `np.nanmax`).
        """
        from prnet.geometry.bands import rasterize_bands  # numba is slow to import

        height, width = (self.image.shape if shape is None else shape)[:2]
        depth = np.full((height, width), np.nan, np.float32)
        triangles = front_triangles(self.vertices, self.triangles)
        for rows, columns, raster in rasterize_bands(self.vertices, triangles, (height, width)):
            np.copyto(depth[rows, columns], raster.depth, where=raster.is_covered)
        return depth

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the textured mesh as .glb, .obj (with .mtl and .png) or .ply (with vertex colours).

        Raises:
            OutputError: An extension other than these, or the file can't be written.
        """
        from prnet.mesh.files import write_mesh  # trimesh is slow to import

        write_mesh(path, self)

    def _to_map(self, values: A) -> A:
        """Spread (V,) values over the map: (M, M), 0 outside the chart."""
        spread = np.zeros(MAP_SIZE * MAP_SIZE, values.dtype)
        spread[self.atlas.vertex_index] = values
        return spread.reshape(MAP_SIZE, MAP_SIZE)  # type: ignore[return-value]


def _read_only(array: A) -> A:
    """The same array, closed to writing: it is kept and handed out many times."""
    array.flags.writeable = False
    return array
