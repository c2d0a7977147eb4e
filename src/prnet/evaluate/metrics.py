"""Predicted and true points → errors: pure functions, each with its definition.

Distances come out in the unit of the points, errors named `nme` in per cent of a size.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.geometry.boxes import face_size
from prnet.geometry.pose import Angles
from prnet.geometry.similarity import fit_similarity

Array = NDArray[np.floating]

# |yaw| in degrees: a bin takes its upper bound, the last one all that is beyond its lower bound
YAW_BINS: dict[str, tuple[float, float]] = {
    "0_30": (-np.inf, 30.0),
    "30_60": (30.0, 60.0),
    "60_90": (60.0, np.inf),
}


def nme(predicted: Array, truth: Array, size: float) -> float:
    """Normalised mean error: mean over the points of |predicted − truth| / size.

    Args:
        predicted: (P, D) float; D = 2 for the error in the picture, 3 for the error in space.
        truth: (P, D) float, same frame.
        size: What counts as 100%, usually `face_size(truth)`.

    Returns:
        Per cent.

    Raises:
        ValueError: The shapes differ, or size isn't positive.
    """
    if predicted.shape != truth.shape or predicted.ndim != 2:
        raise ValueError(
            f"predicted and truth must be (P, D) of one shape, got {predicted.shape} "
            f"and {truth.shape}"
        )
    if not size > 0:
        raise ValueError(f"size must be positive, got {size}")
    return 100 * float(np.linalg.norm(predicted - truth, axis=1).mean()) / size


def align_depth(points: Array) -> Array:
    """Points (P, 3) with the mean of z taken off: depth has no zero in weak perspective."""
    return points - np.array([0, 0, points[:, 2].mean()], points.dtype)


def point_errors(predicted: Array, truth: Array, name: str = "68") -> dict[str, float]:
    """The errors of corresponding points by name, in per cent of the truth's `face_size`.

    Args:
        predicted: (P, 3) float, photo frame.
        truth: (P, 2 or 3) float, photo frame.
        name: Of the points.

    Returns:
        `nme<name>_2d`, of x and y; where the truth has depth also `nme<name>_3d`, of all three, the
        mean z of each set taken off first.
    """
    size = face_size(truth)
    errors = {f"nme{name}_2d": nme(predicted[:, :2], truth[:, :2], size)}
    if truth.shape[1] == 3:
        errors[f"nme{name}_3d"] = nme(align_depth(predicted), align_depth(truth), size)
    return errors


def aligned_distance(predicted: Array, truth: Array) -> float:
    """Mean distance between corresponding points, after the similarity that brings them nearest.

    Args:
        predicted: (P, 3) float, any frame that isn't mirrored against the truth's.
        truth: (P, 3) float.

    Returns:
        Mean distance in the unit of the truth.
    """
    moved = fit_similarity(predicted, truth).apply(predicted)
    return float(np.linalg.norm(moved - truth, axis=1).mean())


def point_deviation(points: Array) -> float:
    """How far points stray when they are measured several times: their standard deviation.

    Args:
        points: (K, P, D) float, K ≥ 2 measurements of P points.

    Returns:
        √(sum of the variances over the D axes) of each point, the variances being unbiased (over
        K − 1); the mean of that over the points, in their unit.
    """
    variances = np.var(points, axis=0, ddof=1, dtype=np.float64)
    return float(np.sqrt(variances.sum(-1)).mean())


class Trend(NamedTuple):
    """How measured values follow true ones.

    Attributes:
        correlation: Pearson's, in [−1, 1].
        slope: Of the least-squares line measured = slope · true + constant.
    """

    correlation: float
    slope: float


def trend(measured: ArrayLike, true: ArrayLike) -> Trend:
    """Fit a line through measured over true values, both (N,); NaN if one of them doesn't vary."""
    y, x = np.asarray(measured, np.float64), np.asarray(true, np.float64)
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return Trend(np.nan, np.nan)
    dx, dy = x - x.mean(), y - y.mean()
    return Trend(float((dx * dy).mean() / (x.std() * y.std())), float((dx * dy).mean() / dx.var()))


def angle_errors(predicted: Angles, truth: Angles) -> Angles:
    """How far angles are apart, the short way round: degrees in [0, 180] for yaw, pitch, roll."""
    difference = np.subtract(predicted, truth)
    return Angles(*np.abs((difference + 180) % 360 - 180).tolist())


class BinMeans(NamedTuple):
    """Means of errors by |yaw|.

    Attributes:
        counts: Photos in each bin of YAW_BINS.
        bins: Mean of each bin; NaN for an empty one.
        mean_of_bins: Their mean, every bin counting the same; NaN if one is empty.
        mean: Over all photos, every photo counting the same.
    """

    counts: Mapping[str, int]
    bins: Mapping[str, float]
    mean_of_bins: float
    mean: float


def mean_by_yaw(errors: ArrayLike, yaw_deg: ArrayLike) -> BinMeans:
    """Average errors by |yaw|, in the bins of AFLW2000-3D: up to 30°, up to 60°, beyond.

    Args:
        errors: (N,) float; NaN ones are left out.
        yaw_deg: (N,) float, the same photos' yaw.

    Returns:
        BinMeans in the unit of the errors.
    """
    values, yaw = np.asarray(errors, np.float64), np.abs(np.asarray(yaw_deg, np.float64))
    is_known = ~np.isnan(values)
    groups = {
        name: values[is_known & (yaw > low) & (yaw <= high)]
        for name, (low, high) in YAW_BINS.items()
    }
    bins = {name: _mean(group) for name, group in groups.items()}
    return BinMeans(
        {name: len(group) for name, group in groups.items()},
        bins,
        float(np.mean(list(bins.values()))),
        _mean(values[is_known]),
    )


def _mean(values: NDArray[np.float64]) -> float:
    """The mean, NaN of nothing (without NumPy's warning)."""
    return float(values.mean()) if len(values) else float("nan")
