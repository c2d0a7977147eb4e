import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from prnet.geometry.pose import rotation_from_angles
from prnet.geometry.weak_perspective import fit_weak_perspective, rotation_from_vector

STARTS = np.stack([rotation_from_angles(yaw, 0, 0) for yaw in (-90, -45, 0, 45, 90)])


def test_vectors_become_rotations() -> None:
    vectors = np.random.default_rng(0).normal(0, 2, (50, 3))
    vectors[0] = 0
    vectors[1] = [1e-9, 0, 0]
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(rotation_from_vector(vectors), expected, atol=1e-12)


def test_the_pose_of_exact_points_is_found() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(0, 3, (30, 12, 3)) + [1, 2, 3]
    rotation = np.stack([rotation_from_angles(*rng.uniform(-80, 80, 3)) for _ in points])
    scale, shift = rng.uniform(2, 9, 30), rng.uniform(-99, 99, (30, 2))
    seen = scale[:, None, None] * np.einsum("nij,npj->npi", rotation[:, :2], points)
    found = fit_weak_perspective(points, seen + shift[:, None], STARTS)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-8)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-8)
    np.testing.assert_allclose(found.translation, shift, atol=1e-6)
    np.testing.assert_allclose(found.apply(points), seen + shift[:, None], atol=1e-6)


def test_points_with_noise_are_met_as_nearly_as_scipy_meets_them() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(0, 3, (20, 12, 3))
    seen = 5 * points[..., :2] + rng.normal(0, 2, (20, 12, 2))
    found = fit_weak_perspective(points, seen, STARTS)
    cost = ((found.apply(points) - seen) ** 2).sum((1, 2))

    def other_cost(x: np.ndarray, y: np.ndarray, start: np.ndarray) -> float:
        def residual(p: np.ndarray) -> np.ndarray:
            turned = x @ (Rotation.from_rotvec(p[:3]).as_matrix() @ start).T
            return (p[3] * turned[:, :2] + p[4:] - y).ravel()

        return 2 * float(least_squares(residual, [0, 0, 0, 5, 0, 0], method="lm").cost)

    others = [min(other_cost(x, y, s) for s in STARTS) for x, y in zip(points, seen, strict=True)]
    np.testing.assert_allclose(cost, others, rtol=1e-6)


@pytest.mark.parametrize(
    "shapes", [((2, 3, 3), (2, 3, 2)), ((2, 5, 3), (2, 5, 3)), ((5, 3), (5, 2))]
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="points must be"):
        fit_weak_perspective(*(np.zeros(shape) for shape in shapes), STARTS)
