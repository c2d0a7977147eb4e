"""Vertices in the photo frame → how each faces the viewer, and whether anything hides it."""

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import flip_y

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
    from prnet.geometry.normals import vertex_normals  # numba is slow to import

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
    from prnet.geometry.normals import vertex_normals  # numba is slow to import
    from prnet.geometry.rasterize import rasterize

    planes = np.ascontiguousarray(vertices.T)  # x, y, z apart: several times as fast
    low = planes.min(1, keepdims=True)
    extent = float((planes.max(1, keepdims=True) - low)[:2].max())
    if not extent > 0:
        return np.zeros(len(vertices), bool)
    x, y, z = planes = (planes - low) * ((BUFFER_SIZE - 1) / extent)
    depth = rasterize(planes.T, triangles, (BUFFER_SIZE, BUFFER_SIZE)).depth
    nx, ny, facing = np.ascontiguousarray(vertex_normals(flip_y(vertices), triangles).T)
    # Compare at the pixel's centre: the vertex's tangent plane is followed there, so steep cheeks
    # need no wider tolerance than the forehead.
    columns, rows = np.rint(x), np.rint(y)
    rise = (ny * (rows - y) - nx * (columns - x)) / np.maximum(facing, MIN_FACING)
    nearest = depth[rows.astype(np.intp), columns.astype(np.intp)]
    return (facing > MIN_FACING) & (z + rise > nearest - DEPTH_TOLERANCE * BUFFER_SIZE)
