import numpy as np
import pytest

from prnet.evaluate.detection import (
    FALSE,
    IGNORED,
    SceneDetections,
    angle_error_deg,
    box_error,
    gather_matches,
    match_scene,
)

NOTHING = np.empty((0, 4))


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array([[*row, 0.0] for row in rows]).reshape(-1, 5)


def test_a_face_is_found_once_by_the_best() -> None:
    faces = boxes([50, 50, 20, 20], [100, 50, 20, 20])
    found = boxes([52, 50, 20, 20], [50, 50, 20, 20], [100, 58, 20, 20], [100, 61, 20, 20])
    scores = np.array([0.9, 0.8, 0.7, 0.95])
    # the last one's center is farther than half the face's size
    assert match_scene(found, scores, faces, NOTHING).tolist() == [0, FALSE, 1, FALSE]


def test_size_counts() -> None:
    faces = boxes([50, 50, 20, 20])
    found = boxes([50, 50, 39, 39], [50, 50, 41, 41], [50, 50, 9, 9])
    for row, expected in zip(found, (0, FALSE, FALSE), strict=True):
        assert match_scene(row[None], np.ones(1), faces, NOTHING).tolist() == [expected]


def test_ignored_regions() -> None:
    found = boxes([50, 50, 20, 20], [90, 50, 20, 20])
    ignored = np.array([[40, 40, 60, 60.0]])
    assert match_scene(found, np.ones(2), boxes(), ignored).tolist() == [IGNORED, FALSE]


def test_gathered() -> None:
    faces = boxes([50, 50, 20, 20])
    scenes = [
        SceneDetections(faces, np.array([0.9]), faces, NOTHING),
        SceneDetections(boxes([9, 9, 9, 9]), np.array([0.8]), faces, NOTHING),
        SceneDetections(boxes([51, 50, 20, 20]), np.array([0.7]), faces, NOTHING),
        SceneDetections(boxes(), np.empty(0), boxes(), NOTHING),
    ]
    matches = gather_matches(scenes)
    assert (matches.faces, matches.scenes) == (3, 4)
    assert matches.scores.tolist() == [0.9, 0.8, 0.7]
    assert matches.face.tolist() == [0, FALSE, 2]
    np.testing.assert_allclose(matches.error, [0, np.nan, 1 / 40])
    # no false detection at all: only what scores above it
    assert matches.found(matches.score_at(0)).tolist() == [True, False, False]
    assert matches.found(matches.score_at(0.25)).tolist() == [True, False, True]


def test_nothing_gathered() -> None:
    matches = gather_matches([])
    assert (matches.faces, len(matches.scores), matches.score_at(0.1)) == (0, 0, 1.0)


def test_box_error_by_hand() -> None:
    face = np.array([[50, 50, 20, 20, 0.0]])
    # one pixel to the right: two sides are off by 1 of 20
    assert box_error(np.array([[51, 50, 20, 20, 0.0]]), face) == pytest.approx([0.025])
    # 4 wider: two sides are off by 2
    assert box_error(np.array([[50, 50, 24, 20, 0.0]]), face) == pytest.approx([0.05])
    # in the face's own frame: a quarter turn makes y of x
    turned = np.array([[50, 50, 30, 20, np.pi / 2]])
    moved = turned + [0, 1, 0, 0, 0]
    assert box_error(moved, turned) == pytest.approx([0.5 / np.sqrt(600)])


def test_angle_error() -> None:
    a, b = np.zeros((3, 5)), np.zeros((3, 5))
    a[:, 4] = [0.1, np.pi - 0.1, 7]
    b[:, 4] = [-0.1, -np.pi + 0.1, 7 - 2 * np.pi]
    np.testing.assert_allclose(angle_error_deg(a, b), np.degrees([0.2, 0.2, 0]), atol=1e-9)
