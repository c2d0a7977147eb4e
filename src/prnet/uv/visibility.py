"""Vertices in the photo frame → how each faces the viewer, what hides it, how near an edge is."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import flip_y

# Side of the depth buffer that the face fills, in pixels: about two for each step of a 256×256 map,
# so neighbouring vertices don't share a pixel.
BUFFER_SIZE = 512
DEPTH_TOLERANCE = (
    0.005  # of the face's longer side, about 1.4 mm: nearer surfaces don't hide each other
)
DEPTH_STEP = 0.02  # of the longer side: where depth jumps by more, one part stands before another
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


def distance_from_edges(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], with_holes: bool = False
) -> NDArray[np.float32]:
    """Measure how far from an outline the viewer sees a face's points.

    Outlines are where the face ends before the background, and where one part of it stands before
    another. A photo's colors are mixed there, and if the mesh is a little off, they are wrong.

    Args:
        vertices: (V, 3) float, photo frame, any scale.
        triangles: (T, 3) int.
        with_holes: Whether the openings of eyes, mouth and nostrils have outlines, too.

    Returns:
        (V,) float32, in shares of the face's longer side; of hidden points it says nothing.
    """
    from prnet.geometry.rasterize import rasterize  # numba is slow to import

    low = vertices.min(0)
    extent = float((vertices.max(0) - low)[:2].max())
    if not extent > 0:
        return np.zeros(len(vertices), np.float32)
    side = BUFFER_SIZE + 2  # a rim of background all around
    points = (vertices - low) * ((BUFFER_SIZE - 1) / extent) + 1
    raster = rasterize(points, triangles, (side, side))
    is_face = raster.is_covered.astype(np.uint8)
    if not with_holes:
        outside = is_face.copy()
        cv2.floodFill(outside, None, (0, 0), 2)
        is_face = (outside != 2).astype(np.uint8)
    depth = np.where(raster.is_covered, raster.depth, np.nan)
    is_edge = is_face == 0
    for axis in (0, 1):
        jumps = np.abs(np.diff(depth, axis=axis)) > DEPTH_STEP * BUFFER_SIZE
        first = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        is_edge[first] |= jumps
    distance = cv2.distanceTransform((~is_edge).astype(np.uint8), cv2.DIST_L2, 5)
    columns, rows = np.rint(points[:, :2]).astype(int).T
    return (distance[rows, columns] / BUFFER_SIZE).astype(np.float32)
