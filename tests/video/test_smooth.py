from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import centre_depth
from prnet.video.smooth import FaceSmoother, OneEuro, Smoothing, low_pass

DT = 1 / 30


@pytest.fixture
def smoother(atlas: Atlas) -> FaceSmoother:
    return FaceSmoother(atlas, Smoothing())


def posed(atlas: Atlas, shape: NDArray[np.float32], pose: Pose) -> NDArray[np.float32]:
    return centre_depth(pose.apply(shape).astype(np.float32), atlas)


def pose_of(yaw: float = 0.0, x: float = 200.0, scale: float = 8.0) -> Pose:
    return Pose(scale, rotation_from_angles(yaw, 3, 5), np.array([x, -150.0, 0.0]))


def test_low_pass_by_hand() -> None:
    assert low_pass(1 / (2 * np.pi), 1.0) == pytest.approx(0.5)  # a time constant of one step
    assert low_pass(0, 1) == 0
    assert low_pass(1e9, 1) == pytest.approx(1)


def test_what_does_not_change_stays(
    smoother: FaceSmoother, make_face: Callable[..., Face], atlas: Atlas
) -> None:
    face = make_face(20, 5, -10)
    for _ in range(3):
        smooth = smoother.update(face.position_map, face.pose, DT)
        np.testing.assert_allclose(smooth, face.position_map, atol=2e-3)
        assert smooth.dtype == np.float32
    np.testing.assert_allclose(smoother.identity, atlas.canonical_map, atol=1e-3)


def test_jitter_is_taken_away_and_nothing_else(smoother: FaceSmoother, atlas: Atlas) -> None:
    """Noise of pose and shape at rest falls to 0.4 of itself, the mean stays."""
    rng = np.random.default_rng(0)
    raw, smooth = [], []
    for _ in range(50):
        pose = pose_of(rng.normal(0, 0.15), 200 + rng.normal(0, 0.2), 8 + rng.normal(0, 0.01))
        shape = atlas.canonical_map + rng.normal(0, 0.004, (256, 256, 3)).astype(np.float32)
        raw.append(posed(atlas, shape, pose))
        smooth.append(smoother.update(raw[-1], pose, DT)[100, 100:150])
    raw_part, smooth_part = (
        np.array(each)[20:] for each in ([m[100, 100:150] for m in raw], smooth)
    )
    assert smooth_part.std(0).mean() < 0.4 * raw_part.std(0).mean()
    np.testing.assert_allclose(smooth_part.mean((0, 1)), raw_part.mean((0, 1)), atol=0.1)


@pytest.mark.parametrize("motion", ["pan", "turn", "zoom"])
def test_fast_motion_lags_less_than_a_frame(
    smoother: FaceSmoother, atlas: Atlas, motion: str
) -> None:
    def pose_at(k: float) -> Pose:
        return {
            "pan": pose_of(x=200 + 12 * k),
            "turn": pose_of(yaw=3 * k),
            "zoom": pose_of(scale=8 * 1.03**k),
        }[motion]

    for k in range(12):
        pose = pose_at(k)
        smooth = smoother.update(posed(atlas, atlas.canonical_map, pose), pose, DT)
    now, before = (posed(atlas, atlas.canonical_map, pose_at(k)) for k in (11, 10))
    lag = ((now - smooth) * (now - before)).sum() / ((now - before) ** 2).sum()
    assert 0 <= lag < 1


def test_the_lag_does_not_depend_on_the_frame_rate(atlas: Atlas) -> None:
    behind = []
    for rate in (15, 60):
        smoother = FaceSmoother(atlas, Smoothing())
        for k in range(rate):
            pose = pose_of(x=200 + 300 * k / rate)
            smooth = smoother.update(posed(atlas, atlas.canonical_map, pose), pose, 1 / rate)
        behind.append(
            posed(atlas, atlas.canonical_map, pose)[..., 0].mean() - smooth[..., 0].mean()
        )
    assert behind[0] == pytest.approx(behind[1], rel=0.3)


def test_expressions_are_quick_where_identity_settles(smoother: FaceSmoother, atlas: Atlas) -> None:
    """A lid that closes in two frames closes; the identity hardly notices."""
    pose, is_open = pose_of(), atlas.canonical_map
    for _ in range(60):
        smoother.update(posed(atlas, is_open, pose), pose, DT)
    settled = smoother.identity
    lid = (slice(80, 90), slice(70, 90), 1)
    for part in (0.5, 1.0):
        closed = is_open.copy()
        closed[lid] -= 0.4 * part
        smooth = smoother.update(posed(atlas, closed, pose), pose, DT)
    before, after = posed(atlas, is_open, pose), posed(atlas, closed, pose)
    assert (smooth - before)[lid].mean() > 0.8 * (after - before)[lid].mean()
    assert 0 < (settled - smoother.identity)[lid].mean() < 0.05 * 0.4


def test_a_still_filter_is_slow_and_a_quick_one_quick(atlas: Atlas) -> None:
    steps = {}
    for cutoff_hz in (0.1, 1000.0):
        still = OneEuro(cutoff_hz, 0.0, 1.0)
        smoother = FaceSmoother(atlas, Smoothing(still, still, still, still))
        for x in (200, 208):
            pose = pose_of(x=x)
            smooth = smoother.update(posed(atlas, atlas.canonical_map, pose), pose, DT)
        start = posed(atlas, atlas.canonical_map, pose_of(x=200))
        steps[cutoff_hz] = (smooth - start)[..., 0].mean() / 8
    assert steps[0.1] == pytest.approx(low_pass(0.1, DT), abs=1e-3)
    assert steps[1000.0] > 0.99
