"""A photo → the picture that a look sees: shrunk or enlarged quickly, without its plain borders."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Finer looks leave out borders of the picture whose blocks differ by no more levels than this.
BLOCK_PX, PLAIN = 32, 8


def resize(
    image: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], tuple[float, float], tuple[float, float]]:
    """Bring a photo to about a scale.

    Shrinking to a fifth or less leaves pixels out, then averages two by two, then interpolates:
    averaging over any other number of pixels takes longer than the look. Shrinking to a half or
    less leaves every second row out: averaging so many pixels takes a tenth of the search.

    Returns:
        The picture, how many photo pixels one of its pixels is wide and high, and where (x, y) in
        the photo its first pixel has its centre.
    """
    height, width = image.shape[:2]
    picture_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    step = max(1, int(0.5 / scale))
    if 0.2 < scale <= 0.5 and height > 1:
        return _interpolated(image[::2], picture_wh, (0.0, 0.0), (1.0, 2.0))
    left, top = min(step, width) // 2, min(step, height) // 2
    part, pixel, x, y = _thin(image[top:, left:], step), float(step), float(left), float(top)
    if scale * step <= 0.5 and min(part.shape[:2]) > 1:
        part = part[: part.shape[0] // 2 * 2, : part.shape[1] // 2 * 2]
        half_wh = part.shape[1] // 2, part.shape[0] // 2
        halved = cv2.resize(part, half_wh, interpolation=cv2.INTER_AREA)
        part = halved.astype(np.uint8, copy=False)
        pixel, x, y = 2 * pixel, x + pixel / 2, y + pixel / 2
    return _interpolated(part, picture_wh, (x, y), (pixel, pixel))


def _interpolated(
    part: NDArray[np.uint8],
    picture_wh: tuple[int, int],
    first: tuple[float, float],
    spacing: tuple[float, float],
) -> tuple[NDArray[np.uint8], tuple[float, float], tuple[float, float]]:
    """`resize` from some of a photo's pixels: the first at `first`, `spacing` between them."""
    height, width = part.shape[:2]
    ratio_x, ratio_y = width / picture_wh[0], height / picture_wh[1]
    if picture_wh != (width, height):
        picture = cv2.resize(part, picture_wh, interpolation=cv2.INTER_LINEAR)
        part = picture.astype(np.uint8, copy=False)
    x, y = first[0] + (ratio_x / 2 - 0.5) * spacing[0], first[1] + (ratio_y / 2 - 0.5) * spacing[1]
    return part, (ratio_x * spacing[0], ratio_y * spacing[1]), (x, y)


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
    rows, columns = _lively_blocks(green), _lively_blocks(green.T)
    if rows is None or columns is None:
        return 0, 0, picture[:0, :0]
    # a face may reach into the blocks around
    (top, bottom), (left, right) = (
        (max(first - 1, 0) * BLOCK_PX, (last + 2) * BLOCK_PX) for first, last in (rows, columns)
    )
    return left, top, picture[top:bottom, left:right]


def _lively_blocks(green: NDArray[np.uint8]) -> tuple[int, int] | None:
    """First and last row of blocks (half as large here) that aren't all plain; None if all are."""
    half = BLOCK_PX // 2
    columns = range(0, green.shape[1], half)

    def is_lively(row: int) -> bool:
        strip = green[row * half : (row + 1) * half]
        high = np.maximum.reduceat(strip.max(0), columns)
        low = np.minimum.reduceat(strip.min(0), columns)
        return bool((high - low > PLAIN).any())

    # from both ends: most often the outermost are lively
    rows = range(-(-green.shape[0] // half))
    first = next((row for row in rows if is_lively(row)), None)
    if first is None:
        return None
    return first, next(row for row in reversed(rows) if is_lively(row))
