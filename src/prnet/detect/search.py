"""A detector that takes small pictures → the faces of a photo of any size, coarse to fine.

The coarse look is at the whole photo, LOOK_PX wide or high; it finds every face larger than a
sixteenth of that. A large photo is seen more finely before, and the coarse look's picture is made
of that one. Where no look was sure of a face, the photo is seen with a border around, and at its
quarter turns. Finer looks follow where there may be smaller faces: when nothing was found, and when
what was found is small. They see the photo in tiles, so memory doesn't grow with it. What is small
in a look, or not clearly a face, is looked at once more from nearby, and that decides, unless it is
a face that is known already.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.detect.detections import Detections
from prnet.detect.found import FoundBox, distinct, is_same
from prnet.detect.shrink import View, halved, lively_part, resize
from prnet.image.crop import cut, square_to_crop
from prnet.image.read import check_image

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
# a picture → boxes (N, 5) as in prnet.geometry.oriented, and scores (N,)
FindFaces = Callable[[Picture], tuple[NDArray[np.floating], NDArray[np.floating]]]

# Faces of this size (√(w·h) of the landmark box, pixels of a look) are found for sure.
SURE_PX = 19.0
LOOK_PX = 320  # longer side of the coarse look
SURE_SCORE = 0.6  # if it finds no face that scores so much, it may be one that stands unusually
# Of the fine look: in a photo of 4000 pixels it sees a face of 40 with 11.5, which is enough for a
# hint. Looking at 12 megapixels with more would cost more than all the rest.
FINE_PX = 1152
# Photos with a side of so many coarse looks get the fine one whatever else is found.
LARGE_PHOTO = 3.0
REFINEMENT = 4.0  # each further look sees the photo so many times larger
WORTHWHILE_REFINEMENT = 1.3  # a further look that gains less than this is left out
SMALLEST_PX = 24.0  # of the photo's own pixels: smaller faces hold too little to reconstruct
LOOK_BEYOND = 3.0  # faces down to a third of the smallest one found are looked for
LARGEST_ENLARGEMENT = 8.0  # of a photo smaller than the coarse look
# A finer look is cut into tiles: their cores share the photo out, and a tile reaches further by
# half the largest face that is left to it.
TILE_CORE_PX = 1152
LARGEST_FINE_PX = 192
# Faces smaller than this in a look are looked at once more, in a picture of CLOSER_LOOK_PX where
# they are about as large as CLOSER_PX; of the many that a look may hint at the likeliest.
CLOSE_PX, CLOSER_PX, CLOSER_LOOK_PX, MOST_CLOSER = 32.0, 56.0, 128, 40
# By so much more than others must small ones score from nearby: blossoms and coins score nearly
# what is enough for those.
SMALL_DOUBT = 0.1
# So are larger ones that score less than this, turned upright: coins and wheels look like faces at
# one size and angle, faces at others, too. The mean of both scores must be higher by DOUBT than a
# face's must. What fills the look must be clearer: nothing around it tells what it isn't.
CLEAR_SCORE, DOUBT = 0.8, 0.08
FILLING_PX, FILLING_CLEAR_SCORE = 160.0, 0.9
# What only unusual looks show is less often a face: by so much more must it score, with a border
# around the photo and in its quarter turns.
BORDER_DOUBT, TURNED_DOUBT = 0.06, 0.2
HINT_SLACK = 0.75  # hints smaller than this part of the smallest face wanted are left alone


def check_settings(min_score: float, smallest_face: float) -> None:
    """Refuse settings out of range."""
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score must be in [0, 1], got {min_score}")
    if not 0 < smallest_face <= 1:
        raise ValueError(f"smallest_face must be in (0, 1], got {smallest_face}")


_Way = Callable[[Picture], list[FoundBox]]  # of looking at a picture


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
    photo, usual = View(image), partial(_find, find)
    # sizes in a coarse look aren't exact
    least = HINT_SLACK * max(SMALLEST_PX, smallest_face * side)
    faces: list[FoundBox] = []

    def see(view: View, way: _Way, doubt: float, largest_px: float = math.inf) -> None:
        """Look once; what is a face from nearby, too, is a face."""
        found = _look(view, way, largest_px)
        if closer_score is not None:
            hints = [box for box in found if box.size >= least]
            needed = closer_score + doubt, closer_score + max(doubt, DOUBT)
            found = _look_closer(photo, view, usual, hints, faces, *needed)
        faces[:] = distinct(faces + found)

    def see_finely(view: View) -> None:
        see(lively_part(view), usual, 0.0, LARGEST_FINE_PX)

    coarsest, *finer = _scales(side, smallest_face)
    last = coarsest
    is_large = side >= LARGE_PHOTO * LOOK_PX
    if is_large and finer:
        # the fine look sees better, and what the coarse one sees is made of it
        last, *finer = finer
        fine = resize(photo, last)
        small = halved(fine) if 2 * coarsest <= last else fine
        coarse = resize(small, coarsest * small.pixel)
        see_finely(fine)
    else:
        coarse = resize(photo, coarsest)
    see(coarse, usual, 0.0)
    enough = 0.0 if is_large else SURE_SCORE
    for way, doubt in ((_find_smaller, BORDER_DOUBT), (_find_turned, TURNED_DOUBT)):
        if not any(face.score >= enough for face in faces):
            see(coarse, partial(way, usual), doubt)
    for scale in finer:
        if faces and not any(face.size * last < LOOK_BEYOND * SURE_PX for face in faces):
            break
        see_finely(resize(photo, scale))
        last = scale
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


def _look(view: View, way: _Way, largest_px: float) -> list[FoundBox]:
    """Look at a view of a photo.

    Args:
        view: To look at.
        way: To look.
        largest_px: Larger boxes (pixels of the view) are left out.

    Returns:
        What was found, photo pixels.
    """
    height, width = view.picture.shape[:2]
    found = []
    for rows, (own_top, own_bottom) in _tiles(height):
        for columns, (own_left, own_right) in _tiles(width):
            for box in way(view.picture[rows, columns]):
                x, y = box.x + columns.start, box.y + rows.start
                is_own = own_left <= x < own_right and own_top <= y < own_bottom
                if is_own and box.width > 0 and box.height > 0 and box.size <= largest_px:
                    place = x * view.pixel_x + view.x, y * view.pixel_y + view.y
                    extent = box.width * view.pixel, box.height * view.pixel
                    found.append(FoundBox(*place, *extent, box.angle, box.score))
    return found


def _look_closer(
    photo: View,
    view: View,
    way: _Way,
    boxes: list[FoundBox],
    known: list[FoundBox],
    min_score: float,
    unclear_score: float,
) -> list[FoundBox]:
    """Look from nearby at what is small in a look or not clear: what is left of it is a face.

    Args:
        photo: The photo itself.
        view: What was looked at.
        way: To look.
        boxes: What was found, photo pixels.
        known: Faces that need no second closer look.
        min_score: That a face must reach, a small one SMALL_DOUBT more from nearby.
        unclear_score: That the mean of both must reach where one isn't clear.

    Returns:
        Of small faces those of the closer look, of unclear ones their own box and the mean score.
    """

    def is_small(box: FoundBox) -> bool:
        return box.size < CLOSE_PX * view.pixel

    def is_clear(box: FoundBox) -> bool:
        clear = CLEAR_SCORE if box.size < FILLING_PX * view.pixel else FILLING_CLEAR_SCORE
        return not is_small(box) and box.score >= max(min_score, clear)

    kept = [box for box in boxes if is_clear(box)]
    has_face, looks = bool(kept), 0
    for hint in sorted((box for box in boxes if not is_clear(box)), key=lambda box: -box.score):
        if any(is_same(hint, face) for face in known):
            has_face = True
            continue
        if looks == MOST_CLOSER:
            break
        looks += 1
        if is_small(hint):  # what angle it has can't be told well from afar
            least = min_score + SMALL_DOUBT
            found = _closer_face(photo, way, hint._replace(angle=0.0), least)
        elif hint.score >= SURE_SCORE or not has_face:
            # what is less than sure of a large face is worth a look where there is nothing else
            source = view if hint.size >= CLOSER_PX * view.pixel else photo
            seen = _closer_face(source, way, hint, 2 * unclear_score - hint.score)
            found = seen and hint._replace(score=(hint.score + seen.score) / 2)
        else:
            found = None
        if found is not None:
            kept.append(found)
            has_face = True
    return kept


def _closer_face(view: View, way: _Way, hint: FoundBox, least: float) -> FoundBox | None:
    """The face of about a box, seen from nearby in a view turned back by its angle.

    None if none scores so much.
    """
    view = _around(view, hint)
    if hint.size > CLOSER_PX * view.pixel:  # shrunk as looks are, which is quicker than as crops
        view = resize(view, CLOSER_PX * view.pixel / hint.size)
    x, y = (hint.x - view.x) / view.pixel_x, (hint.y - view.y) / view.pixel_y
    scale = hint.size / view.pixel / CLOSER_PX  # from the closer look to the view
    to_closer = square_to_crop(
        (x, y), scale * CLOSER_LOOK_PX, CLOSER_LOOK_PX, math.degrees(hint.angle)
    )
    middle, best = (CLOSER_LOOK_PX - 1) / 2, None
    for box in way(cut(view.picture, to_closer, CLOSER_LOOK_PX)):
        is_near = math.hypot(box.x - middle, box.y - middle) <= CLOSER_PX / 2
        if is_near and CLOSER_PX / 2 <= box.size <= CLOSER_PX * 2 and box.score >= least:
            best, least = box, box.score
    if best is None:
        return None
    cos, sin = math.cos(hint.angle) * scale, math.sin(hint.angle) * scale
    away_x, away_y = best.x - middle, best.y - middle
    return FoundBox(
        (x + cos * away_x - sin * away_y) * view.pixel_x + view.x,
        (y + sin * away_x + cos * away_y) * view.pixel_y + view.y,
        best.width * scale * view.pixel,
        best.height * scale * view.pixel,
        best.angle + hint.angle,
        best.score,
    )


def _around(view: View, box: FoundBox) -> View:
    """What a view shows of the closer look at a box."""
    turned = abs(math.cos(box.angle)) + abs(math.sin(box.angle))
    reach = box.size / view.pixel * CLOSER_LOOK_PX / CLOSER_PX * turned / 2 + 2
    height, width = view.picture.shape[:2]
    x, y = (box.x - view.x) / view.pixel_x, (box.y - view.y) / view.pixel_y
    (left, right), (top, bottom) = (
        (min(max(math.floor(at - reach), 0), end - 1), min(max(math.ceil(at + reach), 1), end))
        for at, end in ((x, width), (y, height))
    )
    return view.part(left, top, right, bottom)


def _find(find: FindFaces, picture: Picture) -> list[FoundBox]:
    """What a detector finds in a picture."""
    boxes, scores = find(picture)
    pairs = zip(boxes.tolist(), scores.tolist(), strict=True)
    return [FoundBox._make((*box, score)) for box, score in pairs]


def _find_smaller(way: _Way, picture: Picture) -> list[FoundBox]:
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
        FoundBox(
            (x - left + 0.5) * step_x - 0.5,
            (y - top + 0.5) * step_y - 0.5,
            box_width * step_x,
            box_height * step_y,
            *rest,
        )
        for x, y, box_width, box_height, *rest in way(amid)
    ]


def _find_turned(way: _Way, picture: Picture) -> list[FoundBox]:
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
