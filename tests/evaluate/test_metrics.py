"""Every error against numbers worked out by hand."""

import numpy as np
import pytest

from prnet.evaluate import metrics
from prnet.geometry.pose import Angles, rotation_from_angles
from prnet.geometry.similarity import Similarity

# box: x 0–80, y 0–125, so √(80 · 125) = 100 px is the face's size
FACE = np.array([[0, 0, 5], [80, 125, 1], [40, 60, 30], [10, 100, 8]], np.float32)


def test_the_nme_of_the_conventions_page() -> None:
    moved = FACE[:, :2] + [3, 4]
    assert metrics.nme(moved, FACE[:, :2], 100) == pytest.approx(5)
    assert metrics.nme(FACE, FACE, 100) == 0


def test_the_nme_is_a_mean_of_distances_not_of_squares() -> None:
    moved = FACE[:, :2].copy()
    moved[0] += [6, 8]  # one of four points, 10 px off
    assert metrics.nme(moved, FACE[:, :2], 100) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("predicted", "size", "message"),
    [
        (FACE[:3], 100.0, "one shape"),
        (FACE[:, :2], 100.0, "one shape"),
        (FACE, 0.0, "size must be positive"),
        (FACE, float("nan"), "size must be positive"),
    ],
)
def test_the_nme_refuses(predicted: np.ndarray, size: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.nme(predicted, FACE, size)


def test_point_errors_in_the_picture_and_in_space() -> None:
    """z off by the same everywhere is no error; by ±12 about it, with 3 and 4 in x and y, 13."""
    moved = FACE + np.array([3, 4, 1000], np.float32)
    errors = metrics.point_errors(moved, FACE)
    assert errors == pytest.approx({"nme68_2d": 5, "nme68_3d": 5}, abs=1e-4)
    moved[:, 2] += [12, -12, 12, -12]
    errors = metrics.point_errors(moved, FACE, "_dense")
    assert errors == pytest.approx({"nme_dense_2d": 5, "nme_dense_3d": 13}, abs=1e-4)


def test_a_label_without_depth_has_no_error_in_space() -> None:
    assert metrics.point_errors(FACE, FACE[:, :2]) == {"nme68_2d": 0}


def test_depth_is_aligned_at_its_mean_into_a_new_array() -> None:
    aligned = metrics.align_depth(FACE)
    np.testing.assert_allclose(aligned, FACE - [0, 0, 11])
    assert FACE[0, 2] == 5


def test_alignment_takes_off_every_similarity() -> None:
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(50, 3))
    move = Similarity(3.0, rotation_from_angles(40, 20, -10), np.array([5.0, -2.0, 9.0]))
    assert metrics.aligned_distance(move.apply(shape), shape) == pytest.approx(0, abs=1e-9)


def test_alignment_leaves_what_no_similarity_can_take_off() -> None:
    """A cube against one stretched along z to half-lengths 1, 1, 2.

    The best scale is Σ a·b / Σ a² = (1 + 1 + 2) / 3 = 4/3; each corner then is off by
    (1/3, 1/3, −2/3), whose length is √6 / 3.
    """
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    distance = metrics.aligned_distance(corners, corners * [1, 1, 2])
    assert distance == pytest.approx(np.sqrt(6) / 3)


def test_alignment_never_mirrors() -> None:
    rng = np.random.default_rng(1)
    shape = rng.normal(size=(50, 3))
    assert metrics.aligned_distance(shape * [-1, 1, 1], shape) > 0.3


def test_points_stray_by_their_standard_deviation() -> None:
    """One of two points measured at (0, 0), (6, 8) and (12, 16): √(36 + 64); the other stays."""
    points = np.array([[[0, 0], [1, 1]], [[6, 8], [1, 1]], [[12, 16], [1, 1]]], np.float32)
    assert metrics.point_deviation(points) == pytest.approx(5)
    assert metrics.point_deviation(points + 1000) == pytest.approx(5)


def test_a_trend() -> None:
    true = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.trend(0.5 * true + 7, true) == pytest.approx((1, 0.5))
    assert metrics.trend([1, -1, -1, 1], [1, 1, -1, -1]) == pytest.approx((0, 0))
    assert np.isnan(metrics.trend([1, 1], [1, 2])).all()
    assert np.isnan(metrics.trend([1], [1])).all()
    assert np.isnan(metrics.trend([], [])).all()


def test_angles_differ_the_short_way_round() -> None:
    errors = metrics.angle_errors(Angles(179, -5, 10), Angles(-179, 5, 10))
    assert errors == pytest.approx((2, 10, 0))


def test_bins_take_their_upper_bound() -> None:
    """30° is in the first, −60° in the second, 351° in the last, as 3DDFA's protocol has it."""
    means = metrics.mean_by_yaw([1, 2, 4, 8, 16, 32], [0, 30, -30.5, -60, 61, 351])
    assert means.counts == {"0_30": 2, "30_60": 2, "60_90": 2}
    assert means.bins == {"0_30": 1.5, "30_60": 6, "60_90": 24}
    assert means.mean_of_bins == 10.5
    assert means.mean == 10.5


def test_the_two_means_differ_when_bins_do() -> None:
    means = metrics.mean_by_yaw([2, 2, 2, 4, 6], [0, 1, 2, 40, 70])
    assert means.mean == pytest.approx(3.2)
    assert means.mean_of_bins == pytest.approx(4)


def test_an_empty_bin_leaves_no_mean_of_bins() -> None:
    means = metrics.mean_by_yaw([2, np.nan, 4], [0, 45, 10])
    assert means.counts == {"0_30": 2, "30_60": 0, "60_90": 0}
    assert np.isnan(means.bins["30_60"]) and np.isnan(means.mean_of_bins)
    assert means.mean == 3
    assert np.isnan(metrics.mean_by_yaw([], []).mean)
