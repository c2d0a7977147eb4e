import numpy as np
import pytest

from prnet.evaluate.icp import Surface, align, distances_to, match_moments
from prnet.geometry.pose import rotation_from_angles
from prnet.geometry.similarity import Similarity


@pytest.fixture(scope="module")
def hill() -> np.ndarray:
    """Points of a smooth lopsided surface that fits itself in one way only, (3000, 3)."""
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 3000)) * [[1], [1.2]]
    z = 0.6 * np.exp(-3 * (x**2 + (y - 0.2) ** 2)) - 0.3 * x**2 - 0.2 * y**2 + 0.1 * x * y
    return np.stack([x, y, z], 1)


MOVE = Similarity(2.5, rotation_from_angles(6, -4, 5), np.array([10.0, -3.0, 1.0]))
START = Similarity(2.4, np.eye(3), np.array([10.05, -2.95, 1.0]))


def test_a_moved_part_is_brought_back(hill: np.ndarray) -> None:
    surface = Surface(hill)
    part = MOVE.apply(hill[np.linalg.norm(hill, axis=1) < 0.8])
    placed = align(surface, part, START)
    assert distances_to(surface, part, placed).max() < 1e-6
    assert placed.scale == pytest.approx(MOVE.scale)
    np.testing.assert_allclose(placed.rotation, MOVE.rotation, atol=1e-6)


def test_outliers_are_trimmed(hill: np.ndarray) -> None:
    """A tenth of the scan is noise far off; the rest must still fit exactly."""
    surface = Surface(hill)
    part = MOVE.apply(hill[np.linalg.norm(hill, axis=1) < 0.8])
    noisy = part.copy()
    noisy[::10] += [0, 0, 3]
    trimmed = distances_to(surface, part, align(surface, noisy, START, kept=0.85)).mean()
    plain = distances_to(surface, part, align(surface, noisy, START, kept=1.0)).mean()
    assert trimmed < 1e-6
    assert plain > 0.02


def test_the_surface_does_not_shrink_onto_a_point(hill: np.ndarray) -> None:
    """The start is half as large as it should be, and half a face away."""
    start = Similarity(1.2, np.eye(3), np.array([10.5, -3.0, 1.5]))
    assert align(Surface(hill), MOVE.apply(hill), start).scale > 2.2


def test_distances_are_in_the_targets_unit(hill: np.ndarray) -> None:
    flat = Surface(hill * [1, 1, 0])
    doubled = Similarity(2.0, np.eye(3), np.array([7.0, 0.0, 0.0]))
    point = np.array([[hill[0, 0] * 2 + 7, hill[0, 1] * 2, 3.0]])
    np.testing.assert_allclose(distances_to(flat, point, doubled), [3.0])


def test_moments_match_centre_and_spread() -> None:
    source = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]], float)
    placed = match_moments(source, 3 * source + [1, 2, 3])
    assert placed.scale == pytest.approx(3)
    np.testing.assert_allclose(placed.translation, [1, 2, 3])
    np.testing.assert_array_equal(placed.rotation, np.eye(3))


@pytest.mark.parametrize("kept", [0.0, 1.1, float("nan")])
def test_an_impossible_share_is_refused(hill: np.ndarray, kept: float) -> None:
    with pytest.raises(ValueError, match="kept must be in"):
        align(Surface(hill), hill, START, kept)
