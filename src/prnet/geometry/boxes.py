"""Boxes x0 y0 x1 y1 around points: how large a face is, and how far two boxes are the same."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


def bounds(points: Array) -> tuple[Array, Array]:
    """The lowest and highest coordinates, (D,) each, of points (P, D)."""
    planes = np.ascontiguousarray(points.T)  # NumPy compares whole rows quickly, two numbers slowly
    return planes.min(1), planes.max(1)


def tight_box(points: Array) -> NDArray[np.float32]:
    """The box x0 y0 x1 y1 tight around points (P, 2 or 3): (4,) float32."""
    return np.concatenate(bounds(np.asarray(points, np.float32)[:, :2]))


def face_size(points: Array) -> float:
    """Size of a face: √(width · height) of the box tight around its points.

    Args:
        points: (P, 2 or 3) float; z doesn't count.

    Returns:
        Pixels, or whatever the unit of the points is.
    """
    low, high = bounds(points[:, :2])
    return float(np.sqrt((high - low).prod()))


def box_overlap(boxes: ArrayLike, box: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) with one (4,), all x0 y0 x1 y1: (N,) in [0, 1]."""
    many, one = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(box, np.float64)
    low, high = np.maximum(many[:, :2], one[:2]), np.minimum(many[:, 2:], one[2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (many[:, 2:] - many[:, :2]).prod(1) + (one[2:] - one[:2]).prod()
    overlap: NDArray[np.float64] = shared / (areas - shared)
    return overlap
