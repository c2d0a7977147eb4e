"""Boxes that are turned in the picture: (N, 5) center x, y, width, height, angle.

The box is upright once it is turned back about its center by the angle: radians, clockwise as seen
(x right, y down), 0 for a face that stands upright.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


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
        scores: (N,) float, positive.
        most: Part of the smaller box's area that two of what is kept may share at most.

    Returns:
        (K,) indices of what is kept, best first.
    """
    if len(boxes) < 2:
        return np.arange(len(boxes))
    columns = np.ascontiguousarray(boxes.T, np.float64)
    cos_sin = np.array([np.cos(columns[4]), np.sin(columns[4])])
    distinct = _distinct(columns[:2], columns[2:4], cos_sin, scores, most)
    return np.array([i for i, *_ in distinct], np.intp)


def merge(
    told: NDArray[np.float64], scores: Array, min_score: float, most: float, least: float
) -> tuple[NDArray[np.float32], Array]:
    """Of boxes that overlap too much keep the best, blended with those that nearly coincide.

    All that nearly coincide say together where a box is, each weighing its score squared.

    Args:
        told: (6, N), of boxes of one picture, of which one face may have several, what means can be
            taken of: center x, y, logarithms of width and height, cos and sin of the angle.
        scores: (N,) float, positive.
        min_score: Boxes of a lower score are only to be blended with others.
        most: See `keep_distinct`.
        least: Overlap (intersection over union) from which on boxes nearly coincide. Of those, all
            take part that score at least half as much.

    Returns:
        (K, 5) float32 boxes and their (K,) scores, best first.
    """
    kept, blended, weights = [], [], np.square(scores, dtype=np.float64)
    seeds = scores * (scores >= min_score)
    for i, shared, areas in _distinct(told[:2], np.exp(told[2:4]), told[4:], seeds, most):
        # shared ≥ least · (areas − shared)
        coincides = shared >= least / (1 + least) * areas
        coincides &= scores >= scores[i] / 2
        coincides[i] = True
        weight = weights * coincides
        total = float(weight.sum())
        x, y, log_width, log_height, cos, sin = (each / total for each in (told @ weight).tolist())
        blended.append((x, y, math.exp(log_width), math.exp(log_height), math.atan2(sin, cos)))
        kept.append(i)
    return np.array(blended, np.float32).reshape(-1, 5), scores[kept]


def _distinct(
    xy: Array, sizes: Array, cos_sin: Array, scores: Array, most: float
) -> Iterator[tuple[int, Array, Array]]:
    """Of boxes with a score, best first, those that overlap no better one too much.

    Args:
        xy: (2, N) centers.
        sizes: (2, N) widths and heights.
        cos_sin: (2, N), of their angles.
        scores: (N,); 0 leaves a box out.
        most: See `keep_distinct`.

    Yields:
        Each one's index; the area that each box shares with it, taken to be turned by its angle (as
        faces' boxes are nearly square, what another angle would change is a few hundredths); and
        the sum of both areas, (N,).
    """
    area, left = sizes[0] * sizes[1], scores.copy()
    while len(left):
        i = int(left.argmax())
        if left[i] <= 0:
            return
        cos, sin = cos_sin[:, i].tolist()
        away = np.array([[cos, sin], [-sin, cos]]) @ (xy - xy[:, i : i + 1])
        size = sizes[:, i : i + 1]
        # two lengths share what is left of their halves, at most the smaller one
        sides = np.minimum((sizes + size) / 2 - np.abs(away), np.minimum(sizes, size))
        width, height = np.maximum(sides, 0)
        shared = width * height
        yield i, shared, area + area[i]
        left *= shared <= most * np.minimum(area, area[i])
        left[i] = 0
