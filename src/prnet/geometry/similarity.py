"""Point sets → the similarity between them, and points moved by it.

Similarities compose with `@`, the right one first, have an identity and an inverse.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
ROUNDING = 1e-12  # of sums over points, in units of the points' distance from the origin


@dataclass(frozen=True)
class Similarity:
    """The map p ↦ scale · rotation · p + translation in D = 2 or 3 dimensions.

    Attributes:
        scale: Positive factor, target units per source unit.
        rotation: (D, D) float64, orthonormal with determinant +1.
        translation: (D,) float64, target units.
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    @classmethod
    def identity(cls, dimensions: int) -> "Similarity":
        """The similarity that moves nothing, in 2 or 3 dimensions."""
        return cls(1.0, np.eye(dimensions), np.zeros(dimensions))

    def __matmul__(self, first: "Similarity") -> "Similarity":
        """The similarity that does `first`, then this one; ValueError if dimensions differ."""
        if not isinstance(first, Similarity):
            return NotImplemented
        if first.translation.shape != self.translation.shape:
            raise ValueError(
                f"similarities must be of one dimension, got {len(self.translation)} and "
                f"{len(first.translation)}"
            )
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * self.rotation @ first.translation + self.translation,
        )

    def apply(self, points: Array) -> Array:
        """Move points.

        Args:
            points: (..., D) float, source frame.

        Returns:
            (..., D) float of the same precision, target frame.
        """
        moved = self.scale * (points @ self.rotation.T) + self.translation
        return moved.astype(points.dtype, copy=False)

    def inverse(self) -> "Similarity":
        """The similarity that takes target points back to the source."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def matrix(self) -> NDArray[np.float64]:
        """The (D, D + 1) float64 affine matrix [scale · rotation | translation]."""
        return np.hstack([self.scale * self.rotation, self.translation[:, None]])


class SimilarityFit:
    """Fits similarities to one set of source points, what they need alone being worked out once.

    Attributes:
        weights: (1 + D, P) float64. These times target points (P, D) are their moments, which are
            all that a fit needs of them.
    """

    def __init__(self, source: Array, weights: NDArray[np.floating] | None = None) -> None:
        """Take the source.

        Args:
            source: (P, D) float, P ≥ D, any unit.
            weights: (P,) non-negative float; None for equal weights.

        Raises:
            ValueError: Not points, or weights that add up to nothing.
        """
        points = np.asarray(source, np.float64)
        if points.ndim != 2:
            raise ValueError(f"source must be points (P, D), got {points.shape}")
        share = np.ones(len(points)) if weights is None else np.asarray(weights, np.float64)
        if share.sum() <= 0:
            raise ValueError("weights must have a positive sum")
        share = share / share.sum()
        self._mean = share @ points
        centred = points - self._mean
        self.weights = np.vstack([share, (centred * share[:, None]).T])
        self._variance = float((self.weights[1:].T * centred).sum())

    def __call__(self, target: Array) -> Similarity:
        """Find the similarity that minimises Σ w |scale · R · source + t − target|².

        Args:
            target: (P, D) float, target frame.

        Returns:
            Similarity with det R = +1: a reflection is never chosen.

        Raises:
            ValueError: The shapes differ, or the points span fewer than D − 1 directions.

        Source: Umeyama 1991, eq. 40–43.
        """
        points = np.asarray(target, np.float64)
        expected = self.weights.shape[1], len(self.weights) - 1
        if points.shape != expected:
            raise ValueError(
                f"source and target must be (P, D) of one shape, got {expected} and {points.shape}"
            )
        return self.from_moments(self.weights @ points)

    def from_moments(self, moments: NDArray[np.floating]) -> Similarity:
        """Find the similarity by the target's moments (1 + D, D): see `weights` and a call."""
        mean, covariance = moments[0], moments[1:].T
        dimensions = len(mean)
        # the source is centred, so the target needn't be, but for what is rounded then
        singular, u, vt = cv2.SVDecomp(covariance)  # which takes NumPy many times as long
        largest, *_ = sizes = singular[:, 0].tolist()
        rounded = ROUNDING * math.hypot(*mean.tolist()) * math.sqrt(max(self._variance, 0.0))
        spans = sum(size > max(largest * 1e-9, rounded) for size in sizes) >= dimensions - 1
        if self._variance <= 0 or not spans:
            raise ValueError(f"points must span at least {dimensions - 1} directions")
        if cv2.determinant(u @ vt) < 0:
            u[:, -1] *= -1
            sizes[-1] *= -1
        rotation = np.asarray(u @ vt, np.float64)
        scale = sum(sizes) / self._variance
        return Similarity(scale, rotation, mean - scale * rotation @ self._mean)


def fit_similarity(
    source: Array, target: Array, weights: NDArray[np.floating] | None = None
) -> Similarity:
    """Find the similarity that takes points nearest to others: see `SimilarityFit`."""
    return SimilarityFit(source, weights)(target)
