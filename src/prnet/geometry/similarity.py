"""Point sets → the similarity between them, and points moved by it.

Similarities compose with `@`, the right one first, have an identity and an inverse.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


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


def fit_similarity(
    source: Array, target: Array, weights: NDArray[np.floating] | None = None
) -> Similarity:
    """Find the similarity that minimises Σ w |scale · R · source + t − target|².

    Args:
        source: (P, D) float, P ≥ D, any unit.
        target: (P, D) float, target frame.
        weights: (P,) non-negative float; None for equal weights.

    Returns:
        Similarity with det R = +1: a reflection is never chosen.

    Raises:
        ValueError: The shapes differ, or the points span fewer than D − 1 directions.

    Source: Umeyama 1991, eq. 40–43.
    """
    source64 = np.asarray(source, np.float64)
    target64 = np.asarray(target, np.float64)
    if source64.ndim != 2 or source64.shape != target64.shape:
        raise ValueError(
            f"source and target must be (P, D) of one shape, got {source64.shape} "
            f"and {target64.shape}"
        )
    dimensions = source64.shape[1]
    share = np.ones(len(source64)) if weights is None else np.asarray(weights, np.float64)
    if share.sum() <= 0:
        raise ValueError("weights must have a positive sum")
    share = share / share.sum()
    source_mean, target_mean = share @ source64, share @ target64
    source_centred, target_centred = source64 - source_mean, target64 - target_mean
    variance = float(share @ (source_centred**2).sum(1))
    u, singular, vt = np.linalg.svd((target_centred * share[:, None]).T @ source_centred)
    if variance <= 0 or (singular > singular[0] * 1e-9).sum() < dimensions - 1:
        raise ValueError(f"points must span at least {dimensions - 1} directions")
    signs = np.ones(dimensions)
    signs[-1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / variance)
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)
