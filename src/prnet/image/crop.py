"""Photo and box → the square crop that the network sees, and the similarity into it."""

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.geometry.similarity import Similarity
from prnet.image.read import check_image

# a cut this many times finer than the crop is first averaged down to it: exact enough, and small
PRE_SHRINK = 2.0


def crop_face(
    image: NDArray[np.uint8], box: ArrayLike, size: int, crop_scale: float
) -> tuple[NDArray[np.uint8], Similarity]:
    """Cut a square around a face and bring it to the network's size.

    The square's side is crop_scale · (width + height) / 2 of the box, its centre the box's. A crop
    pixel is the mean of the photo over the pixel's own square, or over a square as large as a photo
    pixel where that is larger: so shrinking averages, enlarging interpolates linearly. What lies
    outside the photo is black.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1, photo pixels, tight around the face's landmarks; may reach outside.
        size: Side S of the crop in pixels.
        crop_scale: Side of the square in units of the box's mean width and height.

    Returns:
        The crop (S, S, 3) uint8 RGB, and image_to_crop: photo pixels → crop pixels, both with pixel
        centres at integers, xy ↦ (xy − centre) · S / side + (S − 1) / 2. The photo isn't copied and
        what is taken from it is shrunk first, so memory doesn't grow with the photo.

    Raises:
        ValueError: The image is no such array; the box isn't four finite numbers with x0 < x1 and
            y0 < y1, or lies outside the photo; size or crop_scale isn't positive.
    """
    height, width = check_image(image).shape[:2]
    x0, y0, x1, y1 = check_box(box, width, height)
    if size < 1 or not 0 < crop_scale < math.inf:
        raise ValueError(f"size and crop_scale must be positive, got {size} and {crop_scale}")
    side = crop_scale * (x1 - x0 + y1 - y0) / 2
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    scale = size / side
    image_to_crop = Similarity(scale, np.eye(2), (size - 1) / 2 - scale * centre)
    left, right = _window(centre[0], side, width)
    top, bottom = _window(centre[1], side, height)
    cut, step = image[top:bottom, left:right], np.ones(2)
    if 1 / scale > PRE_SHRINK:
        cut, step = _shrink(cut, 1 / scale / PRE_SHRINK)
    # the crop's first corner and its pixels' spacing, in pixels of the cut
    first = (centre - side / 2 - (left, top) + 0.5) / step
    spacing = side / size / step
    rows = _weights(first[1], spacing[1], size, cut.shape[0])
    columns = _weights(first[0], spacing[0], size, cut.shape[1])
    crop = np.tensordot(rows, cut.astype(np.float32), 1)
    crop = np.tensordot(crop, columns, ([1], [1])).transpose(0, 2, 1)
    return np.rint(crop).astype(np.uint8, order="C"), image_to_crop


def check_box(box: ArrayLike, width: int, height: int) -> tuple[float, float, float, float]:
    """Check a box that a caller gave.

    Args:
        box: What should be (4,) x0 y0 x1 y1, photo pixels.
        width: Of the photo.
        height: Of the photo.

    Returns:
        Its four numbers.

    Raises:
        ValueError: Not four finite numbers with x0 < x1 and y0 < y1, or outside the photo.
    """
    values = np.asarray(box, np.float64)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise ValueError(f"box must be four finite numbers x0 y0 x1 y1, got {box!r}")
    x0, y0, x1, y1 = values.tolist()
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"box must have x0 < x1 and y0 < y1, got {values.tolist()}")
    # the photo's outermost pixels end half a pixel beyond their centres
    if x1 < -0.5 or y1 < -0.5 or x0 > width - 0.5 or y0 > height - 0.5:
        raise ValueError(
            f"box must lie at least partly in the photo of {width}×{height}, got {values.tolist()}"
        )
    return x0, y0, x1, y1


def _window(centre: float, side: float, length: int) -> tuple[int, int]:
    """First and one past the last photo pixel that a crop can see along one axis."""
    reach = side / 2 + 1  # a crop pixel sees at least one photo pixel's width
    first = math.floor(min(max(centre - reach, 0), length - 1))
    last = math.ceil(min(max(centre + reach, 0), length - 1))
    return first, last + 1


def _shrink(cut: NDArray[np.uint8], factor: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Average down by about a factor; also the exact (x, y) cut pixels per shrunk pixel."""
    height, width = cut.shape[:2]
    small_wh = max(1, round(width / factor)), max(1, round(height / factor))
    small = cv2.resize(cut, small_wh, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False), np.array([width, height]) / small_wh


def _weights(first: float, spacing: float, size: int, length: int) -> NDArray[np.float32]:
    """How much each of `length` pixels counts for each of `size` crop pixels along one axis.

    Args:
        first: Where the first crop pixel begins; pixel j of the cut reaches from j to j + 1.
        spacing: Length of a crop pixel, in pixels of the cut.
        size: Number of crop pixels.
        length: Number of pixels of the cut.

    Returns:
        (size, length) float32; a row's sum is the part of its crop pixel that the cut covers.
    """
    middle = first + (np.arange(size)[:, None] + 0.5) * spacing
    reach = max(1.0, spacing) / 2
    pixels = np.arange(length)
    overlap = np.minimum(middle + reach, pixels + 1) - np.maximum(middle - reach, pixels)
    weights: NDArray[np.float32] = (np.maximum(overlap, 0) / (2 * reach)).astype(np.float32)
    return weights
