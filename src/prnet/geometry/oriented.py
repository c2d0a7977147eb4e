"""Boxes that are turned in the picture: (N, 5) center x, y, width, height, angle.

The box is upright once it is turned back about its center by the angle: radians, clockwise as seen
(x right, y down), 0 for a face that stands upright.
"""

import numpy as np
from numpy.typing import NDArray


def overlap(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Intersection over union of every pair, both taken to be turned by the first one's angle.

    Faces' boxes are nearly square, so what another angle would change is a few hundredths.

    Args:
        boxes: (N, 5) float.
        others: (K, 5) float.

    Returns:
        (N, K) float in [0, 1].
    """
    shared = _intersection(boxes, others)
    area, other_area = boxes[:, 2:4].prod(1)[:, None], others[:, 2:4].prod(1)[None]
    return shared / (area + other_area - shared)


def _intersection(
    boxes: NDArray[np.floating], others: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Area that both boxes of each pair cover, in the first one's frame: (N, K)."""
    away = others[None, :, :2] - boxes[:, None, :2]
    cos, sin = np.cos(boxes[:, None, 4]), np.sin(boxes[:, None, 4])
    along = np.stack(
        [cos * away[..., 0] + sin * away[..., 1], cos * away[..., 1] - sin * away[..., 0]], -1
    )
    half, other_half = boxes[:, None, 2:4] / 2, others[None, :, 2:4] / 2
    shared = np.minimum(half, along + other_half) - np.maximum(-half, along - other_half)
    result: NDArray[np.floating] = np.maximum(shared, 0).prod(-1)
    return result


def keep_distinct(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], most: float
) -> NDArray[np.intp]:
    """Of boxes that overlap by more than `most` keep the one of the highest score.

    Args:
        boxes: (N, 5) float.
        scores: (N,) float.
        most: Intersection over union in [0, 1].

    Returns:
        (K,) indices of what is kept, best first.
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[overlap(boxes[best][None], boxes[rest])[0] <= most]
    return np.array(kept, np.intp)
