"""Points in space and where a photo shows them → the pose that explains it best, without depth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 60
SMALLEST_SCALE = 1e-2  # of the ratio of the two sets' spreads
SMALLEST_STEP = 1e-10  # radians, and share of the scale: nothing moves any more


@dataclass(frozen=True, eq=False)
class WeakPerspective:
    """Poses photo = scale · (rotation · point)[:2] + translation of N sets of points.

    Attributes:
        scale: (N,) float64, photo pixels per unit of the points.
        rotation: (N, 3, 3) float64.
        translation: (N, 2) float64, photo pixels.
    """

    scale: NDArray[np.float64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where the photo shows points (N, P, 3): (N, P, 2) float64, axes as in the fit."""
        turned = np.einsum("nij,npj->npi", self.rotation[:, :2], points)
        moved: NDArray[np.float64] = self.scale[:, None, None] * turned + self.translation[:, None]
        return moved


def fit_weak_perspective(
    points: NDArray[np.floating],
    photo_points: NDArray[np.floating],
    starts: NDArray[np.floating],
) -> WeakPerspective:
    """Find for each set the six parameters that bring its points nearest to the photo's.

    They minimise Σ |scale · (rotation · point)[:2] + translation − photo point|².

    Args:
        points: (N, P, 3) float, P ≥ 4, not all in one plane; y up.
        photo_points: (N, P, 2) float, the photo's x and, with the opposite sign, y: y up.
        starts: (S, 3, 3) float, rotations to start from; of the S results the best is taken.

    Returns:
        WeakPerspective of N poses; scales are positive.

    Raises:
        ValueError: The shapes don't fit together.

    Method: Levenberg–Marquardt over the rotation, in all sets and from all starts at once; for a
    given rotation the best scale and translation are known (variable projection).
    """
    x, y = np.asarray(points, np.float64), np.asarray(photo_points, np.float64)
    if x.ndim != 3 or x.shape[2] != 3 or x.shape[1] < 4 or y.shape != (*x.shape[:2], 2):
        raise ValueError(
            f"points must be (N, P ≥ 4, 3) and photo_points (N, P, 2), got {x.shape} and {y.shape}"
        )
    x_mean, y_mean = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
    count, tries = len(x), len(starts)
    centred_x = np.repeat(x - x_mean, tries, axis=0)
    centred_y = np.repeat(y - y_mean, tries, axis=0)
    rotation = np.tile(np.asarray(starts, np.float64), (count, 1, 1))
    scale, cost = _best_scale(rotation, centred_x, centred_y)
    damping = np.full(len(rotation), 1e-2)
    for _ in range(ITERATIONS):
        turned = np.einsum("nij,npj->npi", rotation, centred_x)
        step = _step(turned, centred_y, scale, damping)
        tried = rotation_from_vector(step) @ rotation
        new_scale, new_cost = _best_scale(tried, centred_x, centred_y)
        better = new_cost < cost
        rotation[better], scale[better], cost[better] = (
            new[better] for new in (tried, new_scale, new_cost)
        )
        damping = np.clip(damping * np.where(better, 0.2, 5.0), 1e-12, 1e8)
        if np.abs(step).max() < SMALLEST_STEP:
            break
    best = np.argmin(cost.reshape(count, tries), 1) + tries * np.arange(count)
    scale, rotation = scale[best], rotation[best]
    shift = y_mean[:, 0] - scale[:, None] * np.einsum("nij,nj->ni", rotation[:, :2], x_mean[:, 0])
    return WeakPerspective(scale, rotation, shift)


def rotation_from_vector(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotations about vectors (N, 3) by their lengths in radians: (N, 3, 3) float64 (Rodrigues)."""
    v = np.asarray(vectors, np.float64)
    angle = np.linalg.norm(v, axis=1)[:, None, None]
    cross = np.zeros((len(v), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    cross -= cross.transpose(0, 2, 1)
    # sin a / a and (1 − cos a) / a², which np.sinc keeps finite at 0
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    rotation: NDArray[np.float64] = np.eye(3) + first * cross + second * cross @ cross
    return rotation


def _best_scale(
    rotation: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scale (N,) that suits each rotation best, and the cost (N,) that is left."""
    turned = np.einsum("nij,npj->npi", rotation[:, :2], x)
    scale = (turned * y).sum((1, 2)) / np.maximum((turned**2).sum((1, 2)), 1e-300)
    # at 0, where a start from behind would end, no rotation makes a difference any more
    scale = np.maximum(scale, SMALLEST_SCALE * np.sqrt((y**2).sum((1, 2)) / (x**2).sum((1, 2))))
    return scale, ((scale[:, None, None] * turned - y) ** 2).sum((1, 2))


def _step(
    turned: NDArray[np.float64],
    y: NDArray[np.float64],
    scale: NDArray[np.float64],
    damping: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The rotation vectors (N, 3) of a damped Gauss–Newton step, the scale moving along."""
    count, points = turned.shape[:2]
    jacobian = np.zeros((count, points, 2, 4))
    px, py, pz = np.moveaxis(turned, 2, 0) * scale[:, None]
    jacobian[:, :, 0, 1], jacobian[:, :, 0, 2], jacobian[:, :, 0, 3] = pz, -py, px
    jacobian[:, :, 1, 0], jacobian[:, :, 1, 2], jacobian[:, :, 1, 3] = -pz, px, py
    flat = jacobian.reshape(count, 2 * points, 4)
    residual = (scale[:, None, None] * turned[..., :2] - y).reshape(count, 2 * points, 1)
    normal = flat.transpose(0, 2, 1) @ flat
    diagonal = np.einsum("nii->ni", normal)
    ridge = damping[:, None] * diagonal + 1e-12 * diagonal.max(1, keepdims=True) + 1e-300
    normal = normal + ridge[:, :, None] * np.eye(4)
    step: NDArray[np.float64] = -np.linalg.solve(normal, flat.transpose(0, 2, 1) @ residual)[..., 0]
    return step[:, :3]
