from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prnet.evaluate.boxes import find_box

PHOTO = np.zeros((50, 50, 3), np.uint8)


@pytest.mark.parametrize(
    ("detected", "expected"),
    [
        ([], None),
        ([[0, 0, 10, 10]], [0, 0, 10, 10]),
        ([[30, 30, 40, 40], [1, 0, 10, 10], [5, 0, 15, 10]], [1, 0, 10, 10]),
        ([[0, 0, 10, 4]], [0, 0, 10, 4]),  # exactly 0.4 of the union
        ([[0, 0, 10, 3.9]], None),
    ],
)
def test_the_overlapping_box_is_found(
    fake: Callable[..., Any], atlas: Any, detected: list, expected: list | None
) -> None:
    detector = fake(atlas, lambda box: box, np.array(detected)).detector
    found = find_box(detector, PHOTO, np.array([0, 0, 10, 10]))
    assert found.dtype == np.float32
    assert found.shape == (expected is not None, 5)
    np.testing.assert_allclose(found[:, :4], np.array(expected or []).reshape(-1, 4), atol=1e-6)
    assert np.isnan(found[:, 4]).all()
