"""Crops against known answers: where a dot lands, what area averaging gives, what is outside."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.image.crop import crop_face, cut, shows_photo, square_to_crop


def dot(width: int, height: int, centre: NDArray[np.float64], sigma: float) -> NDArray[np.uint8]:
    """A white gaussian dot on black."""
    x = np.exp(-(((np.arange(width) - centre[0]) / sigma) ** 2) / 2)
    y = np.exp(-(((np.arange(height) - centre[1]) / sigma) ** 2) / 2)
    return np.repeat(np.rint(255 * np.outer(y, x)).astype(np.uint8)[..., None], 3, 2)


def centre_of_mass(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    gray = image[..., 0].astype(float)
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]]
    return np.array([(gray * x).sum(), (gray * y).sum()]) / gray.sum()


def box_around(centre: NDArray[np.float64], mean_size: float, aspect: float = 1) -> list[float]:
    width = 2 * mean_size / (1 + aspect)
    reach = np.array([width, aspect * width]) / 2
    return [*(centre - reach), *(centre + reach)]


@pytest.mark.parametrize("side", [21.3, 32, 50, 64, 64.5, 100, 128, 199.7, 310, 470])
def test_a_dot_lands_where_the_similarity_says(side: float) -> None:
    size, crop_scale = 64, 1.6
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(8):
        true = np.array([310.0, 260.0]) + rng.uniform(-1, 1, 2)
        image = dot(640, 520, true, sigma=max(2.5, 2.5 * side / size))
        box = box_around(true + rng.uniform(-0.15, 0.15, 2) * side, side / crop_scale, aspect=0.8)
        crop, image_to_crop = crop_face(image, box, size, crop_scale)
        assert image_to_crop.scale == pytest.approx(size / side)
        errors.append(centre_of_mass(crop) - image_to_crop.apply(true))
    assert np.abs(errors).max() < 0.05  # crop pixels
    assert np.abs(np.mean(errors, 0)).max() < 0.01  # no bias


@pytest.mark.parametrize("size", [1, 2, 64, 65])
def test_the_similarity(size: int) -> None:
    _, image_to_crop = crop_face(np.zeros((50, 60, 3), np.uint8), [10, 20, 30, 50], size, 1.6)
    assert (image_to_crop.rotation == np.eye(2)).all()
    # the square has side 1.6 · 25 = 40 around (20, 35); its left edge is the crop's edge at −½
    corners = np.array([[0.0, 15.0], [40.0, 55.0], [20.0, 35.0]])
    expected = [[-0.5] * 2, [size - 0.5] * 2, [(size - 1) / 2] * 2]
    np.testing.assert_allclose(image_to_crop.apply(corners), expected, atol=1e-12)
    np.testing.assert_allclose(
        image_to_crop.inverse().apply(image_to_crop.apply(corners)), corners, atol=1e-12
    )


def test_the_same_pixels_come_out_when_nothing_is_scaled() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    # 16 pixels from 10 to 25 and from 4 to 19: the square around them
    crop, _ = crop_face(image, [12.5, 6.5, 22.5, 16.5], 16, 1.6)
    assert (crop == image[4:20, 10:26]).all()


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_shrinking_averages_areas(factor: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16 * factor, 16 * factor, 3), np.uint8)
    middle, reach = (16 * factor - 1) / 2, 8 * factor
    crop, _ = crop_face(image, [middle - reach] * 2 + [middle + reach] * 2, 16, 1)
    means = image.reshape(16, factor, 16, factor, 3).mean((1, 3))
    assert np.abs(crop - means).max() <= 1  # rounded once or twice


def test_shrinking_keeps_the_mean_of_stripes() -> None:
    # sampling without averaging would show only black or only white
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, ::2] = 255
    crop, _ = crop_face(image, [100.3, 100.1, 300.6, 300.2], 32, 1)
    assert np.abs(crop.astype(int) - 127.5).max() < 12


def test_enlarging_interpolates() -> None:
    image = np.zeros((9, 9, 3), np.uint8)
    image[:] = (np.arange(9) * 30)[None, :, None]
    crop, image_to_crop = crop_face(image, [2, 2, 6, 6], 64, 1)
    x = image_to_crop.inverse().apply(np.stack([np.arange(64.0)] * 2, 1))[:, 0]
    assert np.abs(crop[32, :, 1] - x * 30).max() <= 0.5


def test_outside_is_black() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    crop, image_to_crop = crop_face(image, [-15, 5, 15, 35], 50, 1.6)
    corner = image_to_crop.apply(np.array([-0.5, -0.5]))  # where the photo begins
    x, y = np.arange(50), np.arange(50)
    inside = (x[None] - 0.5 > corner[0]) & (y[:, None] - 0.5 > corner[1])
    outside = (x[None] + 0.5 < corner[0]) | (y[:, None] + 0.5 < corner[1])
    last = image_to_crop.apply(np.array([59.5, 39.5]))
    inside &= y[:, None] + 0.5 < last[1]
    assert (crop[inside] == 200).all()
    assert (crop[outside] == 0).all()
    assert inside.any() and outside.any()


@pytest.mark.parametrize(
    "box", [[-50, -50, 900, 900], [-1e6, -1e6, 1e6, 1e6], [5, 5, 5.001, 5.001], [59, 39, 99, 79]]
)
def test_extreme_boxes(box: list[float]) -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    crop, _ = crop_face(image, box, 32, 1.6)
    assert crop.shape == (32, 32, 3) and crop.dtype == np.uint8


def test_a_one_pixel_photo() -> None:
    crop, _ = crop_face(np.full((1, 1, 3), 9, np.uint8), [-0.5, -0.5, 0.5, 0.5], 8, 1)
    # linear interpolation toward the black around the photo
    assert crop.max() <= 9 and crop[4, 4, 0] > 0


def test_the_photo_is_not_changed_nor_needed_in_one_piece() -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    before = image.copy()
    whole, _ = crop_face(image, [100, 100, 250, 250], 32, 1.2)
    turned, _ = crop_face(image[::-1], [100, 299 - 250, 250, 299 - 100], 32, 1.2)
    assert (image == before).all()
    assert np.abs(whole.astype(int) - turned[::-1]).max() <= 1
    image.flags.writeable = False
    crop_face(image, [100, 100, 250, 250], 32, 1.2)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0, 0, np.nan, 9], "finite"),
        ([0, 0, np.inf, 9], "finite"),
        ([0, 0, 9], "four"),
        ([[0, 0, 9, 9]], "four"),
        ([5, 5, 5, 9], "x0 < x1"),
        ([5, 9, 9, 5], "y0 < y1"),
        ([61, 5, 70, 9], "partly in the photo of 60×40"),
        ([-20, 5, -1, 9], "partly in the photo"),
        ([5, 41, 9, 50], "partly in the photo"),
        ([5, -9, 9, -2], "partly in the photo"),
    ],
)
def test_bad_boxes(box: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crop_face(np.zeros((40, 60, 3), np.uint8), box, 32, 1.6)


@pytest.mark.parametrize(
    ("size", "crop_scale"), [(0, 1.6), (-4, 1.6), (32, 0), (32, -1), (32, np.nan), (32, np.inf)]
)
def test_bad_sizes(size: int, crop_scale: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        crop_face(np.zeros((40, 60, 3), np.uint8), [5, 5, 9, 9], size, crop_scale)


def test_a_bad_image() -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) of uint8"):
        crop_face(np.zeros((40, 60), np.uint8), [5, 5, 9, 9], 32, 1.6)


def waves(x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """A smooth picture of a photo of a size, as a function of places in it."""
    red = 128 + 100 * np.sin(5 * x / size) * np.cos(3 * y / size)
    return np.stack([red, 255 * x / size, 255 * y / size], -1)


@pytest.mark.parametrize("photo_px", [200, 2000])
@pytest.mark.parametrize("angle_deg", [0.0, 1e-9, 30.0, -75.0])
def test_a_crop_shows_the_photo_where_its_similarity_says(photo_px: int, angle_deg: float) -> None:
    """Upright, rotated by nothing, and rotated; about 1:1 and shrunk by 12."""
    y, x = np.mgrid[:photo_px, :photo_px]
    photo = np.rint(waves(x, y, photo_px)).astype(np.uint8)
    centre, side = np.array([0.45, 0.55]) * photo_px, 0.6 * photo_px
    image_to_crop = square_to_crop(centre, side, 100, angle_deg)
    crop = cut(photo, image_to_crop, 100)
    crop_xy = np.stack(np.meshgrid(np.arange(100.0), np.arange(100.0)), -1)
    place = image_to_crop.inverse().apply(crop_xy)
    is_inside = shows_photo(photo.shape, image_to_crop, 100)
    assert is_inside.mean() > 0.9
    expected = waves(place[..., 0], place[..., 1], photo_px)
    assert np.abs(crop - expected)[is_inside].max() < 2


def test_rotation_is_counter_clockwise_as_one_sees_it() -> None:
    image_to_crop = square_to_crop(np.array([50.0, 50.0]), 100, 100, 90)
    right_of_it = image_to_crop.apply(np.array([80.0, 50.0]))
    np.testing.assert_allclose(right_of_it, [49.5, 19.5])  # now above


def test_black_beyond_the_photo() -> None:
    photo = np.full((40, 60, 3), 200, np.uint8)
    for angle_deg in (0.0, 20.0):
        image_to_crop = square_to_crop(np.array([0.0, 20.0]), 50, 64, angle_deg)
        crop, is_shown = cut(photo, image_to_crop, 64), shows_photo((40, 60), image_to_crop, 64)
        assert (crop[is_shown] == 200).all() and 0.2 < is_shown.mean() < 0.6
        far = cv2.erode((~is_shown).astype(np.uint8), np.ones((5, 5))) > 0
        assert not crop[far].any()


def test_a_turned_face_comes_out_upright() -> None:
    """The dot above the face's middle, seen 40° clockwise of up, lies straight above it."""
    photo = np.zeros((120, 120, 3), np.uint8)
    at = np.rint([60 + 30 * np.sin(np.radians(40)), 60 - 30 * np.cos(np.radians(40))]).astype(int)
    cv2.circle(photo, at.tolist(), 3, (255, 255, 255), cv2.FILLED)
    crop, image_to_crop = crop_face(photo, [35, 35, 85, 85], 100, 2, angle_deg=40)
    rows, columns = np.nonzero(crop[..., 0] > 128)
    assert [columns.mean(), rows.mean()] == pytest.approx([49.5, 19.5], abs=0.6)
    np.testing.assert_allclose(image_to_crop.apply(np.array([60.0, 60.0])), [49.5, 49.5])
