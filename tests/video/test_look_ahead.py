from collections.abc import Callable

import numpy as np
import pytest

from prnet.face import Face
from prnet.video.look_ahead import Moment, smooth_ahead
from prnet.video.smooth import Smoothing
from prnet.video.track import TrackedFace

RATE = 10


@pytest.fixture
def moments(make_face: Callable[..., Face]) -> Callable[..., list[Moment[int]]]:
    """`moments(xs)`: frames of a face at these x, None for none."""

    def make(xs: list[float | None]) -> list[Moment[int]]:
        made = []
        for number, x in enumerate(xs):
            faces = [] if x is None else [TrackedFace(3, make_face(centre=(x, 120)), 0.0)]
            made.append(Moment(number / RATE, faces, number))
        return made

    return make


def x_of(moment: Moment[int]) -> float:
    (tracked,) = moment.faces
    assert tracked.id == 3
    np.testing.assert_allclose(tracked.face.box[0], tracked.face.landmarks68[:, 0].min())
    return float(tracked.face.position_map[..., 0].mean())


def test_every_moment_comes_out_in_order(moments: Callable[..., list[Moment[int]]]) -> None:
    made = moments([128, 128, None, 128] + [None] * 8 + [128, 128])
    smooth = list(smooth_ahead(made, Smoothing()))
    assert [each.thing for each in smooth] == list(range(len(made)))
    assert [len(each.faces) for each in smooth] == [len(each.faces) for each in made]


def test_a_moment_waits_no_longer_than_it_must(
    moments: Callable[..., list[Moment[int]]],
) -> None:
    taken = []

    def take() -> object:
        for each in moments([128] * 20):
            taken.append(each)
            yield each

    smooth = smooth_ahead(take(), Smoothing(), ahead_s=0.3)  # type: ignore[arg-type]
    for number in range(5):
        assert next(smooth).thing == number
        assert len(taken) <= number + 1 + 2 * 3 + 1


def test_motion_does_not_lag_and_noise_goes(moments: Callable[..., list[Moment[int]]]) -> None:
    xs = 100 + 4.0 * np.arange(16)
    exact = [x_of(each) for each in moments(xs.tolist())]
    smooth = [x_of(each) for each in smooth_ahead(moments(xs.tolist()), Smoothing())]
    assert np.abs(np.subtract(smooth, exact))[4:-4].max() < 0.4  # a tenth of a frame
    noisy = moments((128 + np.random.default_rng(0).normal(0, 0.3, 16)).tolist())
    before = [x_of(each) for each in noisy]
    after = [x_of(each) for each in smooth_ahead(noisy, Smoothing())]
    assert np.std(after[2:-2]) < 0.5 * np.std(before[2:-2])


def test_after_a_long_absence_it_begins_anew(
    moments: Callable[..., list[Moment[int]]],
) -> None:
    made = moments([100.0] * 4 + [None] * 8 + [180.0] * 4)
    smooth = list(smooth_ahead(made, Smoothing()))
    for index in (3, 12):
        assert x_of(smooth[index]) == pytest.approx(x_of(made[index]), abs=0.01)
