"""A detector that takes small pictures → the faces of a photo of any size, coarse to fine.

The first look is at the whole photo, LOOK_PX wide or high; it finds every face larger than a
sixteenth of that. Where it is sure of none (in a large photo: neither it nor the next), the photo
is seen with a border around, and at its quarter turns. Finer looks follow where there may be
smaller faces: in large photos, when nothing was found, and when what was found is small. They see
the photo in tiles, so memory doesn't grow with it. What is small in a look, or not clearly a face,
is looked at once more from nearby, and that decides.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.detect.detections import Detections
from prnet.detect.shrink import lively_part, resize
from prnet.geometry.oriented import keep_distinct
from prnet.image.crop import cut, square_to_crop
from prnet.image.read import check_image

Boxes = NDArray[np.floating]
# a picture (H, W, 3) uint8 RGB → boxes (N, 5) as in prnet.geometry.oriented, and scores (N,)
FindFaces = Callable[[NDArray[np.uint8]], tuple[Boxes, NDArray[np.floating]]]

# Faces of this size (√(w·h) of the landmark box, pixels of a look) are found for sure.
SURE_PX = 19.0
LOOK_PX = 320  # longer side of the first look
SURE_SCORE = 0.6  # if it finds no face that scores so much, it may be one that stands unusually
# Of the second look: in a photo of 4000 pixels it sees a face of 40 with 9.6, which is enough for a
# hint. Looking at 12 megapixels with more would cost more than all the rest.
FINE_PX = 960
# Photos with a side of so many first looks get the second one whatever the first has found.
LARGE_PHOTO = 3.0
REFINEMENT = 4.0  # each further look sees the photo so many times larger
WORTHWHILE_REFINEMENT = 1.4  # a further look that gains less than this is left out
SMALLEST_PX = 24.0  # of the photo's own pixels: smaller faces hold too little to reconstruct
LOOK_BEYOND = 3.0  # faces down to a third of the smallest one found are looked for
LARGEST_ENLARGEMENT = 8.0  # of a photo smaller than the first look
# A finer look is cut into tiles: their cores share the photo out, and a tile reaches further by
# half the largest face that is left to it.
TILE_CORE_PX = 1152
LARGEST_FINE_PX = 128
# Faces smaller than this in a look are looked at once more, in a picture of CLOSER_LOOK_PX where
# they are about as large as CLOSER_PX; of the many that a look may hint at the likeliest.
CLOSE_PX, CLOSER_PX, CLOSER_LOOK_PX, MOST_CLOSER = 32.0, 56.0, 128, 40
# So are larger ones that score less than this, turned upright: coins and wheels look like faces at
# one size and angle, faces at others, too. The mean of both scores must be higher by DOUBT than a
# face's must.
CLEAR_SCORE, DOUBT = 0.8, 0.04
# What only unusual looks show is less often a face: by so much more must it score, with a border
# around the photo and in its quarter turns.
BORDER_DOUBT, TURNED_DOUBT = 0.06, 0.2
HINT_SLACK = 0.75  # hints smaller than this part of the smallest face wanted are left alone
SAME_FACE = 0.6  # part of the smaller box's area; the higher-scored one of such two is kept


def check_settings(min_score: float, smallest_face: float) -> None:
    """Refuse settings out of range."""
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score must be in [0, 1], got {min_score}")
    if not 0 < smallest_face <= 1:
        raise ValueError(f"smallest_face must be in (0, 1], got {smallest_face}")


def search(
    image: NDArray[np.uint8],
    find: FindFaces,
    smallest_face: float,
    closer_score: float | None = None,
) -> Detections:
    """Look at a photo from coarse to fine with a detector that takes small pictures.

    Args:
        image: (H, W, 3) uint8 RGB.
        find: The detector.
        smallest_face: Faces smaller than this part of the photo's longer side aren't looked for.
        closer_score: The score that a face must reach, if the detector finds lower ones, too: those
            are hints at small faces, to be looked at from nearby, as are faces that aren't clear.
            None: what is found is a face.

    Returns:
        Detections, largest first.
    """
    side = max(check_image(image).shape[:2])
    is_large = side >= LARGE_PHOTO * LOOK_PX
    # sizes in a coarse look aren't exact
    least = HINT_SLACK * max(SMALLEST_PX, smallest_face * side)

    def see(
        way: FindFaces, scale: float, largest_px: float, doubt: float
    ) -> tuple[Boxes, NDArray[np.floating]]:
        """Look once; what is a face from nearby, too."""
        found, found_scores = _look(image, scale, way, largest_px)
        if closer_score is None:
            return found, found_scores
        is_hint = _sizes(found) >= least
        hints = found[is_hint], found_scores[is_hint]
        needed = closer_score + doubt, closer_score + max(doubt, DOUBT)
        return _look_closer(image, find, *hints, scale, *needed)

    boxes, scores = np.empty((0, 5)), np.empty(0)
    scales = list(_scales(side, smallest_face))
    # in a large photo the second look sees better what the first was unsure of
    last_usual, enough = (min(1, len(scales) - 1), 0.0) if is_large else (0, SURE_SCORE)
    for look, scale in enumerate(scales):
        found, found_scores = see(find, scale, LARGEST_FINE_PX if look else math.inf, 0.0)
        boxes, scores = _joined([boxes, found], [scores, found_scores])
        for way, doubt in ((_find_smaller, BORDER_DOUBT), (_find_turned, TURNED_DOUBT)):
            if look == last_usual and not (scores >= enough).any():
                found, found_scores = see(partial(way, find), scales[0], math.inf, doubt)
                boxes, scores = _joined([boxes, found], [scores, found_scores])
        kept = keep_distinct(boxes, scores, SAME_FACE)
        boxes, scores = boxes[kept], scores[kept]
        is_small = len(boxes) and _sizes(boxes).min() * scale < LOOK_BEYOND * SURE_PX
        if len(boxes) and not is_small and (look or not is_large):
            break
    order = np.argsort(-_sizes(boxes), kind="stable")
    return Detections.of_oriented(boxes[order], scores[order])


def _scales(side: float, smallest_face: float) -> Iterator[float]:
    """The looks from coarse to fine, as scales of a photo whose longer side is `side`."""
    finest = min(1.0, SURE_PX / SMALLEST_PX, SURE_PX / (smallest_face * side))
    scale = min(LARGEST_ENLARGEMENT, LOOK_PX / side)
    yield scale
    following = FINE_PX / side
    while scale * WORTHWHILE_REFINEMENT < finest:
        scale = min(following, finest)
        yield scale
        following = scale * REFINEMENT


def _look(
    image: NDArray[np.uint8], scale: float, find: FindFaces, largest_px: float
) -> tuple[Boxes, NDArray[np.floating]]:
    """Look at a photo at one scale.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: To look at.
        find: The detector.
        largest_px: Larger boxes (pixels at this scale) are left out.

    Returns:
        (N, 5) boxes, photo pixels, and their scores.
    """
    picture, pixel_xy, first_xy = resize(image, scale)
    if largest_px < math.inf:
        left, top, picture = lively_part(picture)
        first_xy = first_xy + pixel_xy * [left, top]
    all_boxes: list[Boxes] = []
    all_scores: list[NDArray[np.floating]] = []
    for rows, own_rows in _tiles(picture.shape[0]):
        for columns, own_columns in _tiles(picture.shape[1]):
            boxes, scores = find(picture[rows, columns])
            x, y = boxes[:, 0] + columns.start, boxes[:, 1] + rows.start
            is_own = (own_columns[0] <= x) & (x < own_columns[1])
            is_own &= (own_rows[0] <= y) & (y < own_rows[1])
            is_own &= (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & (_sizes(boxes) <= largest_px)
            boxes = boxes[is_own].astype(np.float64)
            boxes[:, 0] = x[is_own] * pixel_xy[0] + first_xy[0]
            boxes[:, 1] = y[is_own] * pixel_xy[1] + first_xy[1]
            # both are the same but for rounding
            boxes[:, 2:4] *= math.sqrt(pixel_xy[0] * pixel_xy[1])
            all_boxes.append(boxes)
            all_scores.append(scores[is_own])
    return _joined(all_boxes, all_scores)


def _look_closer(
    image: NDArray[np.uint8],
    find: FindFaces,
    boxes: Boxes,
    scores: NDArray[np.floating],
    scale: float,
    min_score: float,
    unclear_score: float,
) -> tuple[Boxes, NDArray[np.floating]]:
    """Look from nearby at what is small in a look or not clear: what is left of it is a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        find: The detector.
        boxes: (N, 5), photo pixels.
        scores: (N,).
        scale: Of the look that they were found in.
        min_score: That a face must reach, a small one from nearby.
        unclear_score: That the mean of both must reach where one isn't clear.

    Returns:
        (K, 5) boxes and their scores: of small faces those of the closer look, of unclear ones
        their own box and the mean.
    """
    sizes = _sizes(boxes)
    is_small = sizes * scale < CLOSE_PX
    is_clear = ~is_small & (scores >= max(min_score, CLEAR_SCORE))
    kept, kept_scores = [boxes[is_clear]], [scores[is_clear]]
    hints = np.flatnonzero(~is_clear & (sizes > 0))
    for hint in hints[np.argsort(-scores[hints], kind="stable")][:MOST_CLOSER]:
        box, score = boxes[hint], float(scores[hint])
        if is_small[hint]:  # what angle it has can't be told well from afar
            found = _closer_face(image, find, box[:2], sizes[hint], 0.0, min_score)
        elif score >= SURE_SCORE or not sum(map(len, kept)):
            # what is less than sure of a large face is worth a look where there is nothing else
            least = 2 * unclear_score - score
            seen = _closer_face(image, find, box[:2], sizes[hint], box[4], least)
            found = None if seen is None else (box, (score + seen[1]) / 2)
        else:
            found = None
        if found is not None:
            kept.append(found[0][None])
            kept_scores.append(np.array([found[1]]))
    return _joined(kept, kept_scores)


def _closer_face(
    image: NDArray[np.uint8],
    find: FindFaces,
    centre: Boxes,
    size: float,
    angle: float,
    least: float,
) -> tuple[Boxes, float] | None:
    """The face of about a place and size, seen from nearby in the photo turned back by an angle.

    Its box (5,), photo pixels, and its score; None if none scores so much.
    """
    window, (left, top) = _around(image, centre, size * CLOSER_LOOK_PX / CLOSER_PX)
    picture, spacing, first = window, np.ones(2), np.zeros(2)
    if size > CLOSER_PX:  # shrunk as looks are, which is quicker than as crops are
        picture, spacing, first = resize(window, CLOSER_PX / size)
    first, step = first + [left, top], math.sqrt(spacing[0] * spacing[1])
    side = size / step * CLOSER_LOOK_PX / CLOSER_PX
    place = (centre - first) / spacing
    to_closer = square_to_crop(place, side, CLOSER_LOOK_PX, math.degrees(angle))
    found, scores = find(cut(picture, to_closer, CLOSER_LOOK_PX))
    centre_px, best = (CLOSER_LOOK_PX - 1) / 2, -1
    # in plain numbers: NumPy takes longer for so few
    for number, (box, score) in enumerate(zip(found.tolist(), scores.tolist(), strict=True)):
        x, y, width, height, _ = box
        is_near = math.hypot(x - centre_px, y - centre_px) <= CLOSER_PX / 2
        fits = is_near and CLOSER_PX / 2 <= math.sqrt(width * height) <= CLOSER_PX * 2
        if fits and score >= least:
            best, least = number, score
    if best < 0:
        return None
    middle = to_closer.inverse().apply(found[best, :2].astype(np.float64)) * spacing + first
    extent = found[best, 2:4] * step / to_closer.scale
    return np.array([*middle, *extent, found[best, 4] + angle]), least


def _around(
    image: NDArray[np.uint8], centre: Boxes, side: float
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """What a photo shows of a square at any angle, and where (x, y) that begins; not copied."""
    reach = side * math.sqrt(0.5) + 2
    height, width = image.shape[:2]
    (x0, x1), (y0, y1) = (
        (min(max(math.floor(at - reach), 0), end - 1), min(max(math.ceil(at + reach), 1), end))
        for at, end in zip(centre.tolist(), (width, height), strict=True)
    )
    return image[y0:y1, x0:x1], (x0, y0)


def _find_smaller(
    find: FindFaces, picture: NDArray[np.uint8]
) -> tuple[Boxes, NDArray[np.floating]]:
    """Find faces in a picture of half the size amid black: what fills a picture has room there."""
    height, width = picture.shape[:2]
    half_wh = -(-width // 2), -(-height // 2)
    left, top = width // 4, height // 4
    amid = np.zeros_like(picture)
    amid[top : top + half_wh[1], left : left + half_wh[0]] = cv2.resize(
        picture, half_wh, interpolation=cv2.INTER_AREA
    )
    boxes, scores = find(amid)
    step = np.array([width, height]) / half_wh
    middle = (boxes[:, :2] - [left, top] + 0.5) * step - 0.5
    return np.column_stack([middle, boxes[:, 2:4] * step, boxes[:, 4]]), scores


def _find_turned(find: FindFaces, picture: NDArray[np.uint8]) -> tuple[Boxes, NDArray[np.floating]]:
    """Find faces in a picture's quarter turns: boxes (N, 5) in the picture itself, and scores.

    A detector is surest of upright faces; a photo without any may have been turned.
    """
    all_boxes: list[Boxes] = []
    all_scores: list[NDArray[np.floating]] = []
    for turns in (1, 2, 3):
        boxes, scores = find(np.ascontiguousarray(np.rot90(picture, turns)))
        for turn in reversed(range(turns)):
            # undo one turn, counter-clockwise; before it the picture was so wide
            width = picture.shape[1 - turn % 2]
            x, y, *extent, angle = boxes.T
            boxes = np.column_stack([width - 1 - y, x, *extent, angle + np.pi / 2])
        all_boxes.append(boxes)
        all_scores.append(scores)
    return np.vstack(all_boxes), np.concatenate(all_scores)


def _tiles(length: int) -> Iterator[tuple[slice, tuple[float, float]]]:
    """Cut one axis into overlapping tiles; also the core that each of them answers for alone."""
    if length == 0:
        return
    whole = TILE_CORE_PX + LARGEST_FINE_PX
    count = 1 if length <= whole else math.ceil(length / TILE_CORE_PX)
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    for i, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        reach = LARGEST_FINE_PX // 2
        tile = slice(max(first - reach, 0), min(last + reach, length))
        yield tile, (-math.inf if i == 0 else first, math.inf if i == count - 1 else last)


def _joined(
    boxes: list[Boxes], scores: list[NDArray[np.floating]]
) -> tuple[Boxes, NDArray[np.floating]]:
    """All boxes (N, 5) and scores in one array each."""
    some = [part for part in zip(boxes, scores, strict=True) if len(part[0])]
    if len(some) == 1:
        return some[0]
    empty = np.empty((0, 5)), np.empty(0)
    all_boxes, all_scores = zip(*(some or [empty]), strict=True)
    return np.concatenate(all_boxes), np.concatenate(all_scores)


def _sizes(boxes: Boxes) -> Boxes:
    """√(w·h) of boxes (N, 5): (N,)."""
    sizes: Boxes = np.sqrt(boxes[:, 2] * boxes[:, 3])
    return sizes
