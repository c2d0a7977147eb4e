"""Triangles → which triangle each pixel sees, where in it, and how near."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled
from prnet.geometry.sampling import read_only
from prnet.geometry.surface import check_mesh


@dataclass(frozen=True)
class Raster:
    """What each pixel of an H×W picture sees.

    Attributes:
        triangle: (H, W) int32, index of the nearest triangle, −1 where there is none.
        barycentric: (H, W, 3) float32, weights of its three corners, 0 where there is none.
        depth: (H, W) float32, z toward the viewer, −inf where there is none.
    """

    triangle: NDArray[np.int32]
    barycentric: NDArray[np.float32]
    depth: NDArray[np.float32]

    @property
    def is_covered(self) -> NDArray[np.bool_]:
        """(H, W) bool, true where a triangle is seen."""
        return self.triangle >= 0

    def interpolate(
        self, values: NDArray[np.floating], triangles: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Spread values given at the vertices over the picture.

        Args:
            values: (V, D) float, one row a vertex.
            triangles: (T, 3) int, the triangles that were rasterised.

        Returns:
            (H, W, D) float32, 0 where no triangle is seen.
        """
        corners = triangles[np.maximum(self.triangle, 0)]
        return np.einsum(
            "hwk,hwkd->hwd", self.barycentric, values.astype(np.float32, copy=False)[corners]
        )


def rasterize(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], shape_hw: tuple[int, int]
) -> Raster:
    """Draw triangles with a depth test.

    Args:
        vertices: (V, 3) float, x right, y down in pixels, z toward the viewer.
        triangles: (T, 3) int, either winding.
        shape_hw: Height and width of the picture.

    Returns:
        Raster. Convention: pixel centres at integers; a centre on an edge counts as inside; of
        triangles that are equally near, but for rounding, the first wins.

    Raises:
        ValueError: See `check_mesh`.
    """
    triangle = np.full(shape_hw, -1, np.int32)
    barycentric = np.zeros((*shape_hw, 3), np.float32)
    depth = _draw(vertices, triangles, shape_hw, triangle, barycentric)
    return Raster(triangle, barycentric, depth)


def depth_buffer(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], shape_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Draw the depth alone: that of `rasterize`, in less time.

    Returns:
        (H, W) float32, z of the nearest triangle, −inf where there is none.
    """
    return _draw(vertices, triangles, shape_hw, None, None)


def _draw(
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    shape_hw: tuple[int, int],
    triangle: NDArray[np.int32] | None,
    barycentric: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Fill a raster's two buffers, if there are any, and give the third."""
    check_mesh(vertices, triangles)
    depth = np.full(shape_hw, -np.inf, np.float32)
    _fill(
        np.ascontiguousarray(vertices, np.float64),
        # for an array that may be written to, too, it would be compiled once more
        read_only(np.ascontiguousarray(triangles, np.int32).view()),
        triangle,
        barycentric,
        depth,
    )
    return depth


@compiled
def _fill(vertices, triangles, triangle, barycentric, depth):  # type: ignore[no-untyped-def]
    """Write each triangle into the buffers where it is nearest; compiled also for depth alone."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        # unsigned: to read by what may be negative takes longer
        a, b, c = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
        ax, ay, bx, by = vertices[a, 0], vertices[a, 1], vertices[b, 0], vertices[b, 1]
        cx, cy = vertices[c, 0], vertices[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if not abs(area) > 1e-12:  # also skips NaN
            continue
        x0 = max(int(np.ceil(min(ax, bx, cx))), 0)
        x1 = min(int(np.floor(max(ax, bx, cx))), width - 1)
        y0 = max(int(np.ceil(min(ay, by, cy))), 0)
        y1 = min(int(np.floor(max(ay, by, cy))), height - 1)
        if x1 < x0 or y1 < y0:  # between the centres
            continue
        each = 1 / area
        b_right, b_down = (cy - ay) * each, (cx - ax) * each
        c_right, c_down = (by - ay) * each, (bx - ax) * each
        az = vertices[a, 2]
        b_rise, c_rise = vertices[b, 2] - az, vertices[c, 2] - az
        for y in range(y0, y1 + 1):
            wb = (x0 - ax) * b_right - (y - ay) * b_down
            wc = (y - ay) * c_down - (x0 - ax) * c_right
            for x in range(x0, x1 + 1):
                z = az + wb * b_rise + wc * c_rise
                # all at once: whether a pixel is inside can't be foretold
                if (wb >= -1e-9) & (wc >= -1e-9) & (wb + wc <= 1 + 1e-9) & (z > depth[y, x]):
                    depth[y, x] = z
                    if barycentric is not None:
                        triangle[y, x] = t
                        barycentric[y, x, 0] = 1 - wb - wc
                        barycentric[y, x, 1] = wb
                        barycentric[y, x, 2] = wc
                wb += b_right
                wc -= c_right
