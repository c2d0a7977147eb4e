"""What a detector finds."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.detect.detections import Detections


def float32(values: object) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_detections() -> None:
    found = Detections(float32([[0, 1, 2, 3], [4, 4, 5, 5]]), float32([0, 1]))
    assert len(found) == 2
    assert len(Detections.empty()) == 0
    assert Detections.empty().boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (float32([0, 1, 2, 3]), float32([1]), r"boxes must be \(N, 4\) float32, got \(4,\)"),
        (np.array([[0, 1, 2, 3.0]]), float32([1]), "got .* float64"),
        (float32([[0, 1, 2, 3]]), float32([1, 1]), r"scores must be \(1,\) float32, got \(2,\)"),
        (float32([[0, 1, 2, 3]]), np.array([1.0]), "scores must be .* float64"),
        (float32([[0, 1, np.nan, 3]]), float32([1]), "finite"),
        (float32([[0, 1, np.inf, 3]]), float32([1]), "finite"),
        (float32([[2, 1, 2, 3]]), float32([1]), "x0 < x1"),
        (float32([[0, 3, 2, 1]]), float32([1]), "y0 < y1"),
        (float32([[0, 1, 2, 3]]), float32([1.1]), r"in \[0, 1\]"),
        (float32([[0, 1, 2, 3]]), float32([np.nan]), r"in \[0, 1\]"),
    ],
)
def test_detections_are_checked(boxes: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(boxes, scores)


def test_angles_are_checked() -> None:
    boxes, scores = float32([[0, 1, 2, 3]]), float32([1])
    with pytest.raises(ValueError, match=r"angles_deg must be \(1,\) float32, got \(2,\)"):
        Detections(boxes, scores, float32([0, 0]))
    with pytest.raises(ValueError, match="angles_deg must not be infinite"):
        Detections(boxes, scores, float32([np.inf]))


def test_oriented() -> None:
    # 4 wide, 2 high about (10, 20), turned by a quarter clockwise
    found = Detections.of_oriented(np.array([[10, 20, 4, 2, np.pi / 2]]), np.array([0.5]))
    np.testing.assert_allclose(found.boxes, [[8, 19, 12, 21]])
    np.testing.assert_allclose(found.oriented(), [[8, 19, 12, 21, 90]])
    without = Detections(found.boxes, found.scores)
    np.testing.assert_array_equal(without.oriented(), [[8, 19, 12, 21, np.nan]])
    assert Detections.empty().oriented().shape == (0, 5)
