"""Boxes x0 y0 x1 y1 around points: how large a face is, and how far two boxes are the same."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


def tight_box(points: Array) -> NDArray[np.float32]:
    """The box x0 y0 x1 y1 tight around points (P, 2 or 3): (4,) float32."""
    xy = np.asarray(points, np.float32)[:, :2]
    return np.concatenate([xy.min(0), xy.max(0)])


def face_size(points: Array) -> float:
    """Size of a face: √(width · height) of the box tight around its points.

    Args:
        points: (P, 2 or 3) float; z doesn't count.

    Returns:
        Pixels, or whatever the unit of the points is.
    """
    return float(np.sqrt(np.ptp(points[:, :2], axis=0).prod()))


def box_overlap(boxes: ArrayLike, box: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) with one (4,), all x0 y0 x1 y1: (N,) in [0, 1]."""
    many, one = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(box, np.float64)
    low, high = np.maximum(many[:, :2], one[:2]), np.minimum(many[:, 2:], one[2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (many[:, 2:] - many[:, :2]).prod(1) + (one[2:] - one[:2]).prod()
    overlap: NDArray[np.float64] = shared / (areas - shared)
    return overlap
