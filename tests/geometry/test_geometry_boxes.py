import numpy as np
import pytest

from prnet.geometry.boxes import box_overlap, face_size, tight_box

FACE = np.array([[0, 0, 5], [80, 125, 1], [40, 60, 30], [10, 100, 8]], np.float32)


def test_the_face_size_is_the_root_of_the_boxs_area() -> None:
    assert face_size(FACE) == pytest.approx(100)
    np.testing.assert_array_equal(tight_box(FACE), [0, 0, 80, 125])
    assert tight_box(FACE).dtype == np.float32


def test_boxes_overlap() -> None:
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4]]
    overlap = box_overlap(boxes, [0, 0, 10, 10])
    np.testing.assert_allclose(overlap, [1, 50 / 150, 0, 4 / 100])
    assert box_overlap(np.empty((0, 4)), [0, 0, 1, 1]).shape == (0,)
