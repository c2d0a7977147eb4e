"""A photo → the picture that a look sees: shrunk or enlarged quickly, without its plain borders."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Finer looks leave out borders of the picture whose blocks differ by no more levels than this.
BLOCK_PX, PLAIN = 32, 8


def resize(
    image: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Bring a photo to about a scale.

    Shrinking to a fifth or less leaves pixels out, then averages two by two, then interpolates:
    averaging over any other number of pixels takes longer than the look. Shrinking to a half or
    less leaves every second row out: averaging so many pixels takes a tenth of the search.

    Returns:
        The picture, how many photo pixels one of its pixels is wide and high, and where (x, y) in
        the photo its first pixel has its centre.
    """
    height, width = image.shape[:2]
    picture_wh = [max(round(side * scale), 1) for side in (width, height)]
    step = max(1, int(0.5 / scale))
    if 0.2 < scale <= 0.5 and height > 1:
        return _interpolated(image[::2], picture_wh, np.zeros(2), np.array([1.0, 2.0]))
    first = np.array([min(step, side) // 2 for side in (width, height)], np.float64)
    part = _thin(image[int(first[1]) :, int(first[0]) :], step)
    spacing = np.full(2, float(step))
    if scale * step <= 0.5 and min(part.shape[:2]) > 1:
        part = part[: part.shape[0] // 2 * 2, : part.shape[1] // 2 * 2]
        half_wh = part.shape[1] // 2, part.shape[0] // 2
        halved = cv2.resize(part, half_wh, interpolation=cv2.INTER_AREA)
        part = halved.astype(np.uint8, copy=False)
        first, spacing = first + spacing / 2, 2 * spacing
    return _interpolated(part, picture_wh, first, spacing)


def _interpolated(
    part: NDArray[np.uint8],
    picture_wh: list[int],
    first: NDArray[np.float64],
    spacing: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """`resize` from some of a photo's pixels: the first at `first`, `spacing` between them."""
    ratio = np.array([part.shape[1], part.shape[0]]) / picture_wh
    picture = cv2.resize(part, picture_wh, interpolation=cv2.INTER_LINEAR)
    pixels = picture.astype(np.uint8, copy=False)
    return pixels, ratio * spacing, first + (ratio / 2 - 0.5) * spacing


def _thin(image: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Every so many pixels each way, from the first on, in memory of their own."""
    if step == 1 or image.strides[2] != 1:
        return np.ascontiguousarray(image[::step, ::step])
    # NumPy takes half as long for pixels as for their three numbers
    pixels = image[::step].view("V3")[:, ::step, 0]
    return np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, 3)


def lively_part(picture: NDArray[np.uint8]) -> tuple[int, int, NDArray[np.uint8]]:
    """Cut off plain borders, as of sky and wall: left, top, and what is left of a picture.

    Only green counts, and of that every second pixel each way.
    """
    green = picture[::2, ::2, 1]
    half = BLOCK_PX // 2
    rows, columns = (-(-side // half) for side in green.shape)
    edges = (0, rows * half - green.shape[0]), (0, columns * half - green.shape[1])
    blocks = np.pad(green, edges, mode="edge").reshape(rows, half, columns, half)
    is_lively = blocks.max((1, 3)) - blocks.min((1, 3)) > PLAIN
    if not is_lively.any():
        return 0, 0, picture[:0, :0]
    # a face may reach into the blocks around
    y, x = (np.flatnonzero(is_lively.any(axis)) for axis in (1, 0))
    top, bottom = max(y[0] - 1, 0) * BLOCK_PX, (y[-1] + 2) * BLOCK_PX
    left, right = max(x[0] - 1, 0) * BLOCK_PX, (x[-1] + 2) * BLOCK_PX
    return int(left), int(top), picture[top:bottom, left:right]
