"""Boxes that are turned in the picture: (N, 5) center x, y, width, height, angle.

The box is upright once it is turned back about its center by the angle: radians, clockwise as seen
(x right, y down), 0 for a face that stands upright.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def shared_area(boxes: Array, others: Array) -> Array:
    """Area that both boxes of every pair cover, both taken to be turned by the first one's angle.

    Faces' boxes are nearly square, so what another angle would change is a few hundredths.

    Args:
        boxes: (N, 5) float.
        others: (K, 5) float.

    Returns:
        (N, K) float.
    """
    away = others[None, :, :2] - boxes[:, None, :2]
    along = to_upright(away, boxes[:, None, 4])
    half, other_half = boxes[:, None, 2:4] / 2, others[None, :, 2:4] / 2
    shared = np.minimum(half, along + other_half) - np.maximum(-half, along - other_half)
    area: Array = np.maximum(shared, 0).prod(-1)
    return area


def to_upright(offsets: Array, angles: Array) -> Array:
    """Turn offsets (..., 2) x, y back by angles (...): what they are in the upright frame."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y = offsets[..., 0], offsets[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], -1)


def tight_oriented(points: Array, angle: float) -> NDArray[np.float32]:
    """The box of an angle tight around points.

    Args:
        points: (P, 2 or 3) float, pixels; z doesn't count.
        angle: Radians.

    Returns:
        (5,) float32.
    """
    upright = to_upright(points[:, :2], np.array(angle))
    low, high = upright.min(0), upright.max(0)
    center = to_upright((low + high) / 2, np.array(-angle))
    return np.array([*center, *(high - low), angle], np.float32)


def keep_distinct(boxes: Array, scores: Array, most: float) -> NDArray[np.intp]:
    """Of boxes that overlap too much keep the one of the highest score.

    Args:
        boxes: (N, 5) float.
        scores: (N,) float.
        most: Part of the smaller box's area that two of what is kept may share at most.

    Returns:
        (K,) indices of what is kept, best first.
    """
    order = np.argsort(-scores, kind="stable")
    columns = boxes[order].astype(np.float64).T
    columns[2:4] /= 2
    kept = []
    while len(order):
        kept.append(order[0])
        x, y, reach_x, reach_y, angle = columns[:, 0].tolist()
        others = columns[:4, 1:]
        # as in `shared_area`, in fewer and plainer steps: it runs once for each box that is kept
        dx, dy = others[0] - x, others[1] - y
        cos, sin = math.cos(angle), math.sin(angle)
        width = _shared_length(cos * dx + sin * dy, reach_x, others[2])
        height = _shared_length(cos * dy - sin * dx, reach_y, others[3])
        smaller = np.minimum(4 * reach_x * reach_y, 4 * others[2] * others[3])
        stays = np.flatnonzero(width * height <= most * smaller) + 1
        order, columns = order[stays], columns[:, stays]
    return np.array(kept, np.intp)


def _shared_length(away: Array, half: float, others: Array) -> Array:
    """Of intervals of a half length and others so far away: the length that both cover, (N,)."""
    shared = np.minimum(half, away + others) - np.maximum(-half, away - others)
    return np.maximum(shared, 0.0, out=shared)


def blend(boxes: Array, scores: Array, kept: NDArray[np.intp], least: float) -> Array:
    """What all boxes that nearly coincide with some say together, each weighing its score squared.

    Args:
        boxes: (N, 5) float, of one picture; one face may have several.
        scores: (N,) float.
        kept: (K,) indices of the boxes to blend others into.
        least: Overlap (intersection over union) from which on boxes nearly coincide. Of those, all
            take part that score at least half as much.

    Returns:
        (K, 5) float: means of centers, of directions, and geometric ones of sizes.
    """
    area = boxes[:, 2] * boxes[:, 3]
    shared = shared_area(boxes[kept], boxes)
    overlap = shared / np.maximum(area[kept, None] + area - shared, 1e-9)
    weight = scores**2 * ((overlap >= least) & (scores >= scores[kept, None] / 2))
    weight[np.arange(len(kept)), kept] = scores[kept] ** 2
    weight /= weight.sum(1, keepdims=True)
    angle = np.angle(weight @ np.exp(1j * boxes[:, 4]))
    blended: Array = np.column_stack(
        [weight @ boxes[:, :2], np.exp(weight @ np.log(boxes[:, 2:4])), angle]
    )
    return blended
