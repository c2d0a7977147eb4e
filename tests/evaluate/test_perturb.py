import numpy as np
import pytest

from prnet.evaluate import perturb
from prnet.evaluate.perturb import (
    OBJECTS,
    boxes_beside,
    cover,
    jitter_box,
    make_texture,
    mirror,
    object_boxes,
    object_pictures,
    shrink,
)
from prnet.geometry.boxes import box_overlap
from prnet.landmarks import mirror_landmarks

BOX = np.array([20, 30, 110, 90], np.float32)  # 90 wide, 60 high


@pytest.fixture
def photo() -> np.ndarray:
    return np.full((120, 150, 3), 77, np.uint8)


@pytest.fixture
def landmarks() -> np.ndarray:
    return np.random.default_rng(0).uniform(10, 100, (68, 3)).astype(np.float32)


def test_a_third_of_the_face_is_covered_and_nothing_else(photo: np.ndarray) -> None:
    thing = np.full((50, 40, 3), 200, np.uint8)
    shares, widths, kinds = [], [], set()
    for seed in range(60):
        covered = cover(photo, BOX, thing, np.random.default_rng(seed))
        rows, columns = np.nonzero((covered != photo).any(2))
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        assert left >= 20 and right <= 110 and top >= 30 and bottom <= 90
        assert len(rows) == (bottom - top) * (right - left)  # a whole rectangle
        shares.append((right - left) * (bottom - top) / (90 * 60))
        widths.append((right - left) / 90)
        colors = np.unique(covered[top:bottom, left:right].reshape(-1, 3), axis=0)
        kinds.add("noise" if len(colors) > 1 else "thing" if (colors == 200).all() else "plain")
    assert shares == pytest.approx([1 / 3] * 60, rel=0.06)  # rounded to whole pixels
    assert min(widths) < 0.4 and max(widths) > 0.9
    assert kinds == {"noise", "thing", "plain"}
    assert (photo == 77).all()


def test_a_cover_is_the_same_each_time_and_ends_at_the_photos_edge(photo: np.ndarray) -> None:
    box = [-60, -60, 60, 60]
    for seed in range(20):
        once, again = (cover(photo, box, photo, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(once, again)
        assert (once[61:] == 77).all() and (once[:, 61:] == 77).all()


def test_shrinking_by_hand() -> None:
    """A face 80 wide and 48 high: a mean side of 64, so by half; pixels 2 and 3 become pixel 1."""
    photo = np.zeros((60, 100, 3), np.uint8)
    photo[2:4, 2:4] = [[[40], [60]], [[80], [100]]]
    small, moved = shrink(photo, np.array([[10, 5, 9], [90, 53, 1], [20.5, 10.5, 0]]))
    assert small.shape == (30, 50, 3) and small[1, 1, 0] == 70 and small.sum() == 3 * 70
    np.testing.assert_allclose(moved, [[4.75, 2.25], [44.75, 26.25], [10, 5]])


def test_a_small_face_is_not_enlarged(photo: np.ndarray) -> None:
    points = np.array([[10.0, 10], [30, 30]])
    small, moved = shrink(photo, points)
    assert small.shape == photo.shape
    np.testing.assert_allclose(moved, points)


def test_a_mirrored_photo_shows_the_other_sides_landmark(landmarks: np.ndarray) -> None:
    """The corner of the eye on the left of the photo is then that on the right."""
    landmarks[36] = 33, 44, 5
    photo = np.zeros((120, 150, 3), np.uint8)
    photo[44, 33] = 255
    flipped, moved = mirror(photo, landmarks)
    x, y, z = moved[45].astype(int)
    assert (x, y, z) == (116, 44, 5) and flipped[y, x, 0] == 255
    np.testing.assert_allclose(mirror_landmarks(moved, 150), landmarks, atol=1e-4)
    assert landmarks[36, 0] == 33


def test_jitter_stays_within_four_per_cent_and_uses_them() -> None:
    boxes = jitter_box(BOX, 2000, np.random.default_rng(0)).astype(float)
    size = boxes[:, 2:] - boxes[:, :2]
    shift = (boxes[:, :2] + boxes[:, 2:]) / 2 - [65, 60]
    for values in (shift[:, 0] / 90, shift[:, 1] / 60, size[:, 0] / 90 - 1):
        assert np.abs(values).max() == pytest.approx(0.04, rel=0.01)
        assert values.std() == pytest.approx(0.04 / np.sqrt(3), rel=0.05)
    np.testing.assert_allclose(size[:, 0] / 90, size[:, 1] / 60, atol=1e-5)


def test_boxes_beside_a_face_hardly_show_it() -> None:
    face = [60, 50, 120, 110]
    boxes = boxes_beside(face, (150, 200, 3), 20, np.random.default_rng(0))
    assert boxes.shape == (20, 4) and boxes.dtype == np.float32
    assert box_overlap(boxes, face).max() < perturb.BESIDE_OVERLAP
    size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    assert size.min() >= 30 and size.max() <= 60
    assert (centre >= 0).all() and (centre <= [199, 149]).all()


def test_a_face_that_fills_the_photo_has_nothing_beside_it() -> None:
    face = [-50, -50, 250, 250]
    assert boxes_beside(face, (200, 200), 3, np.random.default_rng(0)).shape == (0, 4)


def test_pictures_of_objects_come_with_scikit_image() -> None:
    pictures = object_pictures()
    assert tuple(pictures) == OBJECTS
    for picture in pictures.values():
        assert picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    boxes = object_boxes((100, 300, 3), 50, np.random.default_rng(0))
    size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    assert size.min() >= 20 and size.max() <= 60
    assert centre.min() >= 0 and centre[:, 0].max() > 200 and centre[:, 1].max() <= 99


def test_textures_differ_by_seed_alone() -> None:
    textures = [make_texture(np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(textures[0][0], textures[1][0])
    for texture, box in textures:
        assert texture.shape == (128, 128, 3) and texture.dtype == np.uint8
        np.testing.assert_array_equal(box, [[32, 32, 96, 96]])
        assert texture.std() > 0
    assert len({texture.tobytes() for texture, _ in textures}) == 4
