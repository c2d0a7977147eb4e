"""A face without its pose → ARKit's expression weights and the head model's identity."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose
from prnet.geometry.sampling import sample_map
from prnet.morphable.head_model import FACE, HeadModel, embedded_head

# The narrow face of the ICT model: without ears, neck and scalp
FACE_VERTICES = 6706
# How far a regressed face lies from any that the model can say, and how many independent points
# that deviation is worth: the network's errors are smooth.
DEVIATION_CM, INDEPENDENT_POINTS = 0.15, 400
# Prior of a weight in [0, 1], exp(−s·w − w²/2): most of the 51 are near zero in most photos.
# Several shapes of the lips together imitate a jaw, so they come dearer. Chosen on the training
# photos of AFW and Helen: more of it and half-closed eyes go unnoticed, less and neutral faces get
# expressions.
SPARSITY, LIPS_SPARSITY = 2.0, 10.0
EXPRESSION_PRECISION = 1.0
RIGID_PRECISION = 1e-4  # the pose was fitted to the mean face; how this one deviates is free
RIGID_UNIT = 0.1  # of a turn and of the size: keeps the columns alike


@dataclass(frozen=True, eq=False)
class HeadCoefficients:
    """A face in the head model's terms.

    Attributes:
        expression: (E,) float64 in [0, 1], in the order of `HeadModel.expression_names`.
        identity: (K,) float64, standard deviations.
        rigid: (7,) float64, what remains of the pose, to first order: move, turn (radians over
            `RIGID_UNIT`) and growth (over `RIGID_UNIT`).
    """

    expression: NDArray[np.float64]
    identity: NDArray[np.float64]
    rigid: NDArray[np.float64]


class BlendshapeFitter:
    """Bounded, regularized least squares; all that doesn't depend on the face is done once.

    With B the expressions and A identities and rigid motions, weighted by area, it minimizes
    |A a + B w − r|² + aᵀΛa + λ|w|² + 2 sᵀw over a and w in [0, 1]. The a is eliminated, which
    leaves a bounded problem in w alone.

    Args:
        model: The head model; only the narrow face counts.

    Attributes:
        weight: (6706,) float64, of each of its vertices: the root of how much it counts.
        inverse: (7 + K, 7 + K) float64, (A Aᵀ + Λ)⁻¹; rigid motions, then identities.
        cross: (E, 7 + K) float64, B Aᵀ.
        quadratic: (E, E) float64, what remains of B Bᵀ + λ once a is eliminated.
        sparsity: (E,) float64, s.
    """

    def __init__(self, model: HeadModel) -> None:
        mean = model.vertices[:FACE_VERTICES].astype(np.float64)
        identity = model.identity[:, :FACE_VERTICES]
        others = np.concatenate([rigid_motions(mean), identity])
        precision = np.r_[np.full(7, RIGID_PRECISION), np.ones(len(identity))]
        area = _vertex_areas(mean, model.triangles_of(FACE)[0])
        weight = np.sqrt(area * (INDEPENDENT_POINTS / area.sum())) / DEVIATION_CM
        count = 3 * FACE_VERTICES
        a = (others * weight[:, None]).reshape(-1, count)
        b = (model.expression[:, :FACE_VERTICES] * weight[:, None]).reshape(-1, count)
        self._mean, self.weight = mean, weight
        self._columns = np.concatenate([a, b]).astype(np.float32)
        self._split = len(a)
        self.inverse = np.linalg.inv(a @ a.T + np.diag(precision))
        self.cross = b @ a.T
        reduced = b @ b.T - self.cross @ self.inverse @ self.cross.T
        self.quadratic = reduced + EXPRESSION_PRECISION * np.eye(len(b))
        is_lips = [name.startswith("mouth") for name in model.expression_names]
        self.sparsity = np.where(is_lips, LIPS_SPARSITY, SPARSITY)

    def __call__(self, vertices: NDArray[np.floating]) -> HeadCoefficients:
        """Fit a face.

        Args:
            vertices: (≥ 6706, 3) float, canonical frame, cm: the head model's first vertices.
        """
        residual = (vertices[:FACE_VERTICES] - self._mean) * self.weight[:, None]
        products = self._columns @ residual.astype(np.float32).ravel()
        a, b = np.split(products.astype(np.float64), [self._split])
        linear = b - self.cross @ (self.inverse @ a) - self.sparsity
        expression = solve_bounded(self.quadratic, linear)
        others = self.inverse @ (a - self.cross.T @ expression)
        return HeadCoefficients(expression, others[7:], others[:7])


@cache
def blendshape_fitter() -> BlendshapeFitter:
    """The fitter of the head model inside the package."""
    return BlendshapeFitter(embedded_head())


def fit_blendshapes(position_map: NDArray[np.floating], pose: Pose) -> HeadCoefficients:
    """Fit the head model inside the package to a face.

    Args:
        position_map: (M, M, 3) float, photo frame, in the UV space of the atlas in the package.
        pose: Canonical frame → photo frame.
    """
    chart = sample_chart(position_map, embedded_head(), FACE_VERTICES)
    return blendshape_fitter()(pose.remove(chart))


def sample_chart(
    position_map: NDArray[np.floating], model: HeadModel, count: int | None = None
) -> NDArray[np.float32]:
    """Read the head model's face off a position map.

    Args:
        position_map: (M, M, 3) float, any frame; in the UV space of the atlas in the package.
        model: The head model.
        count: C, only its first vertices; None for the whole face.

    Returns:
        (C, 3) float32, the map's frame.
    """
    return sample_map(position_map, model.chart_uv[:count])


def rigid_motions(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """How points move when all move, turn about the origin or grow: (P, 3) → (7, P, 3)."""
    points = np.asarray(points, np.float64)
    axes = np.eye(3)
    moves = [np.broadcast_to(axis, points.shape) for axis in axes]
    turns = [RIGID_UNIT * np.cross(axis, points) for axis in axes]
    return np.stack([*moves, *turns, RIGID_UNIT * points])


def solve_bounded(
    quadratic: NDArray[np.float64], linear: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimize ½ wᵀQw − cᵀw over 0 ≤ w ≤ 1.

    Args:
        quadratic: Q, (N, N) float64, symmetric and positive definite.
        linear: c, (N,) float64.

    Returns:
        (N,) float64.

    Source: Júdice and Pires 1994, block principal pivoting; where exchanging all wrong variables at
    once stops making fewer of them, they are exchanged one by one, which ends for certain.
    """
    tolerance = 1e-9 * (1 + np.abs(linear).max())
    count = len(linear)
    is_low, is_high = np.ones(count, bool), np.zeros(count, bool)
    fewest, patience = count + 1, 3
    while True:
        free = ~(is_low | is_high)
        w = is_high.astype(np.float64)
        rest = (linear - quadratic @ w)[free]
        w[free] = np.linalg.solve(quadratic[np.ix_(free, free)], rest)
        gradient = quadratic @ w - linear
        below, above = free & (w < -tolerance), free & (w > 1 + tolerance)
        release = (is_low & (gradient < -tolerance)) | (is_high & (gradient > tolerance))
        wrong = below | above | release
        number = int(wrong.sum())
        if number == 0:
            return np.clip(w, 0, 1)
        if number < fewest:
            fewest, patience = number, 3
        elif patience:
            patience -= 1
        else:
            last = np.flatnonzero(wrong)[-1]
            wrong = np.arange(count) == last
        is_low = (is_low & ~(wrong & release)) | (wrong & below)
        is_high = (is_high & ~(wrong & release)) | (wrong & above)


def _vertex_areas(
    vertices: NDArray[np.float64], triangles: NDArray[np.int32]
) -> NDArray[np.float64]:
    """A third of the triangles around each of the vertices; those of others don't count."""
    inside = triangles[(triangles < len(vertices)).all(1)]
    a, b, c = np.moveaxis(vertices[inside], 1, 0)
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    shares = np.bincount(inside.ravel(), np.repeat(areas / 3, 3), minlength=len(vertices))
    return shares.astype(np.float64)
