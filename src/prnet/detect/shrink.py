"""A photo → the picture that a look sees: shrunk or enlarged quickly, without its plain borders."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.sampling import halve

# Finer looks leave out borders of the picture whose blocks differ by no more levels than this.
BLOCK_PX, PLAIN = 32, 8


class View(NamedTuple):
    """A photo, or a picture of a part of it at another scale.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        x, y: Where in the photo its first pixel has its center.
        pixel_x, pixel_y: How many photo pixels one of its pixels is wide and high.
    """

    picture: NDArray[np.uint8]
    x: float = 0.0
    y: float = 0.0
    pixel_x: float = 1.0
    pixel_y: float = 1.0

    @property
    def pixel(self) -> float:
        """Both are about the same, except in photos a few pixels thin."""
        return math.sqrt(self.pixel_x * self.pixel_y)

    def part(self, left: int, top: int, right: int, bottom: int) -> "View":
        """A part of it, not copied."""
        x, y = self.x + left * self.pixel_x, self.y + top * self.pixel_y
        return self._replace(picture=self.picture[top:bottom, left:right], x=x, y=y)

    def of_pixels(
        self, picture: NDArray[np.uint8], x: float, y: float, pixel_x: float, pixel_y: float
    ) -> "View":
        """What is a view of its picture as a view of the photo."""
        first = self.x + x * self.pixel_x, self.y + y * self.pixel_y
        return View(picture, *first, pixel_x * self.pixel_x, pixel_y * self.pixel_y)


def resize(view: View, scale: float) -> View:
    """Bring a view to about a scale of its own.

    Shrinking to a fifth or less leaves pixels out, then averages two by two, then interpolates:
    averaging over any other number of pixels takes longer than the look. Shrinking to a half or
    less leaves every second row out: averaging so many pixels takes a tenth of the search.
    """
    image = view.picture
    height, width = image.shape[:2]
    picture_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    step = max(1, int(0.5 / scale))
    if 0.2 < scale <= 0.5 and height > 1:
        return _interpolated(view.of_pixels(image[::2], 0, 0, 1, 2), picture_wh)
    left, top = min(step, width) // 2, min(step, height) // 2
    view = view.of_pixels(_thin(image[top:, left:], step), left, top, step, step)
    if scale * step <= 0.5:
        view = halved(view)
    return _interpolated(view, picture_wh)


def halved(view: View) -> View:
    """A view's pixels averaged two by two; what has but one row or column stays as it is."""
    if min(view.picture.shape[:2]) < 2:
        return view
    return view.of_pixels(halve(view.picture), 0.5, 0.5, 2, 2)


def _interpolated(view: View, picture_wh: tuple[int, int]) -> View:
    """A view, so many pixels wide and high."""
    height, width = view.picture.shape[:2]
    if picture_wh == (width, height):
        return view
    picture = cv2.resize(view.picture, picture_wh, interpolation=cv2.INTER_LINEAR)
    pixel_x, pixel_y = width / picture_wh[0], height / picture_wh[1]
    first = (pixel_x - 1) / 2, (pixel_y - 1) / 2
    return view.of_pixels(picture.astype(np.uint8, copy=False), *first, pixel_x, pixel_y)


def _thin(image: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Every so many pixels each way, from the first on, in memory of their own."""
    if step == 1 or image.strides[2] != 1:
        return np.ascontiguousarray(image[::step, ::step])
    # NumPy takes half as long for pixels as for their three numbers
    pixels = image[::step].view("V3")[:, ::step, 0]
    return np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, 3)


def lively_part(view: View) -> View:
    """Cut off plain borders, as of sky and wall.

    Only green counts, and of that every second pixel each way.
    """
    green = view.picture[::2, ::2, 1]
    rows, columns = _lively_blocks(green), _lively_blocks(green.T)
    if rows is None or columns is None:
        return view.part(0, 0, 0, 0)
    # a face may reach into the blocks around
    (top, bottom), (left, right) = (
        (max(first - 1, 0) * BLOCK_PX, (last + 2) * BLOCK_PX) for first, last in (rows, columns)
    )
    return view.part(left, top, right, bottom)


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
