"""Triangles → rasters of a picture's rows, some at a time, so that memory stays bounded."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.rasterize import Raster, rasterize

BAND_PIXELS = 2**20  # of one raster, which takes 20 bytes a pixel


def rasterize_bands(
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    shape_hw: tuple[int, int],
    zoom: int = 1,
) -> Iterator[tuple[slice, slice, Raster]]:
    """Draw triangles with a depth test where they are in the picture, band by band.

    Args:
        vertices: (V, 3) float, x right, y down in pixels, z toward the viewer.
        triangles: (T, 3) int, either winding.
        shape_hw: Height and width of the picture.
        zoom: Raster pixels along each side of a picture pixel.

    Yields:
        Rows and columns of the picture, and the Raster of that part, zoom times as large each way;
        its z is in picture pixels. Together they cover all that the triangles cover.
    """
    limit = np.array(shape_hw[::-1])
    x0, y0 = np.clip(np.floor(vertices[:, :2].min(0)), 0, limit).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(vertices[:, :2].max(0)) + 1, 0, limit).astype(int).tolist()
    if x0 >= x1:
        return
    step = max(BAND_PIXELS // ((x1 - x0) * zoom * zoom), 1)
    for top in range(y0, y1, step):
        bottom = min(top + step, y1)
        points = vertices.astype(np.float64)
        points[:, :2] = (points[:, :2] - [x0, top] + 0.5) * zoom - 0.5
        raster = rasterize(points, triangles, ((bottom - top) * zoom, (x1 - x0) * zoom))
        yield slice(top, bottom), slice(x0, x1), raster
