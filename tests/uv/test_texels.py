import cv2
import numpy as np
import pytest

from prnet.uv.texels import CHUNK, blend_texels, weigh_texels

STRAY = (1.0, 50.0, 90.0)


def maps(*values: float, side: int = 8) -> list[np.ndarray]:
    """Maps that are the same everywhere."""
    return [np.full((side, side), value, np.float32) for value in values]


@pytest.mark.parametrize("size", [32, 27, 8, 5, CHUNK + 6])
def test_weights_are_alpha_and_the_maps_between_their_pixels(size: int) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (size, size, 4)).astype(np.uint8)
    given = maps(1, 9, 0, 0, 0)
    given[0][:] = rng.random((8, 8))
    shrinks = cv2.INTER_AREA if size < 8 else cv2.INTER_LINEAR
    expected = cv2.resize(given[0], (size, size), interpolation=shrinks)
    expected = expected * texture[..., 3] / 255
    own, small, share = weigh_texels(texture, given, STRAY, size)
    np.testing.assert_allclose(own, expected, atol=1e-5)
    weighted = texture[..., :3] * expected[..., None]
    np.testing.assert_allclose(np.moveaxis(small, 0, 2), weighted, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(share, own)


@pytest.mark.parametrize("side", [4, CHUNK // 3 + 1])
def test_means_are_those_of_the_texels_in_a_cell(side: int) -> None:
    rng = np.random.default_rng(1)
    texture = rng.integers(0, 256, (3 * side, 3 * side, 4)).astype(np.uint8)
    own, small, share = weigh_texels(texture, maps(1, 9, 0, 0, 0), STRAY, 3)
    weighted = own[..., None] * texture[..., :3]
    np.testing.assert_allclose(share, own.reshape(3, side, 3, side).mean((1, 3)), rtol=1e-4)
    expected = weighted.reshape(3, side, 3, side, 3).mean((1, 3))
    np.testing.assert_allclose(np.moveaxis(small, 0, 2), expected, rtol=1e-4)


def test_strays_near_an_outline_count_less_the_more_they_are_off() -> None:
    texture = np.full((4, 4, 4), 255, np.uint8)
    texture[..., :3] = 100
    texture[0, :, 1] = np.uint8([100, 140, 170, 250])  # off by 0, 40, 70, 150
    own, *_ = weigh_texels(texture, maps(1, 0.5, 100, 100, 100), STRAY, 4)
    np.testing.assert_allclose(own[0], [1, 1, 0.5, 0], atol=1e-6)
    far, *_ = weigh_texels(texture, maps(1, 1.5, 100, 100, 100), STRAY, 4)
    assert (far == 1).all()


def test_texels_take_their_share_of_the_other_half_and_of_the_guess() -> None:
    texture = np.zeros((2, 4, 4), np.uint8).repeat(2, 0)
    texture[..., :3] = np.uint8([[10], [20], [30], [40]])
    own = np.tile(np.float32([1, 0.5, 1, 0]), (4, 1))
    given = maps(0, 2, 1, 2, 3, 100, 100, 100, side=4)
    # its own; half its own, half the other's, for neither is whole then; its own; the other's
    mixed = [0.5 * 0.5 * 20 + 0.5 * (2 * 30 + k) + 0.25 * 100 for k in (1, 2, 3)]
    expected = [[10] * 3, mixed, [30] * 3, [2 * 10 + k for k in (1, 2, 3)]]
    filled = blend_texels(texture, own, given)
    np.testing.assert_allclose(filled, np.tile(np.float32(expected), (4, 1, 1)), atol=0.51)
    nothing = blend_texels(texture, np.zeros_like(own), given)
    assert (nothing == 100).all()
    given[0][:] = 1  # a loan where both halves are shown
    lent = blend_texels(texture, np.ones_like(own), given)
    np.testing.assert_array_equal(lent[0, 0], [81, 82, 83])


def test_a_row_longer_than_what_is_worked_on_at_a_time_is_mirrored_whole() -> None:
    size = CHUNK + 6
    rng = np.random.default_rng(2)
    texture = rng.integers(0, 256, (size, size, 4)).astype(np.uint8)
    own = np.zeros((size, size), np.float32)
    own[:, : size // 2] = 1
    filled = blend_texels(texture, own, maps(0, 1, 0, 0, 0, 0, 0, 0))
    np.testing.assert_array_equal(filled[:, : size // 2], texture[:, : size // 2, :3])
    np.testing.assert_array_equal(filled, filled[:, ::-1])
