import numpy as np
import pytest

from prnet.geometry import bands
from prnet.geometry.bands import rasterize_bands
from prnet.geometry.rasterize import rasterize

VERTICES = np.array([[3.2, 2.1, 0], [27.9, 6.4, 9], [9.7, 33.3, 4], [90, 60, 2]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [1, 2, 3]])


@pytest.mark.parametrize("band_pixels", [1, 100, 2**20])
@pytest.mark.parametrize("shape_hw", [(40, 50), (20, 12), (100, 120)])
def test_bands_together_are_the_whole(
    monkeypatch: pytest.MonkeyPatch, band_pixels: int, shape_hw: tuple[int, int]
) -> None:
    monkeypatch.setattr(bands, "BAND_PIXELS", band_pixels)
    whole = rasterize(VERTICES, TRIANGLES, shape_hw)
    triangle, depth = np.full(shape_hw, -1), np.full(shape_hw, -np.inf, np.float32)
    for rows, columns, raster in rasterize_bands(VERTICES, TRIANGLES, shape_hw):
        triangle[rows, columns], depth[rows, columns] = raster.triangle, raster.depth
    np.testing.assert_array_equal(triangle, whole.triangle)
    np.testing.assert_allclose(depth, whole.depth, atol=1e-5)


def test_zoom_keeps_pixel_centres_in_place() -> None:
    """Picture pixel 4 is raster pixels 8 and 9: four picture pixels are eight of the raster."""
    square = np.array([[3.5, 3.5, 0], [7.5, 3.5, 0], [7.5, 7.5, 0], [3.5, 7.5, 0]])
    ((rows, columns, raster),) = rasterize_bands(
        square, np.array([[0, 1, 2], [0, 2, 3]]), (20, 20), zoom=2
    )
    assert (rows, columns) == (slice(3, 9), slice(3, 9))
    inside = np.zeros((12, 12), bool)
    inside[2:10, 2:10] = True
    np.testing.assert_array_equal(raster.is_covered, inside)


@pytest.mark.parametrize("shift", [(-200, 0), (0, 500), (300, 300)])
def test_beside_the_picture_there_is_nothing(shift: tuple[int, int]) -> None:
    moved = VERTICES + [*shift, 0]
    covered = [
        raster.is_covered.any() for *_, raster in rasterize_bands(moved, TRIANGLES, (99, 99))
    ]
    assert not any(covered)
