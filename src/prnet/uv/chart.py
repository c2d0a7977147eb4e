"""A UV chart → the mesh triangle under every map pixel: how vertices become position maps."""

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.rasterize import rasterize


@dataclass(frozen=True)
class ChartSampler:
    """For each pixel of an M×M map, three mesh vertices and their weights.

    Pixels that the chart doesn't cover (holes and border) carry the corners of their nearest
    covered pixel, so every sampled map is complete and interpolation near the edges doesn't leak.

    Attributes:
        vertices: (M, M, 3) int32, indices of mesh vertices.
        barycentric: (M, M, 3) float32, their weights, summing to 1.
        is_covered: (M, M) bool, true where the pixel's centre lies in the chart.
    """

    vertices: NDArray[np.int32]
    barycentric: NDArray[np.float32]
    is_covered: NDArray[np.bool_]

    def sample(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Spread values given at the mesh's vertices over the map.

        Args:
            values: (V, D) float, any frame, in the precision wanted for the sum.

        Returns:
            (M, M, D) float32, complete: holes and border carry their nearest covered pixel's value.
        """
        # elementwise, in a fixed order: a matrix product's rounding differs between machines
        total = self.barycentric[..., :1] * values[self.vertices[..., 0]]
        for corner in (1, 2):
            total = total + (
                self.barycentric[..., corner, None] * values[self.vertices[..., corner]]
            )
        return total.astype(np.float32, copy=False)


def split_quads(quads: NDArray[np.integer]) -> NDArray[np.int32]:
    """Cut quads into triangles of the same winding.

    Args:
        quads: (Q, 4) int; a triangle repeats its last index.

    Returns:
        (T, 3) int32, without degenerate triangles.
    """
    halves = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)
    return halves[halves[:, 1] != halves[:, 2]].astype(np.int32)


def coarser_triangles(
    triangles: NDArray[np.integer],
    vertex_index: NDArray[np.integer],
    surface: NDArray[np.floating],
    most_bend: float,
) -> NDArray[np.int32]:
    """Cover a map's surface with fewer triangles, for what needn't be told where it bends a little.

    Whole and nearly flat blocks of 2×2 quads become two triangles; beside other blocks their small
    triangles stay as well, so that no crack opens between large ones and small ones.

    Args:
        triangles: (T, 3) int, halves of quads between neighbouring pixels.
        vertex_index: (V,) int, flat map index of each vertex.
        surface: (M, M, 3) float, where a usual surface has the map's pixels.
        most_bend: How far from two triangles it may lie, in its unit.

    Returns:
        (F, 3) int32; those that are two a block come first, clockwise as the map shows them, which
        is counter-clockwise in the photo frame with y up and the map seen from outside.
    """
    side, blocks = len(surface), (len(surface) + 1) // 2
    least, most = (
        np.stack([pick.reduce(place[triangles.T]) for place in np.divmod(vertex_index, side)])
        for pick in (np.minimum, np.maximum)
    )
    is_half_quad = (most - least == 1).all(0)
    block = least[0] // 2 * blocks + least[1] // 2
    halves = np.bincount(block[is_half_quad], minlength=blocks**2).reshape(blocks, blocks)
    bend = _bend(surface)
    is_flat = np.zeros(halves.shape, bool)
    is_flat[: len(bend), : len(bend)] = bend <= most_bend
    is_flat &= halves == 8
    y, x = 2 * np.argwhere(is_flat).T
    corners = np.stack([y, y + 2, y + 2, y]) * side + np.stack([x, x, x + 2, x + 2])
    vertex_at = np.zeros(side * side, np.int32)
    vertex_at[vertex_index] = np.arange(len(vertex_index))
    padded = np.pad(is_flat.astype(np.uint8), 1)
    is_beside = cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1] == 0
    stay = triangles[is_beside.ravel()[block] | ~is_half_quad]
    return np.concatenate([split_quads(vertex_at[corners].T), stay]).astype(np.int32)


def _bend(surface: NDArray[np.floating]) -> NDArray[np.floating]:
    """How far whole blocks of 2×2 quads lie from two triangles, at most: (K, K)."""
    end = (len(surface) - 1) // 2 * 2 + 1
    one, middle, other = (np.s_[k : end - 2 + k : 2] for k in range(3))
    lines = (  # a pixel between corners of the block, and the two that it lies between
        (one, middle, (one, one), (one, other)),
        (middle, one, (one, one), (other, one)),
        (middle, middle, (one, one), (other, other)),
        (middle, other, (one, other), (other, other)),
        (other, middle, (other, one), (other, other)),
    )
    off = [surface[y, x] - (surface[a] + surface[b]) / 2 for y, x, a, b in lines]
    return np.asarray(np.linalg.norm(off, axis=-1).max(0))


def rasterize_chart(
    uv: NDArray[np.floating],
    triangles: NDArray[np.integer],
    triangles_uv: NDArray[np.integer],
    size: int,
) -> ChartSampler:
    """Find the mesh triangle under each pixel of a size × size map.

    Args:
        uv: (U, 2) float in [0, 1], u right, v down; pixel (i, j) lies at ((j+½)/M, (i+½)/M).
        triangles: (T, 3) int, corners as mesh vertices.
        triangles_uv: (T, 3) int, the same corners as rows of `uv`.
        size: M, the side of the map.

    Returns:
        ChartSampler of side `size`.

    Raises:
        ValueError: The chart covers no pixel at all.
    """
    flat = np.column_stack([uv.astype(np.float64) * size - 0.5, np.zeros(len(uv))])
    raster = rasterize(flat, triangles_uv, (size, size))
    if not raster.is_covered.any():
        raise ValueError("the chart covers no pixel of the map")
    nearest, _ = nearest_covered(raster.is_covered)
    triangle = raster.triangle.ravel()[nearest]
    return ChartSampler(
        triangles[triangle].astype(np.int32),
        raster.barycentric.reshape(-1, 3)[nearest],
        raster.is_covered,
    )


def nearest_covered(
    is_covered: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the nearest true pixel of every pixel.

    Args:
        is_covered: (M, M) bool, true somewhere.

    Returns:
        (M, M) int64, flat index (row · M + column), a true pixel being its own nearest; (M, M)
        float32, the distance to it, pixels.
    """
    distance, labels = cv2.distanceTransformWithLabels(
        (~is_covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index_of_label = np.zeros(labels.max() + 1, np.int64)
    covered = np.flatnonzero(is_covered)
    index_of_label[labels.take(covered)] = covered
    return index_of_label.take(np.asarray(labels, np.int32)), np.asarray(distance, np.float32)


def boundary_edges(
    triangles: NDArray[np.integer], triangles_uv: NDArray[np.integer]
) -> NDArray[np.int32]:
    """Edges of the chart that only one triangle has: its outline and the rims of its holes.

    Args:
        triangles: (T, 3) int, corners as mesh vertices: two triangles share an edge when they share
            both its vertices, even where the UVs are stored twice.
        triangles_uv: (T, 3) int, the same corners as rows of the UV table.

    Returns:
        (E, 2) int32, pairs of rows of the UV table.
    """
    count: Counter[tuple[int, int]] = Counter()
    rows: dict[tuple[int, int], tuple[int, int]] = {}
    for corners, corners_uv in zip(triangles.tolist(), triangles_uv.tolist(), strict=True):
        for k in range(3):
            a, b = corners[k], corners[(k + 1) % 3]
            edge = (min(a, b), max(a, b))
            count[edge] += 1
            rows[edge] = (corners_uv[k], corners_uv[(k + 1) % 3])
    return np.array([rows[edge] for edge, n in count.items() if n == 1], np.int32).reshape(-1, 2)
