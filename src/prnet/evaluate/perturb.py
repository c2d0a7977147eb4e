"""A photo and its truth → the same made harder, boxes moved, and pictures without a face."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.geometry.boxes import box_overlap
from prnet.landmarks import mirror_landmarks

Photo = NDArray[np.uint8]
Points = NDArray[np.floating]
Boxes = NDArray[np.float32]

COVERED_SHARE = 1 / 3  # of the face's box
SMALL_PX = 32.0  # mean side of a small face's box
JITTER = 0.04  # of the box's width and height, for shifts and scalings
BESIDE_OVERLAP = 0.1  # largest intersection over union of a box beside a face with the face's
BESIDE_SCALE = 0.5, 1.0  # of the face's width and height
BESIDE_TRIES = 200
OBJECT_SCALE = 0.2, 0.6  # of the picture's shorter side
TEXTURE_PX = 128
# photos of things and patterns that scikit-image's wheel carries: nobody's face, not even a cat's
OBJECTS = (
    *("brick", "cell", "clock", "coffee", "coins", "grass", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "page", "retina", "rocket", "text"),
)


def cover(photo: Photo, box: ArrayLike, thing: Photo, rng: np.random.Generator) -> Photo:
    """Cover a random third of a face.

    What is covered is a rectangle anywhere in the face's box with a third of its area: (1/3)ᵉ of
    its width and (1/3)¹⁻ᵉ of its height, e even in [0, 1]. It shows, with equal chances, a quarter
    of another picture from anywhere in it, one color, or noise in every pixel.

    Args:
        photo: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1 of the face, photo pixels.
        thing: (H', W', 3) uint8 RGB, at least 2 pixels wide and high: the other picture. It should
            show no face, or nobody knows which one is meant.
        rng: Source of randomness.

    Returns:
        (H, W, 3) uint8 RGB, a new array; what of the rectangle is outside the photo is lost.
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    width_share = COVERED_SHARE ** rng.random()
    size = (high - low) * [width_share, COVERED_SHARE / width_share]
    start = low + rng.random(2) * (high - low - size)
    corners = np.clip(np.rint([start, start + size]), 0, photo.shape[1::-1]).astype(int)
    (left, top), (right, bottom) = corners
    covered = photo.copy()
    hidden = covered[top:bottom, left:right]
    if hidden.size:
        hidden[:] = _cloth(hidden.shape, thing, rng)
    return covered


def _cloth(shape: tuple[int, ...], thing: Photo, rng: np.random.Generator) -> Photo:
    """What a face is covered with: (h, w, 3) uint8."""
    height, width = shape[:2]
    kind = rng.integers(3)
    if kind == 0:
        rows, columns = thing.shape[0] // 2, thing.shape[1] // 2
        top, left = rng.integers(rows + 1), rng.integers(columns + 1)
        quarter = thing[top : top + rows, left : left + columns]
        return cv2.resize(quarter, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    grain = (1, 1, 3) if kind == 1 else (height, width, 3)
    return rng.integers(0, 256, grain, dtype=np.uint8)


def shrink(photo: Photo, points: Points) -> tuple[Photo, Points]:
    """Shrink a photo until the mean side of a face's box is 32 pixels; never enlarge it.

    Args:
        photo: (H, W, 3) uint8 RGB.
        points: (P, 2 or 3) float, photo frame: the face.

    Returns:
        (h, w, 3) uint8 RGB, averaged down, and (P, 2) float: the points in it.
    """
    factor = min(1.0, SMALL_PX / float(np.ptp(points[:, :2], axis=0).mean()))
    size_wh = np.array(photo.shape[1::-1])
    small_wh = np.maximum(np.rint(size_wh * factor), 1).astype(int)
    small = cv2.resize(photo, small_wh.tolist(), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), (points[:, :2] + 0.5) * (small_wh / size_wh) - 0.5


def mirror(photo: Photo, landmarks68: Points) -> tuple[Photo, Points]:
    """Flip a photo left to right, and its landmarks with it: see `mirror_landmarks`."""
    return np.ascontiguousarray(photo[:, ::-1]), mirror_landmarks(landmarks68, photo.shape[1])


def jitter_box(box: ArrayLike, count: int, rng: np.random.Generator) -> Boxes:
    """Shift a box by up to 4% of its width and height and scale it by up to 4%, evenly spread.

    Args:
        box: (4,) x0 y0 x1 y1.
        count: How many boxes to make.
        rng: Source of randomness.

    Returns:
        (count, 4) float32.
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    centre = (low + high) / 2 + rng.uniform(-JITTER, JITTER, (count, 2)) * (high - low)
    return _boxes(centre, (high - low) * (1 + rng.uniform(-JITTER, JITTER, (count, 1))))


def boxes_beside(
    box: ArrayLike, shape: tuple[int, ...], count: int, rng: np.random.Generator
) -> Boxes:
    """Boxes in a photo that hardly overlap a face's.

    Args:
        box: (4,) x0 y0 x1 y1 of the face, photo pixels.
        shape: The photo's height and width, and whatever follows.
        count: How many are wanted.
        rng: Source of randomness.

    Returns:
        (N, 4) float32, N ≤ count: half to as large as the face's, centres anywhere in the photo,
        intersection over union under 0.1. Fewer where there is hardly any room.
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    drawn = _draw_boxes(high - low, BESIDE_SCALE, shape, BESIDE_TRIES, rng)
    return drawn[box_overlap(drawn, box) < BESIDE_OVERLAP][:count]


def object_boxes(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> Boxes:
    """Square boxes anywhere in a picture, a fifth to three fifths of its shorter side large.

    Args:
        shape: The picture's height and width, and whatever follows.
        count: How many.
        rng: Source of randomness.

    Returns:
        (count, 4) float32.
    """
    side = np.full(2, min(shape[:2]), np.float64)
    return _draw_boxes(side, OBJECT_SCALE, shape, count, rng)


def _draw_boxes(
    size_wh: NDArray[np.float64],
    scale: tuple[float, float],
    shape: tuple[int, ...],
    count: int,
    rng: np.random.Generator,
) -> Boxes:
    """Boxes of a size times a random scale, with their centres in a picture: (count, 4)."""
    centre = rng.random((count, 2)) * (np.array(shape[1::-1]) - 1)
    return _boxes(centre, size_wh * rng.uniform(*scale, (count, 1)))


def _boxes(centre: NDArray[np.float64], size_wh: NDArray[np.float64]) -> Boxes:
    """Centres and sizes, (N, 2) each, as boxes (N, 4) float32."""
    return np.hstack([centre - size_wh / 2, centre + size_wh / 2]).astype(np.float32)


def object_pictures() -> dict[str, Photo]:
    """The pictures of OBJECTS by name, (H, W, 3) uint8 RGB each."""
    from skimage import data  # slow to import

    pictures = {name: getattr(data, name)() for name in OBJECTS}
    return {
        name: np.dstack([each] * 3) if each.ndim == 2 else each for name, each in pictures.items()
    }


def make_texture(rng: np.random.Generator) -> tuple[Photo, Boxes]:
    """Draw stripes, or noise of any grain, between two colors.

    Args:
        rng: Source of randomness.

    Returns:
        (128, 128, 3) uint8 RGB, and (1, 4) float32: a box in its middle, half its side large.
    """
    colors = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.5:
        across = np.radians(rng.uniform(0, 180))
        y, x = np.mgrid[:TEXTURE_PX, :TEXTURE_PX]
        wave = (x * np.cos(across) + y * np.sin(across)) / rng.uniform(4, TEXTURE_PX)
        share = 0.5 + 0.5 * np.sin(2 * np.pi * wave)
    else:
        grain = int(np.exp(rng.uniform(np.log(2), np.log(TEXTURE_PX))))
        share = cv2.resize(rng.random((grain, grain)), (TEXTURE_PX, TEXTURE_PX))
    texture = colors[0] + share[..., None] * (colors[1] - colors[0])
    quarter = TEXTURE_PX / 4
    box = np.array([[quarter, quarter, 3 * quarter, 3 * quarter]], np.float32)
    return np.rint(texture).astype(np.uint8), box
