"""Pictures read between their pixels, and their gaps filled; things picked evenly."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

A = TypeVar("A", bound=NDArray[np.generic])


def sample_bilinear(values: NDArray[np.generic], xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Read a picture between its pixels.

    Args:
        values: (H, W, D) numbers.
        xy: (P, 2) float, pixels with centres at integers; beyond the picture the nearest pixel of
            its edge counts.

    Returns:
        (P, D) float64.
    """
    height, width = values.shape[:2]
    x, y = np.clip(np.asarray(xy, np.float64), 0, [width - 1, height - 1]).T
    x0, y0 = (
        np.minimum(x.astype(int), max(width - 2, 0)),
        np.minimum(y.astype(int), max(height - 2, 0)),
    )
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    top = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
    bottom = values[y1, x0] * (1 - fx) + values[y1, x1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy, np.float64)


def sample_map(values: NDArray[np.floating], uv: NDArray[np.floating]) -> NDArray[np.float32]:
    """Interpolate a map bilinearly.

    Args:
        values: (M, M, D) float, complete (no empty holes next to the points asked for).
        uv: (P, 2) float in [0, 1], u right, v down; pixel (i, j) lies at ((j+½)/M, (i+½)/M).
            Points in the half pixel along the border take the border's value.

    Returns:
        (P, D) float32.
    """
    xy = np.asarray(uv, np.float64) * len(values) - 0.5
    return sample_bilinear(values, xy).astype(np.float32)


def read_only(array: A) -> A:
    """The same array, closed to writing: it is kept and handed out many times."""
    array.flags.writeable = False
    return array


def all_finite(numbers: NDArray[np.floating]) -> bool:
    """Tell whether none of some numbers is NaN or infinite: quickly, if none is."""
    flat = numbers.ravel()
    return bool(np.isfinite(flat @ flat)) or bool(np.isfinite(flat).all())


def per_channel(values: NDArray[np.floating], channels: int) -> NDArray[np.float32]:
    """(H, W) → (H, W, channels) float32, all alike.

    NumPy multiplies pictures by such a one several times as fast as by (H, W, 1).
    """
    return np.asarray(cv2.merge([values] * channels), np.float32).reshape(*values.shape, channels)


def push_pull(
    weighted_values: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Fill a picture's gaps smoothly from what surrounds them.

    Args:
        weighted_values: (H, W, D) float32, values times their weights; D ≤ 4.
        weight: (H, W) float32 in [0, 1], 0 where a value is unknown.

    Returns:
        (H, W, D) float32: the values themselves where the weight is 1, averages of ever wider
        surroundings where it is less; 0 if all is unknown.

    Source: Gortler et al. 1996, "The Lumigraph", section 3.4.
    """
    height, width = weight.shape
    shares = per_channel(weight, weighted_values.shape[2])
    if max(height, width) == 1:
        known = weighted_values / np.maximum(shares, 1e-12)
        return np.where(shares > 0, known, 0).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    even = (2 * half[0], 2 * half[1])
    border = (0, even[1] - height, 0, even[0] - width, cv2.BORDER_REPLICATE)
    shrunk = cv2.resize(
        cv2.copyMakeBorder(weighted_values, *border), half, interpolation=cv2.INTER_AREA
    )
    total = 4 * cv2.resize(cv2.copyMakeBorder(weight, *border), half, interpolation=cv2.INTER_AREA)
    total = np.asarray(total, np.float32).reshape(half[::-1])
    # a coarse pixel is known once the four in it add up to a known one
    coarse = shrunk.reshape(*total.shape, -1)
    coarse = coarse * per_channel(4 / np.maximum(total, 1), coarse.shape[2])
    fill = cv2.resize(push_pull(coarse, np.minimum(total, 1)), even, interpolation=cv2.INTER_LINEAR)
    filled = fill.reshape(*even[::-1], -1)[:height, :width] * (1 - shares)
    return np.asarray(weighted_values + filled, np.float32)


def spread_evenly(count: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `count` things, first and last among them; None for all.

    Raises:
        ValueError: limit is under 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")
    return np.linspace(0, count - 1, min(limit or count, count)).astype(int).tolist()
