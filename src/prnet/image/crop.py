"""From box to crop: the one rule by which the runtime, training and evaluation cut faces out."""

import math
import reprlib

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.geometry.sampling import halve
from prnet.geometry.similarity import Similarity
from prnet.image.read import check_image

# a part this many times finer than the crop is first averaged down to it: exact enough, and small
PRE_SHRINK = 2.0
# a rotated crop, which is less exact, has it averaged two by two while it is so many times finer
HALVE_ABOVE = 4.0
BLUR_BELOW, BLUR_PX = 0.75, 0.4  # scale under which a rotated crop is blurred first, in its pixels


def crop_face(
    image: NDArray[np.uint8], box: ArrayLike, size: int, crop_scale: float, angle_deg: float = 0.0
) -> tuple[NDArray[np.uint8], Similarity]:
    """Cut a square around a face, turn the face upright and bring it to the network's size.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1, photo pixels, tight around the face's landmarks; may reach outside.
        size: Side S of the crop in pixels.
        crop_scale: Side of the square in units of the box's mean width and height.
        angle_deg: The face's in-plane angle, clockwise as one sees it; by so much the box is turned
            about its centre.

    Returns:
        The crop (S, S, 3) uint8 RGB, as `cut` draws it, and image_to_crop, as `box_to_crop` says.

    Raises:
        ValueError: The image is no such array; the box isn't four finite numbers with x0 < x1 and
            y0 < y1, or lies outside the photo; size or crop_scale isn't positive.
    """
    height, width = check_image(image).shape[:2]
    checked = check_box(box, width, height)
    image_to_crop = box_to_crop(checked, size, crop_scale, angle_deg)
    return cut(image, image_to_crop, size), image_to_crop


def box_to_crop(box: ArrayLike, size: int, crop_scale: float, angle_deg: float = 0.0) -> Similarity:
    """The crop of a box: its square's side is crop_scale times the box's mean width and height.

    Args:
        box: (4,) x0 y0 x1 y1, photo pixels, tight around the face's landmarks.
        size: Side S of the crop in pixels.
        crop_scale: Side of the square in units of the box's mean width and height.
        angle_deg: See `crop_face`.

    Returns:
        See `square_to_crop`.

    Raises:
        ValueError: size or crop_scale isn't positive.
    """
    if size < 1 or not 0 < crop_scale < math.inf:
        raise ValueError(f"size and crop_scale must be positive, got {size} and {crop_scale}")
    x0, y0, x1, y1 = np.asarray(box, np.float64).tolist()
    side = crop_scale * (x1 - x0 + y1 - y0) / 2
    return square_to_crop(((x0 + x1) / 2, (y0 + y1) / 2), side, size, angle_deg)


def square_to_crop(centre: ArrayLike, side: float, size: int, angle_deg: float = 0.0) -> Similarity:
    """The similarity that makes a square of the photo the crop.

    Args:
        centre: (2,) float, photo pixels.
        side: Photo pixels.
        size: Side S of the crop in pixels.
        angle_deg: By which the picture is rotated, counter-clockwise as one sees it.

    Returns:
        image_to_crop: 2D, photo pixels → crop pixels, both with centres at integers and y down:
        xy ↦ R · (xy − centre) · S / side + (S − 1) / 2.
    """
    x, y = np.asarray(centre, np.float64).tolist()
    scale, middle = float(size / side), (size - 1) / 2
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    translation = middle - scale * (c * x + s * y), middle - scale * (c * y - s * x)
    return Similarity(scale, np.array([[c, s], [-s, c]]), np.array(translation))


def cut(image: NDArray[np.uint8], image_to_crop: Similarity, size: int) -> NDArray[np.uint8]:
    """Draw a crop.

    An upright crop's pixel is the mean of the photo over the pixel's own square, or over a square
    as large as a photo pixel where that is larger: so shrinking averages, enlarging interpolates
    linearly. A rotated one is blurred a little where it shrinks, and interpolated linearly.

    Args:
        image: (H, W, 3) uint8 RGB; not copied: what is taken from it is shrunk first, so memory
            grows with a quarter of what the crop sees at most.
        image_to_crop: As `square_to_crop` gives it.
        size: Side S of the crop in pixels.

    Returns:
        (S, S, 3) uint8 RGB, black outside the photo.
    """
    if image_to_crop.rotation[0, 0] != 1:
        return _cut_rotated(image, image_to_crop, size)
    height, width = image.shape[:2]
    side = size / image_to_crop.scale
    centre = ((size - 1) / 2 - image_to_crop.translation) / image_to_crop.scale
    left, right = _window(centre[0], side, width)
    top, bottom = _window(centre[1], side, height)
    part, step = image[top:bottom, left:right], np.ones(2)
    if side / size > PRE_SHRINK:
        part, step = _shrink(part, side / size / PRE_SHRINK)
    # the crop's first corner and its pixels' spacing, in pixels of the part
    first = (centre - side / 2 - (left, top) + 0.5) / step
    spacing = side / size / step
    rows = _weights(first[1], spacing[1], size, part.shape[0])
    columns = _weights(first[0], spacing[0], size, part.shape[1])
    crop = np.tensordot(rows, part.astype(np.float32), 1)
    crop = np.tensordot(crop, columns, ([1], [1])).transpose(0, 2, 1)
    return np.rint(crop).astype(np.uint8, order="C")


def shows_photo(
    shape_hw: tuple[int, ...], image_to_crop: Similarity, size: int
) -> NDArray[np.bool_]:
    """Tell where a crop shows photo: (S, S) bool, false past the centres of its outermost pixels.

    Args:
        shape_hw: The photo's height and width, and whatever follows.
        image_to_crop: As `square_to_crop` gives it.
        size: Side S of the crop in pixels.
    """
    crop_xy = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float64)
    xy = image_to_crop.inverse().apply(crop_xy)
    return np.asarray(((xy >= 0) & (xy <= np.array(shape_hw[1::-1]) - 1)).all(axis=-1), np.bool_)


def check_boxes(boxes: ArrayLike, width: int, height: int) -> NDArray[np.float32]:
    """Check boxes that a caller gave.

    Args:
        boxes: What should be (N, 4) x0 y0 x1 y1, photo pixels, or (N, 5) with an angle in degrees.
        width: Of the photo.
        height: Of the photo.

    Returns:
        (N, 5) float32, the angle NaN where none is given.

    Raises:
        ValueError: Not (N, 4) or (N, 5) numbers, an angle is infinite, or one is no box as
            `check_box` wants it; it is named.
    """
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(boxes, np.float64).astype(np.float32)
    except (TypeError, ValueError) as error:
        got = reprlib.repr(boxes)
        raise ValueError(f"boxes must be (N, 4) or (N, 5) numbers, got {got}") from error
    if array.shape == (0,):
        return np.empty((0, 5), np.float32)
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise ValueError(f"boxes must be (N, 4) or (N, 5) numbers, got {array.shape}")
    if array.shape[1] == 4:
        array = np.column_stack([array, np.full(len(array), np.nan, np.float32)])
    if np.isinf(array[:, 4]).any():
        raise ValueError(f"boxes: angles must not be infinite, got {array[:, 4].tolist()}")
    for i, box in enumerate(array[:, :4]):
        try:
            check_box(box, width, height)
        except ValueError as error:
            raise ValueError(f"boxes[{i}]: {error}") from error
    return array


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
        raise ValueError(f"box must be four finite numbers x0 y0 x1 y1, got {values.tolist()}")
    x0, y0, x1, y1 = values.tolist()
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"box must have x0 < x1 and y0 < y1, got {values.tolist()}")
    # the photo's outermost pixels end half a pixel beyond their centres
    if x1 < -0.5 or y1 < -0.5 or x0 > width - 0.5 or y0 > height - 0.5:
        raise ValueError(
            f"box must lie at least partly in the photo of {width}×{height}, got {values.tolist()}"
        )
    return x0, y0, x1, y1


def _cut_rotated(
    image: NDArray[np.uint8], image_to_crop: Similarity, size: int
) -> NDArray[np.uint8]:
    """`cut` for a crop that isn't upright."""
    # in plain numbers: so few of them take NumPy longer than all the pixels
    height, width = image.shape[:2]
    scale = image_to_crop.scale
    (c, s), (_, _) = image_to_crop.rotation.tolist()
    move_x, move_y = image_to_crop.translation.tolist()
    # the photo pixel in the crop's middle, and the square upright in the photo around the crop
    x, y = (size - 1) / 2 - move_x, (size - 1) / 2 - move_y
    x, y = (c * x - s * y) / scale, (s * x + c * y) / scale
    side = (size * (abs(c) + abs(s)) + 8 * BLUR_PX) / scale
    left, right = _window(x, side, width)
    top, bottom = _window(y, side, height)
    part, step = image[top:bottom, left:right], 1
    while scale * step * HALVE_ABOVE <= 1 and min(part.shape[:2]) > 1:
        part, step = halve(part), 2 * step
    if scale * step < BLUR_BELOW:
        part = np.asarray(cv2.GaussianBlur(part, (0, 0), BLUR_PX / (scale * step)), np.uint8)
    # pixels of the part → photo pixels → crop pixels
    first_x, first_y = (step - 1) / 2 + left, (step - 1) / 2 + top
    a, b = scale * c, scale * s
    moved = np.array(
        [
            [a * step, b * step, a * first_x + b * first_y + move_x],
            [-b * step, a * step, a * first_y - b * first_x + move_y],
        ]
    )
    crop = cv2.warpAffine(part, moved, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)


def _window(centre: float, side: float, length: int) -> tuple[int, int]:
    """First and one past the last photo pixel that a crop can see along one axis."""
    reach = side / 2 + 1  # a crop pixel sees at least one photo pixel's width
    first = math.floor(min(max(centre - reach, 0), length - 1))
    last = math.ceil(min(max(centre + reach, 0), length - 1))
    return first, last + 1


def _shrink(
    part: NDArray[np.uint8], factor: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Average down by about a factor; also the exact (x, y) pixels per shrunk pixel."""
    height, width = part.shape[:2]
    small_wh = max(1, round(width / factor)), max(1, round(height / factor))
    small = cv2.resize(part, small_wh, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False), np.array([width, height]) / small_wh


def _weights(first: float, spacing: float, size: int, length: int) -> NDArray[np.float32]:
    """How much each of `length` pixels counts for each of `size` crop pixels along one axis.

    Args:
        first: Where the first crop pixel begins; pixel j of the part reaches from j to j + 1.
        spacing: Length of a crop pixel, in pixels of the part.
        size: Number of crop pixels.
        length: Number of pixels of the part.

    Returns:
        (size, length) float32; a row's sum is the part of its crop pixel that the part covers.
    """
    middle = first + (np.arange(size)[:, None] + 0.5) * spacing
    reach = max(1.0, spacing) / 2
    pixels = np.arange(length)
    overlap = np.minimum(middle + reach, pixels + 1) - np.maximum(middle - reach, pixels)
    weights: NDArray[np.float32] = (np.maximum(overlap, 0) / (2 * reach)).astype(np.float32)
    return weights
