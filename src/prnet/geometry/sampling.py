"""Pictures read between their pixels or halved, and their gaps filled; things picked evenly."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled, compiled_part

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


def halve(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average (H, W, 3) pixels two by two, a last odd row or column left out; H and W at least 2.

    OpenCV takes a tenth of the time for it that it takes to average other numbers of pixels.
    """
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    even = picture[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


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


def push_pull(
    weighted_values: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Fill a picture's gaps smoothly from what surrounds them.

    Args:
        weighted_values: (H, W, D) float32, values times their weights.
        weight: (H, W) float32 in [0, 1], 0 where a value is unknown.

    Returns:
        (H, W, D) float32: the values themselves where the weight is 1, averages of ever wider
        surroundings where it is less; 0 if all is unknown.

    Source: Gortler et al. 1996, "The Lumigraph", section 3.4.
    """
    return np.moveaxis(push_pull_planes(np.moveaxis(weighted_values, 2, 0), weight), 0, 2).copy()


def push_pull_planes(
    weighted_values: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Do `push_pull` for the channels of a picture one by one: (D, H, W)."""
    values, shares = (np.ascontiguousarray(each, np.float32) for each in (weighted_values, weight))
    if shares.size == 1:
        known = values / np.maximum(shares, np.float32(1e-12)) * (shares > 0)
        return np.asarray(known, np.float32)
    half = [(length + 1) // 2 for length in shares.shape]
    coarse, total = np.empty((len(values), *half), np.float32), np.empty(half, np.float32)
    _pull(values, shares, coarse, total)
    filled = np.empty_like(values)
    _push(values, shares, push_pull_planes(coarse, total), filled)
    return filled


@compiled
def _pull(values, weight, coarse, total):  # type: ignore[no-untyped-def]
    """Fill `coarse` and `total`: a pixel is known once the four in it add up to a known one."""
    scale = np.empty(total.shape[1], np.float32)
    for y in range(len(total)):
        one, other = 2 * y, min(2 * y + 1, len(weight) - 1)
        _add_pairs(weight[one], weight[other], total[y])
        _cap(total[y], scale)
        for k in range(len(values)):
            _add_pairs(values[k, one], values[k, other], coarse[k, y])
            _multiply(coarse[k, y], scale)


@compiled
def _push(values, weight, fill, filled):  # type: ignore[no-untyped-def]
    """Fill `filled`: what isn't known by itself is read between the pixels of `fill`."""
    narrow = np.empty(fill.shape[2], np.float32)
    wide = np.empty(2 * fill.shape[2], np.float32)
    for y in range(len(weight)):
        near, far = y // 2, min(max(y // 2 + y % 2 * 2 - 1, 0), fill.shape[1] - 1)
        for k in range(len(values)):
            _mix(fill[k, near], fill[k, far], narrow)
            _widen(narrow, wide)
            _complete(values[k, y], weight[y], wide, filled[k, y])


# loops so plain that they become vector instructions


@compiled_part
def _add_pairs(one, other, line):  # type: ignore[no-untyped-def]
    """Fill `line` with the sums of two by two pixels of two rows, the last repeated if odd."""
    for x in range(len(one) // 2):
        line[x] = one[2 * x] + one[2 * x + 1] + other[2 * x] + other[2 * x + 1]
    if len(one) % 2:
        line[len(line) - 1] = 2 * (one[len(one) - 1] + other[len(one) - 1])


@compiled_part
def _cap(total, scale):  # type: ignore[no-untyped-def]
    """Cut a row off at 1, and fill `scale` with what values are to be multiplied by."""
    one = np.float32(1)
    for x in range(len(total)):
        scale[x] = one / max(total[x], one)
        total[x] = min(total[x], one)


@compiled_part
def _multiply(line, scale):  # type: ignore[no-untyped-def]
    """Multiply a row."""
    for x in range(len(line)):
        line[x] *= scale[x]


@compiled_part
def _mix(near, far, line):  # type: ignore[no-untyped-def]
    """Fill `line` with what lies a quarter on the way from a row to the next."""
    for x in range(len(line)):
        line[x] = np.float32(0.75) * near[x] + np.float32(0.25) * far[x]


@compiled_part
def _widen(line, wide):  # type: ignore[no-untyped-def]
    """Fill `wide` with a row at twice its pixels."""
    last = len(line) - 1
    wide[0], wide[2 * last + 1] = line[0], line[last]
    for x in range(last):
        wide[2 * x + 1] = np.float32(0.75) * line[x] + np.float32(0.25) * line[x + 1]
        wide[2 * x + 2] = np.float32(0.25) * line[x] + np.float32(0.75) * line[x + 1]


@compiled_part
def _complete(values, weight, wide, filled):  # type: ignore[no-untyped-def]
    """Fill a row of `filled`."""
    for x in range(len(filled)):
        filled[x] = values[x] + (np.float32(1) - weight[x]) * wide[x]


def spread_evenly(count: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `count` things, first and last among them; None for all.

    Raises:
        ValueError: limit is under 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")
    return np.linspace(0, count - 1, min(limit or count, count)).astype(int).tolist()
