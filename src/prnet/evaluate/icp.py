"""Two surfaces without known correspondence → the similarity that brings one onto the other."""

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.similarity import Similarity, fit_similarity

KEPT = 0.9  # share of the pairs that count; the farthest are hair, noise and holes
ROUNDS = 100
FITTED = 4000  # of the target's points at most, evenly picked: enough for seven numbers
STEADY = 1e-5  # relative change of the root mean square distance at which it is done


class Surface:
    """Points of a surface, ready to be asked for the nearest.

    Attributes:
        points: (P, 3) float64.
    """

    def __init__(self, points: NDArray[np.floating]) -> None:
        from scipy.spatial import cKDTree  # an extra, and slow to import

        self.points = np.asarray(points, np.float64)
        self._tree = cKDTree(self.points)

    def nearest(
        self, points: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distances (Q,) float64 to the nearest of the surface's points, and their indices (Q,)."""
        distances, indices = self._tree.query(points)
        return distances, indices


def distances_to(
    surface: Surface, target: NDArray[np.floating], placed: Similarity
) -> NDArray[np.float64]:
    """Distance from each target point to the nearest point of a placed surface.

    Args:
        surface: In its own frame.
        target: (Q, 3) float.
        placed: Surface's frame → target's frame.

    Returns:
        (Q,) float64, unit of the target.
    """
    distances, _ = surface.nearest(placed.inverse().apply(np.asarray(target, np.float64)))
    return placed.scale * distances


def match_moments(source: NDArray[np.floating], target: NDArray[np.floating]) -> Similarity:
    """Bring points onto others by their centre and spread alone, without turning them.

    Args:
        source: (P, 3) float.
        target: (Q, 3) float.

    Returns:
        Similarity, source → target.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    scale = float(np.sqrt(b.var(0).sum() / a.var(0).sum()))
    return Similarity(scale, np.eye(3), b.mean(0) - scale * a.mean(0))


def align(
    surface: Surface, target: NDArray[np.floating], start: Similarity, kept: float = KEPT
) -> Similarity:
    """Iterative closest points: pair each target point with the surface's nearest, fit, repeat.

    Pairs are sought from the target's side, so that every part of it must be explained; sought from
    the other side, a surface free to scale could shrink onto a single point. Only the nearest pairs
    count in the fit.

    Args:
        surface: What is moved.
        target: (Q, 3) float, part of what it shall lie on.
        start: Surface's frame → target's frame, roughly.
        kept: Share of the pairs that count, in (0, 1].

    Returns:
        Similarity, surface's frame → target's frame.

    Raises:
        ValueError: kept isn't in (0, 1].

    Source: Besl and McKay 1992; trimmed as by Chetverikov et al. 2002.
    """
    if not 0 < kept <= 1:
        raise ValueError(f"kept must be in (0, 1], got {kept}")
    points = np.asarray(target, np.float64)
    points = points[:: -(-len(points) // FITTED)]
    count = max(round(kept * len(points)), 3)
    placed, before = start, np.inf
    for _ in range(ROUNDS):
        distances, indices = surface.nearest(placed.inverse().apply(points))
        best = np.argpartition(distances, count - 1)[:count]
        error = placed.scale * float(np.sqrt((distances[best] ** 2).mean()))
        if error >= before * (1 - STEADY):
            break
        before = error
        placed = fit_similarity(surface.points[indices[best]], points[best])
    return placed
