"""The batched tools agree with OpenCV's on single pictures."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prnet.synthesis.grids import blur, pixel_grid, push_pull, read_at  # noqa: E402

RNG = np.random.default_rng(0)


def test_push_pull_keeps_what_is_known_and_continues_a_constant() -> None:
    values = torch.rand(2, 3, 21, 30)
    known = (torch.rand(2, 1, 21, 30) < 0.3).float()
    filled = push_pull(values, known)
    np.testing.assert_array_equal(
        filled[known.expand_as(filled) > 0], values[known.expand_as(values) > 0]
    )
    assert filled.min() >= values.min() and filled.max() <= values.max()
    constant = push_pull(torch.full((1, 1, 40, 40), 7.0), (torch.rand(1, 1, 40, 40) < 0.02).float())
    np.testing.assert_allclose(constant, 7, rtol=1e-6)
    assert not push_pull(values, torch.zeros_like(known)).any()


def test_pictures_are_read_between_their_pixels() -> None:
    ramp = pixel_grid(9, "cpu").permute(2, 0, 1)[None]  # shows its own places
    places = torch.tensor([[[[1.25, 3.5], [8.0, 0.0]]]])
    np.testing.assert_allclose(read_at(ramp, places)[0, :, 0].T, places[0, 0], atol=1e-5)
    outside = torch.tensor([[[[-5.0, 4.0]]]])
    np.testing.assert_allclose(read_at(ramp, outside)[0, :, 0, 0], [0, 4], atol=1e-5)
    assert not read_at(ramp, outside, "zeros").any()


@pytest.mark.parametrize(("sigma_x", "sigma_y"), [(1.5, 1.5), (2.5, 0.7), (0.0, 2.0)])
def test_each_picture_is_blurred_by_its_own_gaussian(sigma_x: float, sigma_y: float) -> None:
    picture = RNG.uniform(0, 255, (40, 50, 3)).astype(np.float32)
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None].repeat(2, 1, 1, 1)
    blurred = blur(batch, torch.tensor([0.0, sigma_x]), torch.tensor([0.0, sigma_y]), 8)
    np.testing.assert_allclose(blurred[0], batch[0], atol=1e-3)
    expected = cv2.GaussianBlur(
        picture, (17, 17), sigma_x or 1e-3, sigmaY=sigma_y, borderType=cv2.BORDER_REPLICATE
    )
    np.testing.assert_allclose(blurred[1].permute(1, 2, 0), expected, atol=0.05)
