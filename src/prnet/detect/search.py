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
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.detect.detections import Detections
from prnet.detect.shrink import lively_part, resize
from prnet.geometry.oriented import keep_distinct
from prnet.image.crop import cut, square_to_crop
from prnet.image.read import check_image

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
# a picture → boxes (N, 5) as in prnet.geometry.oriented, and scores (N,)
FindFaces = Callable[[Picture], tuple[NDArray[np.floating], NDArray[np.floating]]]

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


class _Found(NamedTuple):
    """A box as in `prnet.geometry.oriented`, and its score.

    In plain numbers: a photo has few faces, for which NumPy takes longer.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float
    score: float

    @property
    def size(self) -> float:
        """√(w·h)."""
        return math.sqrt(self.width * self.height)


_Way = Callable[[Picture], list[_Found]]  # of looking at a picture


def search(
    image: Picture,
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
    usual = partial(_find, find)

    def see(way: _Way, scale: float, largest_px: float, doubt: float) -> list[_Found]:
        """Look once; what is a face from nearby, too."""
        found = _look(image, scale, way, largest_px)
        if closer_score is None:
            return found
        hints = [box for box in found if box.size >= least]
        needed = closer_score + doubt, closer_score + max(doubt, DOUBT)
        return _look_closer(image, usual, hints, scale, *needed)

    faces: list[_Found] = []
    scales = list(_scales(side, smallest_face))
    # in a large photo the second look sees better what the first was unsure of
    last_usual, enough = (min(1, len(scales) - 1), 0.0) if is_large else (0, SURE_SCORE)
    for look, scale in enumerate(scales):
        faces += see(usual, scale, LARGEST_FINE_PX if look else math.inf, 0.0)
        for way, doubt in ((_find_smaller, BORDER_DOUBT), (_find_turned, TURNED_DOUBT)):
            if look == last_usual and not any(face.score >= enough for face in faces):
                faces += see(partial(way, usual), scales[0], math.inf, doubt)
        faces = _distinct(faces)
        is_small = any(face.size * scale < LOOK_BEYOND * SURE_PX for face in faces)
        if faces and not is_small and (look or not is_large):
            break
    table = np.array(sorted(faces, key=lambda face: -face.size), np.float64).reshape(-1, 6)
    return Detections.of_oriented(table[:, :5], table[:, 5])


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


def _look(image: Picture, scale: float, way: _Way, largest_px: float) -> list[_Found]:
    """Look at a photo at one scale.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: To look at.
        way: To look.
        largest_px: Larger boxes (pixels at this scale) are left out.

    Returns:
        What was found, photo pixels.
    """
    picture, (step_x, step_y), (first_x, first_y) = resize(image, scale)
    if largest_px < math.inf:
        left, top, picture = lively_part(picture)
        first_x, first_y = first_x + step_x * left, first_y + step_y * top
    step = math.sqrt(step_x * step_y)  # both are the same but for rounding
    found = []
    for rows, (own_top, own_bottom) in _tiles(picture.shape[0]):
        for columns, (own_left, own_right) in _tiles(picture.shape[1]):
            for box in way(picture[rows, columns]):
                x, y = box.x + columns.start, box.y + rows.start
                is_own = own_left <= x < own_right and own_top <= y < own_bottom
                if is_own and box.width > 0 and box.height > 0 and box.size <= largest_px:
                    place = x * step_x + first_x, y * step_y + first_y
                    extent = box.width * step, box.height * step
                    found.append(_Found(*place, *extent, box.angle, box.score))
    return found


def _look_closer(
    image: Picture,
    way: _Way,
    boxes: list[_Found],
    scale: float,
    min_score: float,
    unclear_score: float,
) -> list[_Found]:
    """Look from nearby at what is small in a look or not clear: what is left of it is a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        way: To look.
        boxes: What a look found, photo pixels.
        scale: Of that look.
        min_score: That a face must reach, a small one from nearby.
        unclear_score: That the mean of both must reach where one isn't clear.

    Returns:
        Of small faces those of the closer look, of unclear ones their own box and the mean score.
    """

    def is_small(box: _Found) -> bool:
        return box.size * scale < CLOSE_PX

    def is_clear(box: _Found) -> bool:
        return not is_small(box) and box.score >= max(min_score, CLEAR_SCORE)

    kept = [box for box in boxes if is_clear(box)]
    hints = sorted((box for box in boxes if not is_clear(box)), key=lambda box: -box.score)
    for hint in hints[:MOST_CLOSER]:
        if is_small(hint):  # what angle it has can't be told well from afar
            found = _closer_face(image, way, hint._replace(angle=0.0), min_score)
        elif hint.score >= SURE_SCORE or not kept:
            # what is less than sure of a large face is worth a look where there is nothing else
            seen = _closer_face(image, way, hint, 2 * unclear_score - hint.score)
            found = seen and hint._replace(score=(hint.score + seen.score) / 2)
        else:
            found = None
        if found is not None:
            kept.append(found)
    return kept


def _closer_face(image: Picture, way: _Way, hint: _Found, least: float) -> _Found | None:
    """The face of about a box, seen from nearby in the photo turned back by its angle.

    None if none scores so much.
    """
    size = hint.size
    window, (left, top) = _around(image, hint, size * CLOSER_LOOK_PX / CLOSER_PX)
    picture, (step_x, step_y), (first_x, first_y) = window, (1.0, 1.0), (0.0, 0.0)
    if size > CLOSER_PX:  # shrunk as looks are, which is quicker than as crops are
        picture, (step_x, step_y), (first_x, first_y) = resize(window, CLOSER_PX / size)
    first_x, first_y, step = first_x + left, first_y + top, math.sqrt(step_x * step_y)
    place_x, place_y = (hint.x - first_x) / step_x, (hint.y - first_y) / step_y
    pixel = size / step / CLOSER_PX  # of the closer look, in pixels of the picture
    to_closer = square_to_crop(
        (place_x, place_y), pixel * CLOSER_LOOK_PX, CLOSER_LOOK_PX, math.degrees(hint.angle)
    )
    middle, best = (CLOSER_LOOK_PX - 1) / 2, None
    for box in way(cut(picture, to_closer, CLOSER_LOOK_PX)):
        is_near = math.hypot(box.x - middle, box.y - middle) <= CLOSER_PX / 2
        if is_near and CLOSER_PX / 2 <= box.size <= CLOSER_PX * 2 and box.score >= least:
            best, least = box, box.score
    if best is None:
        return None
    cos, sin = math.cos(hint.angle) * pixel, math.sin(hint.angle) * pixel
    x, y = best.x - middle, best.y - middle
    return _Found(
        (place_x + cos * x - sin * y) * step_x + first_x,
        (place_y + sin * x + cos * y) * step_y + first_y,
        best.width * step * pixel,
        best.height * step * pixel,
        best.angle + hint.angle,
        best.score,
    )


def _around(image: Picture, box: _Found, side: float) -> tuple[Picture, tuple[int, int]]:
    """What a photo shows of a square at any angle, and where (x, y) that begins; not copied."""
    reach = side * math.sqrt(0.5) + 2
    height, width = image.shape[:2]
    (x0, x1), (y0, y1) = (
        (min(max(math.floor(at - reach), 0), end - 1), min(max(math.ceil(at + reach), 1), end))
        for at, end in ((box.x, width), (box.y, height))
    )
    return image[y0:y1, x0:x1], (x0, y0)


def _find(find: FindFaces, picture: Picture) -> list[_Found]:
    """What a detector finds in a picture."""
    boxes, scores = find(picture)
    pairs = zip(boxes.tolist(), scores.tolist(), strict=True)
    return [_Found._make((*box, score)) for box, score in pairs]


def _find_smaller(way: _Way, picture: Picture) -> list[_Found]:
    """Find faces in a picture of half the size amid black: what fills a picture has room there."""
    height, width = picture.shape[:2]
    half_width, half_height = -(-width // 2), -(-height // 2)
    left, top = width // 4, height // 4
    amid = np.zeros_like(picture)
    amid[top : top + half_height, left : left + half_width] = cv2.resize(
        picture, (half_width, half_height), interpolation=cv2.INTER_AREA
    )
    step_x, step_y = width / half_width, height / half_height
    return [
        _Found(
            (x - left + 0.5) * step_x - 0.5,
            (y - top + 0.5) * step_y - 0.5,
            box_width * step_x,
            box_height * step_y,
            *rest,
        )
        for x, y, box_width, box_height, *rest in way(amid)
    ]


def _find_turned(way: _Way, picture: Picture) -> list[_Found]:
    """Find faces in a picture's quarter turns: their boxes in the picture itself.

    A detector is surest of upright faces; a photo without any may have been turned.
    """
    found = []
    for turns in (1, 2, 3):
        boxes = way(np.ascontiguousarray(np.rot90(picture, turns)))
        for turn in reversed(range(turns)):
            # undo one turn, counter-clockwise; before it the picture was so wide
            width = picture.shape[1 - turn % 2]
            boxes = [
                box._replace(x=width - 1 - box.y, y=box.x, angle=box.angle + math.pi / 2)
                for box in boxes
            ]
        found += boxes
    return found


def _tiles(length: int) -> Iterator[tuple[slice, tuple[float, float]]]:
    """Cut one axis into overlapping tiles; also the core that each of them answers for alone."""
    if length == 0:
        return
    whole = TILE_CORE_PX + LARGEST_FINE_PX
    count = 1 if length <= whole else math.ceil(length / TILE_CORE_PX)
    edges = [round(length * i / count) for i in range(count + 1)]
    for i, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        reach = LARGEST_FINE_PX // 2
        tile = slice(max(first - reach, 0), min(last + reach, length))
        yield tile, (-math.inf if i == 0 else first, math.inf if i == count - 1 else last)


def _distinct(faces: list[_Found]) -> list[_Found]:
    """Of those that are one face the surest."""
    if len(faces) < 2:
        return faces
    table = np.array(faces)
    return [faces[i] for i in keep_distinct(table[:, :5], table[:, 5], SAME_FACE).tolist()]
