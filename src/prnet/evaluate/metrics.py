"""Predicted and true points → errors: pure functions, each with its definition.

Distances come out in the unit of the points, errors named `nme` in per cent of a size.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.geometry.pose import Angles
from prnet.geometry.similarity import fit_similarity

Array = NDArray[np.floating]

# |yaw| in degrees: a bin takes its upper bound, the last one all that is beyond its lower bound
YAW_BINS: dict[str, tuple[float, float]] = {
    "0_30": (-np.inf, 30.0),
    "30_60": (30.0, 60.0),
    "60_90": (60.0, np.inf),
}
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 36, 45  # iBUG points
# iBUG points whose distances make an opening: pairs across it, then the pair along it
EYES = (((37, 41), (38, 40)), (36, 39)), (((43, 47), (44, 46)), (42, 45))
MOUTH = ((62, 66),), (48, 54)


def face_size(points: Array) -> float:
    """Size of a face: √(width · height) of the box tight around its points.

    Args:
        points: (P, 2 or 3) float; z doesn't count.

    Returns:
        Pixels, or whatever the unit of the points is.
    """
    return float(np.sqrt(np.ptp(points[:, :2], axis=0).prod()))


def tight_box(points: Array) -> NDArray[np.float32]:
    """The box x0 y0 x1 y1 tight around points (P, 2 or 3): (4,) float32."""
    xy = np.asarray(points, np.float32)[:, :2]
    return np.concatenate([xy.min(0), xy.max(0)])


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


def interocular(landmarks68: Array) -> float:
    """Distance of the outer eye corners, iBUG points 36 and 45, of (68, 2 or 3)."""
    return float(np.linalg.norm(landmarks68[RIGHT_EYE_OUTER] - landmarks68[LEFT_EYE_OUTER]))


def eye_opening(landmarks68: Array) -> Array:
    """Distance of the lids over the eye's width, mean of both pairs of lid points and both eyes.

    Args:
        landmarks68: (..., 68, 2 or 3) float, any frame.

    Returns:
        (...) float.
    """
    return np.mean([_opening(landmarks68, *eye) for eye in EYES], axis=0)


def mouth_opening(landmarks68: Array) -> Array:
    """Distance of the inner lips in the middle over the mouth's width, as `eye_opening`."""
    return _opening(landmarks68, *MOUTH)


def _opening(points: Array, across: tuple[tuple[int, int], ...], along: tuple[int, int]) -> Array:
    """Mean distance of the pairs across an opening over that of the pair along it."""
    first, second = np.array([*across, along]).T
    distances = np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)
    return np.asarray(distances[..., :-1].mean(-1) / distances[..., -1])


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


def box_overlap(boxes: ArrayLike, box: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) with one (4,), all x0 y0 x1 y1: (N,) in [0, 1]."""
    many, one = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(box, np.float64)
    low, high = np.maximum(many[:, :2], one[:2]), np.minimum(many[:, 2:], one[2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (many[:, 2:] - many[:, :2]).prod(1) + (one[2:] - one[:2]).prod()
    overlap: NDArray[np.float64] = shared / (areas - shared)
    return overlap


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
