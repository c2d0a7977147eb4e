import numpy as np
import pytest

from prnet.landmarks import (
    LOWER,
    MIRROR68,
    PARTS,
    UPPER,
    eye_opening,
    interocular,
    mirror_landmarks,
    mouth_opening,
)


def test_parts_hold_every_point_once() -> None:
    assert sorted(i for part in PARTS.values() for i in part.points) == list(range(68))


def test_mirroring_pairs_right_with_left() -> None:
    assert sorted(MIRROR68) == list(range(68))
    np.testing.assert_array_equal(MIRROR68[MIRROR68], np.arange(68))
    for name, part in PARTS.items():
        other = name.replace("right", "?").replace("left", "right").replace("?", "left")
        assert sorted(MIRROR68[list(part.points)]) == sorted(PARTS[other].points)


def test_lids_and_lips_face_each_other() -> None:
    """Mirrored, upper points are upper points and face the mirrored lower ones."""
    faces = dict(zip(UPPER, LOWER, strict=True))
    for upper, lower in faces.items():
        assert faces[int(MIRROR68[upper])] == MIRROR68[lower]


def test_mirroring_twice_changes_nothing() -> None:
    points = np.random.default_rng(0).normal(0, 50, (68, 3))
    mirrored = mirror_landmarks(points, 100)
    assert mirrored[16, 0] == 99 - points[0, 0] and mirrored[16, 1] == points[0, 1]
    np.testing.assert_allclose(mirror_landmarks(mirrored, 100), points)


def test_the_interocular_distance_is_that_of_the_outer_corners() -> None:
    points = np.zeros((68, 3))
    points[36], points[45] = [1, 2, 2], [3, 5, 8]
    assert interocular(points) == 7
    assert interocular(points[:, :2]) == pytest.approx(np.sqrt(13))


def test_openings() -> None:
    points = np.zeros((68, 3))
    for corner, x in zip((36, 37, 38, 39), (0, 10, 20, 30), strict=True):  # right eye, 30 wide
        points[corner, 0] = x
    points[41], points[40] = [10, 6, 0], [20, 12, 0]  # open 6 and 12
    points[42], points[45] = [50, 0, 0], [80, 0, 0]  # left eye, closed
    points[43], points[44] = [60, 0, 0], [70, 0, 0]
    points[47], points[46] = points[43], points[44]
    assert eye_opening(points) == pytest.approx((9 / 30 + 0) / 2)
    points[48], points[54], points[62], points[66] = [0, 0, 0], [40, 30, 0], [0, 0, 5], [0, 0, 30]
    assert mouth_opening(points) == pytest.approx(0.5)
