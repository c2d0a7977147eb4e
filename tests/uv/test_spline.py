import numpy as np
import pytest

from prnet.geometry.sampling import sample_map
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.spline import (
    FIXED_POINT,
    bilinear_rows,
    cubic_spline_matrix,
    in_blocks,
    in_steps,
    pixel_centres,
    share_of_rows,
)
from prnet.uv.spline_map import Spline, spline_of


@pytest.fixture(scope="module")
def spline(atlas: Atlas) -> Spline:
    return spline_of(atlas)


@pytest.mark.parametrize("samples", [96, MAP_SIZE])
def test_splines_keep_constants_and_slopes(samples: int) -> None:
    places = pixel_centres(samples)
    matrix = cubic_spline_matrix(64, places)
    assert matrix.shape == (samples, 64) and matrix.dtype == np.float32 and matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    position = places * 64 - 0.5  # where a sample lies, counted in control points
    is_inside = (position > 1) & (position < 62)
    ramp = matrix @ np.arange(64)
    np.testing.assert_allclose(ramp[is_inside], position[is_inside], atol=1e-4)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


def test_rounded_weights_stay_near_and_sum_to_1() -> None:
    weights = cubic_spline_matrix(64, pixel_centres(MAP_SIZE))
    rounded = in_steps(weights)
    np.testing.assert_array_equal(rounded.sum(1), 1)
    np.testing.assert_array_equal(rounded * FIXED_POINT, np.rint(rounded * FIXED_POINT))
    np.testing.assert_allclose(rounded, weights, atol=2 / FIXED_POINT)


def test_a_spline_at_a_control_point_has_its_known_weights() -> None:
    matrix = cubic_spline_matrix(9, pixel_centres(9))
    np.testing.assert_allclose(matrix[4, 3:6], [1 / 6, 2 / 3, 1 / 6], atol=1e-6)
    np.testing.assert_allclose(matrix[0, :2], [5 / 6, 1 / 6], atol=1e-6)  # the border repeats


def test_rows_gather_at_the_lids() -> None:
    v = np.linspace(0, 1, 4001)
    share = share_of_rows(v, 0.3)
    np.testing.assert_allclose(share[[0, -1]], [0, 1], atol=1e-9)
    density = np.gradient(share, v)
    assert density.min() > 0.8 and abs(v[density.argmax()] - 0.3) < 1e-3
    assert density.max() > 4  # so an upper and a lower lid have rows of their own


def test_lids_close_while_the_rest_stays(spline: Spline, atlas: Atlas) -> None:
    """What the gathered rows are for: the map can bring the lids together and leave the brows."""
    upper, lower = atlas.landmarks68_uv[[37, 38, 43, 44]], atlas.landmarks68_uv[[41, 40, 47, 46]]
    middle = float((upper[:, 1].mean() + lower[:, 1].mean()) / 2)
    wanted = np.where(pixel_centres(MAP_SIZE) < middle, -1.0, 0.0)
    rows = spline.rows
    fitted = np.tile(rows @ (np.linalg.pinv(rows) @ wanted), (MAP_SIZE, 1)).T
    moved = sample_map(fitted[..., None], np.concatenate([upper, lower]))[:, 0]
    assert moved[:4].max() < -0.75 and moved[4:].min() > -0.25


def test_blocks_are_the_matrix_without_zeros() -> None:
    matrix = cubic_spline_matrix(64, pixel_centres(MAP_SIZE) ** 2)
    blocks, columns = in_blocks(matrix, 8)
    assert blocks.shape[:2] == (8, 32) and blocks.shape[2] == columns.shape[1] < 30
    values = np.random.default_rng(0).normal(size=(64, 5))
    found = (blocks @ values[columns]).reshape(MAP_SIZE, 5)
    np.testing.assert_allclose(found, matrix @ values, atol=1e-6)


def test_rows_sample_as_sample_map_does() -> None:
    rng = np.random.default_rng(0)
    uv = np.concatenate([rng.random((20, 2)), [[0, 0], [1, 1], [0.5, 0]]]).astype(np.float32)
    values = rng.normal(size=(12, 12, 3)).astype(np.float32)
    found = np.einsum("pij,ijd->pd", bilinear_rows(uv, 12), values)
    np.testing.assert_allclose(found, sample_map(values, uv), atol=1e-5)
