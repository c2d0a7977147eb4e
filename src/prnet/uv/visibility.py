"""Vertices in the photo frame → how each faces the viewer, and whether anything hides it."""

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import flip_y
from prnet.geometry.surface import vertex_normals

# Side of the depth buffer that the face fills, in pixels: about two for each step of a 256×256 map,
# so neighbouring vertices don't share a pixel.
BUFFER_SIZE = 512
DEPTH_TOLERANCE = (
    0.005  # of the face's longer side, about 1.4 mm: nearer surfaces don't hide each other
)
MIN_FACING = 0.1  # cosine between normal and view: the surface past 84° is not seen but grazed


def vertices_facing(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Measure how far the surface turns to the viewer.

    Args:
        vertices: (V, 3) float, photo frame.
        triangles: (T, 3) int, counter-clockwise seen from outside with y up.

    Returns:
        (V,) float32: cosine between normal and view, 1 seen from the front, below 0 from behind.
    """
    return vertex_normals(flip_y(vertices), triangles)[:, 2]


def find_visible(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Tell which vertices the viewer sees: they face him, and no part of the mesh lies in front.

    Args:
        vertices: (V, 3) float, photo frame, any scale and place: the photo's own edges don't
            matter.
        triangles: (T, 3) int, counter-clockwise seen from outside with y up.

    Returns:
        (V,) bool.
    """
    from prnet.geometry.rasterize import rasterize  # numba is slow to import

    low = vertices.min(0)
    extent = float((vertices.max(0) - low)[:2].max())
    if not extent > 0:
        return np.zeros(len(vertices), bool)
    points = (vertices - low) * ((BUFFER_SIZE - 1) / extent)
    depth = rasterize(points, triangles, (BUFFER_SIZE, BUFFER_SIZE)).depth
    normals = vertex_normals(flip_y(points), triangles)
    facing = normals[:, 2]
    # Compare at the pixel's centre: the vertex's tangent plane is followed there, so steep cheeks
    # need no wider tolerance than the forehead.
    columns, rows = np.rint(points[:, :2]).astype(int).T
    step = np.stack([columns, rows], 1) - points[:, :2]
    slope = normals[:, :2] * [-1, 1] / np.maximum(facing, MIN_FACING)[:, None]
    z = points[:, 2] + (slope * step).sum(1)
    return (facing > MIN_FACING) & (z > depth[rows, columns] - DEPTH_TOLERANCE * BUFFER_SIZE)
