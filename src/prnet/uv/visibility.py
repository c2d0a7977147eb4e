"""Vertices in the photo frame → how each faces the viewer, what hides it, how near an edge is."""

import math
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.boxes import bounds
from prnet.geometry.compiled import compiled
from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import flip_y
from prnet.geometry.rasterize import depth_buffer
from prnet.geometry.sampling import read_only

# Side of the depth buffer that the face fills, in pixels: about two for each step of a 256×256 map,
# so neighbouring vertices don't share a pixel.
BUFFER_SIZE = 512
DEPTH_TOLERANCE = (
    0.005  # of the face's longer side, about 1.4 mm: nearer surfaces don't hide each other
)
DEPTH_STEP = 0.02  # of the longer side: where depth jumps by more, one part stands before another
LARGEST_JUMP = 1e9  # of depths in the buffer, but for its background's
MIN_FACING = 0.1  # cosine between normal and view: the surface past 84° is not seen but grazed


class MeshView:
    """A mesh as its viewer sees it; what is worked out for one question serves the next.

    A photo's own edges don't matter.

    Attributes:
        vertices: (V, 3) float, photo frame, any scale and place.
        triangles: (T, 3) int, counter-clockwise seen from outside with y up.
    """

    def __init__(
        self,
        vertices: NDArray[np.floating],
        triangles: NDArray[np.integer],
        coarse_triangles: NDArray[np.integer] | None = None,
    ) -> None:
        """Take the mesh.

        Args:
            vertices: See the class.
            triangles: See the class.
            coarse_triangles: (F, 3) int, fewer that cover the same surface, by which depth is drawn
                in less time; None if there are none.
        """
        self.vertices, self.triangles = vertices, triangles
        self._drawn = triangles if coarse_triangles is None else coarse_triangles

    @cached_property
    def normals(self) -> NDArray[np.float32]:
        """(V, 3) float32, y up: z is the cosine between normal and view.

        It is 1 seen from the front, and below 0 from behind.
        """
        return vertex_normals(flip_y(self.vertices), self.triangles)

    @cached_property
    def is_visible(self) -> NDArray[np.bool_]:
        """(V,) bool: which vertices face the viewer, with no part of the mesh in front of them."""
        if not 0 < self.extent < math.inf:
            return np.zeros(len(self.vertices), bool)
        is_visible = np.empty(len(self.vertices), bool)
        tolerance = np.float32(MIN_FACING), DEPTH_TOLERANCE * BUFFER_SIZE
        _compare_depth(*self._places, self.normals, self._depth, *tolerance, is_visible)
        return is_visible

    def covers(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell which points, (K, 2) where the vertices are, the viewer sees the mesh at: (K,) bool.

        The mesh has an extent.
        """
        low, _ = self._bounds
        places = np.rint((points - low[:2]) * self._scale + 1).astype(np.intp)
        column, row = np.clip(places, 0, np.array(self._depth.shape[::-1]) - 1).T
        return self._depth[row, column] > -np.inf

    def distance_from_edges(self, with_holes: bool = False) -> NDArray[np.float32]:
        """Measure how far from an outline the viewer sees the vertices.

        Outlines are where the face ends before the background, and where one part of it stands
        before another. A photo's colors are mixed there, and if the mesh is a little off, they are
        wrong.

        Args:
            with_holes: Whether the openings of eyes, mouth and nostrils have outlines, too.

        Returns:
            (V,) float32, in shares of the mesh's longer side; of hidden points it says nothing.
        """
        if not 0 < self.extent < math.inf:
            return np.zeros(len(self.vertices), np.float32)
        depth = self._depth
        edges = (depth == -np.inf).view(np.uint8)
        if not with_holes:
            cv2.floodFill(edges, None, (0, 0), 2)
            edges &= 2
        for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
            jumps = cv2.absdiff(depth[one], depth[other])
            # infinite beside the background, which isn't nearer or farther
            edges[one] |= cv2.inRange(jumps, DEPTH_STEP * BUFFER_SIZE, LARGEST_JUMP)
        _, pixels = self._places
        distance = cv2.distanceTransform((edges == 0).view(np.uint8), cv2.DIST_L2, 5)
        return np.asarray(distance, np.float32).take(pixels) / np.float32(BUFFER_SIZE)

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Lowest and highest coordinates, (3,) each."""
        return bounds(self.vertices)

    @property
    def extent(self) -> float:
        """Width or height in the photo, whichever is more; NaN or inf if they aren't finite."""
        low, high = self._bounds
        return float((high - low)[:2].max())

    @property
    def _scale(self) -> float:
        """Of the depth buffer, in its pixels a unit of the vertices."""
        return (BUFFER_SIZE - 1) / self.extent

    @property
    def _shape(self) -> tuple[int, int]:
        """Height and width of the depth buffer, with a rim of background all around."""
        low, high = self._bounds
        width, height = np.ceil((high - low)[:2] * self._scale).astype(int).tolist()
        return height + 3, width + 3

    @cached_property
    def _places(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """(V, 3), the vertices in the depth buffer; (V,), its pixel of each, row after row."""
        low, _ = self._bounds
        # for an array that may be written to, too, it would be compiled once more
        vertices = read_only(np.ascontiguousarray(self.vertices).view())
        points, pixels = np.empty(vertices.shape), np.empty(len(vertices), np.intp)
        _place(vertices, low.astype(np.float64), self._scale, self._shape[1], points, pixels)
        return points, pixels

    @cached_property
    def _depth(self) -> NDArray[np.float32]:
        """The depth buffer."""
        points, _ = self._places
        return depth_buffer(points, self._drawn, self._shape)


@compiled
def _place(vertices, low, scale, width, points, pixels):  # type: ignore[no-untyped-def]
    """Fill `points` with scaled vertices, the lowest at 1, and `pixels`."""
    for v in range(len(vertices)):
        for axis in range(3):
            points[v, axis] = (vertices[v, axis] - low[axis]) * scale + 1
        pixels[v] = int(np.rint(points[v, 1])) * width + int(np.rint(points[v, 0]))


@compiled
def _compare_depth(points, pixels, normals, depth, min_facing, tolerance, is_visible):  # type: ignore[no-untyped-def]
    """Fill `is_visible`: which points lie no deeper than their pixel's depth.

    That is of the pixel's centre: the point's tangent plane is followed there, so steep cheeks need
    no wider tolerance than the forehead.
    """
    nearest = depth.ravel()
    for v in range(len(points)):
        x, y, z = points[v]
        facing = normals[v, 2]
        rise = normals[v, 1] * (np.rint(y) - y) - normals[v, 0] * (np.rint(x) - x)
        reached = z + rise / max(facing, min_facing) > nearest[np.uint64(pixels[v])] - tolerance
        is_visible[v] = facing > min_facing and reached
