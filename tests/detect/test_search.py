"""The search from coarse to fine, with a detector that finds white rectangles."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.detect import search as detect
from prnet.detect import shrink
from prnet.detect.detections import Detections
from prnet.geometry.boxes import box_overlap

LARGEST_TILE = detect.TILE_CORE_PX + detect.LARGEST_FINE_PX


def find_white(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rectangles of 12 pixels and more."""
    assert max(picture.shape) <= LARGEST_TILE
    mask = (picture[..., 0] > 127).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(mask)[2][1:, :4].astype(float)
    stats = stats[stats[:, 2:].mean(1) >= 12]
    # the centre of the first pixel is half a pixel inside the rectangle
    center = stats[:, :2] - 0.5 + stats[:, 2:] / 2
    boxes = np.column_stack([center, stats[:, 2:], np.zeros(len(stats))])
    return boxes, np.full(len(boxes), 0.9)


def draw(width: int, height: int, boxes: NDArray[np.float64]) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1 in (boxes + 0.5).astype(int).tolist():
        image[y0:y1, x0:x1] = 255
    return image


def search(image: NDArray[np.uint8], smallest_face: float = 0.01) -> Detections:
    return detect.search(image, find_white, smallest_face)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (60, 54, 40),  # smaller than the first look
        (640, 480, 200),  # found at once
        (640, 480, 24),  # the smallest that is promised
        (1900, 1400, 120),
        (2600, 1900, 50),  # second look
        (4000, 3000, 40),  # of a photo of 12 megapixels
        (5000, 4000, 60),  # thinned out as well
        (6000, 300, 60),  # a panorama
        (300, 6000, 60),
    ],
)
def test_boxes_come_back_in_photo_pixels(width: int, height: int, size: int) -> None:
    rng = np.random.default_rng(width)
    for _ in range(3):
        corner = np.rint(rng.uniform(0, [width - size, height - size])) - 0.5
        true = np.array([*corner, *(corner + size)])
        found = search(draw(width, height, true[None]))
        assert len(found) == 1
        # to one pixel of a look in which the rectangle has at least 12
        assert np.abs(found.boxes[0] - true).max() <= size / 12 + 1


def test_every_rectangle_once_and_largest_first() -> None:
    # a grid over all tiles and the seams between them
    side, size = 2300, 52
    starts = np.arange(5, side - size, 97) - 0.5
    true = np.array([[x, y, x + size, y + size] for y in starts for x in starts])
    true[:, 2] += np.arange(len(true)) % 7  # some wider than others
    found = search(draw(side, side, true))
    assert len(found) == len(true)
    assert all(box_overlap(found.boxes, box).max() > 0.8 for box in true)
    sizes = np.sqrt((found.boxes[:, 2:] - found.boxes[:, :2]).prod(1))
    assert (np.diff(sizes) < 0.001).all()


def test_a_small_face_beside_a_large_one() -> None:
    boxes = np.array([[1000.5, 800.5, 1500.5, 1300.5], [3000.5, 2000.5, 3050.5, 2050.5]])
    found = search(draw(4000, 3000, boxes))
    assert len(found) == 2
    assert all(box_overlap(found.boxes, box).max() > 0.7 for box in boxes)


def test_small_faces_make_the_search_look_for_smaller_ones() -> None:
    # in the first look the larger one has 40 pixels, the smaller one too few
    boxes = np.array([[100.5, 100.5, 200.5, 200.5], [500.5, 400.5, 525.5, 425.5]])
    found = search(draw(800, 600, boxes))
    assert len(found) == 2
    # beside one that fills the first look it isn't worth another
    boxes[0, 2:] = 350.5
    assert len(search(draw(800, 600, boxes))) == 1


def looks_at(
    shape_hw: tuple[int, int], smallest_face: float, lively: slice = slice(None)
) -> list[tuple[int, ...]]:
    seen = []
    photo = np.zeros((*shape_hw, 3), np.uint8)
    photo[lively, lively][::8] = 255

    def find(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seen.append(picture.shape[:2])
        return np.empty((0, 5)), np.empty(0)

    detect.search(photo, find, smallest_face)
    return seen


def test_looks() -> None:
    again = [(240, 320), (320, 240), (240, 320), (320, 240)]  # since it finds nothing
    assert looks_at((3000, 4000), 0.06) == [(240, 320), *again]
    # a large photo's second look comes first
    assert looks_at((3000, 4000), 0.015) == [(864, 1152), (240, 320), *again]
    # and in the finest, if it gains enough
    assert looks_at((1500, 2000), 0.01)[6:] == [(1188, 888), (1188, 887)]
    assert looks_at((1500, 1850), 0.01)[6:] == []
    assert looks_at((54, 60), 0.01)[0] == (288, 320)
    assert looks_at((1, 1), 0.01)[0] == (8, 8)
    # finer looks leave plain borders out: 1000 of 4000 pixels are left, and a block on each side
    assert looks_at((4000, 4000), 0.015, slice(0)) == [(320, 320)] * 5
    fine, coarse, *_ = looks_at((4000, 4000), 0.015, slice(1500, 2500))
    assert coarse == (320, 320) and 288 <= min(fine) <= max(fine) <= 288 + 4 * shrink.BLOCK_PX
    # memory doesn't grow with the photo: no tile is larger than this
    assert max(max(shape) for shape in looks_at((6000, 9000), 0.001)) <= LARGEST_TILE


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_photo_that_lies_on_its_side(turns: int) -> None:
    # the detector finds red above blue, upright
    def find(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y, x = np.argwhere(picture[..., 0] > 200).mean(0)
        y_blue, x_blue = np.argwhere(picture[..., 2] > 200).mean(0)
        is_upright = int(abs(x - x_blue) < 1 and y < y_blue)
        box = [[(x + x_blue) / 2, (y + y_blue) / 2, 40, 40, 0.0]]
        return np.array(box[:is_upright]).reshape(-1, 5), np.full(is_upright, 0.9)

    upright = np.zeros((240, 320, 3), np.uint8)
    upright[60:80, 200:240, 0] = 255
    upright[80:100, 200:240, 2] = 255
    photo = np.ascontiguousarray(np.rot90(upright, turns))
    (box,) = detect.search(photo, find, 1).oriented()
    red, blue = (np.argwhere(photo[..., c] > 200).mean(0)[::-1] for c in (0, 2))
    np.testing.assert_allclose([box[[0, 2]].mean(), box[[1, 3]].mean()], (red + blue) / 2, atol=0.1)
    up = [np.sin(np.radians(box[4])), -np.cos(np.radians(box[4]))]
    np.testing.assert_allclose(up, (red - blue) / 20, atol=1e-5)


@pytest.mark.parametrize(("width", "height"), [(60, 54), (640, 480), (321, 200)])
def test_a_face_that_fills_the_photo(width: int, height: int) -> None:
    # the detector finds white that ends within the picture
    def find(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y, x = np.nonzero(picture[..., 0] > 127)
        is_whole = int(x.max() - x.min() + 1 < picture.shape[1])
        extent = [x.max() - x.min() + 1, y.max() - y.min() + 1]
        box = [[(x.max() + x.min()) / 2, (y.max() + y.min()) / 2, *extent, 0.0]]
        return np.array(box[:is_whole]).reshape(-1, 5), np.full(is_whole, 0.9)

    (box,) = detect.search(np.full((height, width, 3), 255, np.uint8), find, 1).boxes
    np.testing.assert_allclose(box, [-0.5, -0.5, width - 0.5, height - 0.5], atol=width / 100)


@pytest.mark.parametrize(
    ("turns", "score", "count"), [(0, 0.57, 0), (0, 0.59, 1), (1, 0.69, 0), (1, 0.71, 1)]
)
def test_what_an_unusual_look_finds_must_be_surer(turns: int, score: float, count: int) -> None:
    # the detector finds a white stripe that stands
    def find(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y, x = np.nonzero(picture[..., 0] > 200)
        stands = int(np.ptp(y) > np.ptp(x))
        box = [[x.mean(), y.mean(), 50, 50, 0.0]][:stands]
        return np.array(box).reshape(-1, 5), np.full(stands, score)

    photo = np.zeros((320, 320, 3), np.uint8)
    photo[100:200, 150:170] = 255
    photo = np.ascontiguousarray(np.rot90(photo, turns))
    assert len(detect.search(photo, find, 0.1, closer_score=0.5)) == count
    assert len(detect.search(photo, find, 1)) == 1  # a detector whose word counts


def test_of_two_boxes_of_one_face_the_better_stays() -> None:
    def find(_: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        boxes = np.array(
            [
                [80, 80, 60, 60, 0],  # the same face as the next
                [82, 81, 60, 60, 0.1],
                [75, 75, 30, 30, 0],  # a part of it
                [80, 145, 60, 60, 0],  # another
                [120, 50, 0, 60, 0],  # no box
            ]
        )
        return boxes, np.array([0.7, 0.9, 0.8, 0.6, 0.9])

    found = detect.search(np.zeros((320, 320, 3), np.uint8), find, 1)
    np.testing.assert_allclose(sorted(found.scores), [0.6, 0.9], rtol=1e-6)
    assert found.angles_deg is not None
    assert sorted(found.angles_deg) == pytest.approx([0, np.degrees(0.1)])


def find_hints(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """White rectangles, the surer the larger they are; hints from 9 pixels on."""
    mask = (picture[..., 0] > 127).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(mask)[2][1:, :4].astype(float)
    stats = stats[stats[:, 2:].mean(1) >= 9]
    center = stats[:, :2] - 0.5 + stats[:, 2:] / 2
    boxes = np.column_stack([center, stats[:, 2:], np.zeros(len(stats))])
    return boxes, np.minimum(stats[:, 2:].mean(1) / 50, 1)


def test_hints_are_looked_at_from_nearby() -> None:
    # in the fine look of 12 megapixels the smaller one has 10 pixels, a score of 0.2
    boxes = np.array([[1000.5, 800.5, 1500.5, 1300.5], [3000.5, 2000.5, 3040.5, 2040.5]])
    photo = draw(4000, 3000, boxes)
    found = detect.search(photo, find_hints, 0.01, 0.5)
    assert len(found) == 2 and found.scores.min() > 0.5
    np.testing.assert_allclose(found.boxes, boxes, atol=2.5)


def test_no_face_is_looked_at_from_nearby_twice() -> None:
    # a face of 450 pixels has 36 in the first look of a large photo and 108 in the second
    boxes = np.array([[1000.5, 800.5, 1450.5, 1250.5], [2500.5, 500.5, 3900.5, 1900.5]])
    seen = []

    def doubt(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seen.append(picture.shape[0])
        found, _ = find_white(picture)
        return found, np.full(len(found), 0.7)

    found = detect.search(draw(4000, 3000, boxes), doubt, 0.01, 0.5)
    np.testing.assert_allclose(found.boxes, boxes[::-1], atol=13)
    assert [side == detect.CLOSER_LOOK_PX for side in seen] == [False, True, False, True]


def test_what_is_nothing_from_nearby_is_no_face() -> None:
    boxes = np.array([[400.5, 300.5, 420.5, 320.5]])

    def doubt(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        boxes, scores = find_hints(picture)
        is_close = picture.shape[0] == detect.CLOSER_LOOK_PX
        return boxes, np.full(len(scores), 0.1 if is_close else 0.9)

    assert len(detect.search(draw(800, 600, boxes), doubt, 0.01, 0.5)) == 0
    assert len(detect.search(draw(800, 600, boxes), doubt, 0.01)) == 1


@pytest.mark.parametrize(("score", "nearby", "count"), [(0.9, 0.55, 0), (0.9, 0.65, 1)])
def test_what_is_small_must_be_surer(score: float, nearby: float, count: int) -> None:
    def doubt(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        boxes, scores = find_hints(picture)
        is_close = picture.shape[0] == detect.CLOSER_LOOK_PX
        return boxes, np.full(len(scores), nearby if is_close else score)

    photo = draw(320, 320, np.array([[100.5, 100.5, 125.5, 125.5]]))
    assert len(detect.search(photo, doubt, 0.1, 0.5)) == count


@pytest.mark.parametrize(
    ("side", "score", "count"), [(150, 0.85, 1), (170, 0.85, 0), (170, 0.91, 1)]
)
def test_what_fills_the_look_must_be_clearer(side: float, score: float, count: int) -> None:
    def doubt(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        is_first = int(picture[0, 0, 0] == 255)  # not with a border around, nor turned
        box = [[159.5, 159.5, side, side, 0.0]][:is_first]
        return np.array(box).reshape(-1, 5), np.full(is_first, score)

    photo = np.zeros((320, 320, 3), np.uint8)
    photo[0, 0] = 255
    assert len(detect.search(photo, doubt, 0.1, 0.5)) == count


@pytest.mark.parametrize(
    ("score", "nearby", "count"),
    [(0.43, 0.75, 1), (0.6, 0.55, 0), (0.6, 0.57, 1), (0.79, 0.0, 0), (0.81, 0.0, 1)],
)
def test_what_is_not_clear_is_seen_upright_from_nearby(
    score: float, nearby: float, count: int
) -> None:
    # a bar that points to the right, with a bright end: a face turned a quarter clockwise
    photo = np.zeros((320, 320, 3), np.uint8)
    photo[150:170, 100:220] = 100
    photo[150:170, 200:220] = 255
    seen = []

    def doubt(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if picture.shape[0] == detect.CLOSER_LOOK_PX:
            seen.append(picture)
            return np.array([[64.0, 64, 50, 50, 0]]), np.array([nearby])
        box = [[159.5, 159.5, 100, 100, np.pi / 2]]
        is_whole = int(picture[150, 210, 0] == 255)  # not a quarter turn
        return np.array(box[:is_whole]).reshape(-1, 5), np.full(is_whole, score)

    found = detect.search(photo, doubt, 0.1, 0.5)
    assert len(found) == count
    if count:  # as the first look saw it
        np.testing.assert_allclose(found.boxes[0], [109.5, 109.5, 209.5, 209.5], atol=1e-3)
        is_clear = score >= detect.CLEAR_SCORE
        assert found.scores[0] == pytest.approx(score if is_clear else (score + nearby) / 2)
    if score < detect.CLEAR_SCORE:
        y, x = np.nonzero(seen[0][..., 0] > 200)
        assert y.max() < 48 and abs(x.mean() - 63.5) < 1  # its end points up
    else:
        assert not seen
