import numpy as np
import pytest

from prnet.geometry.sampling import push_pull, sample_bilinear


def test_pictures_are_read_between_their_pixels() -> None:
    picture = np.array([[0, 10], [100, 130]], np.float32)[..., None]
    places = np.array([[0, 0], [0.5, 0], [0, 0.25], [1, 1], [-3, 0.5], [9, 9]])
    found = sample_bilinear(picture, places)
    np.testing.assert_allclose(found.ravel(), [0, 5, 25, 130, 50, 130])


def test_one_pixel_is_everywhere() -> None:
    assert sample_bilinear(np.full((1, 1, 2), 7), np.array([[4.0, -2.0]])).tolist() == [[7, 7]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (64, 64), (37, 90), (5, 64)])
def test_push_pull_spreads_a_constant(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    weight = (rng.random(shape) < 0.2).astype(np.float32)
    weight.flat[0] = 1
    values = weight[..., None] * np.float32([3, -7])
    filled = push_pull(values, weight)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled, np.broadcast_to([3, -7], (*shape, 2)), atol=1e-4)


def test_push_pull_keeps_what_is_known() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((33, 50, 3)).astype(np.float32)
    weight = (rng.random((33, 50)) < 0.5).astype(np.float32)
    filled = push_pull(values * weight[..., None], weight)
    np.testing.assert_allclose(filled[weight == 1], values[weight == 1], atol=1e-6)
    assert filled.min() >= 0 and filled.max() <= 1


def test_push_pull_is_smooth_between_two_sides() -> None:
    values, weight = np.zeros((64, 64, 1), np.float32), np.zeros((64, 64), np.float32)
    values[:, -1] = 1
    weight[:, [0, -1]] = 1
    filled = push_pull(values, weight)[32, :, 0]
    assert (np.diff(filled) > -0.02).all() and np.diff(filled).max() < 0.3
    assert filled[32] == pytest.approx(0.5, abs=0.1)


def test_push_pull_of_nothing_is_0() -> None:
    assert not push_pull(np.zeros((9, 5, 3), np.float32), np.zeros((9, 5), np.float32)).any()


def test_push_pull_leaves_what_it_is_given() -> None:
    values, weight = np.ones((8, 8, 1), np.float32), np.ones((8, 8), np.float32)
    push_pull(values, weight)[:] = 5
    assert (values == 1).all()
