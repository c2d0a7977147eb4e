import sys
from pathlib import Path

import numpy as np
import pytest

import prnet
from prnet.video.tracker import Tracker

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from clips import Frame, film  # noqa: E402
from measure_tracking import CENTER, Bench, right_ids  # noqa: E402

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(prnet.Reconstructor(threads=1))


def test_a_still_face_does_not_jitter(bench: Bench) -> None:
    figures = bench.jitter(frames=36)
    assert figures["jitter_ratio"] <= 0.4
    assert figures["jitter_raw"] > 0.05  # of a noisy film there is something to take away


@pytest.mark.parametrize("motion", ["pan", "roll", "turn"])
def test_a_fast_face_is_not_left_behind(bench: Bench, motion: str) -> None:
    figures = bench.lag(frames=16, names=[motion])
    assert figures[f"lag_{motion}_frames"] <= 1
    assert abs(figures[f"lag_{motion}_frames_raw"]) < 0.5


def test_blinks_keep_their_depth(bench: Bench) -> None:
    assert bench.blink(blinks=1)["blink_depth_least"] >= 0.8


def test_with_what_comes_later_known_nothing_lags(bench: Bench) -> None:
    ahead = Bench(bench.reconstructor, looks_ahead=True)
    ahead.studio = bench.studio
    assert abs(ahead.lag(frames=16, names=["turn"])["lag_turn_frames"]) < 0.15


def test_two_who_cross_keep_their_identities(bench: Bench) -> None:
    found, truth = bench.track(24, lambda t: bench.studio.crossing(t / 0.8), noisy=True)
    assert all(len(faces) == 2 for faces in found)
    assert right_ids(found, truth) == 1


def test_one_who_walks_in_front_of_another_does_not_take_the_identity(bench: Bench) -> None:
    found, truth = bench.track(30, lambda t: bench.studio.crossing(t, apart_px=30))
    assert min(len(faces) for faces in found) == 1 and len(found[-1]) == 2
    assert right_ids(found, truth) == 1


def test_who_was_hidden_for_half_a_second_comes_back(bench: Bench) -> None:
    found, truth = bench.track(26, lambda t: bench.studio.occluded(0.1 < t < 0.6), noisy=True)
    counts = [len(faces) for faces in found]
    assert (counts[0], counts[10], counts[-1]) == (2, 1, 2)
    assert right_ids(found, truth) == 1


def test_a_cut_begins_anew(bench: Bench) -> None:
    found, _ = bench.track(12, lambda t: bench.studio.shot(int(t > 0.19)))
    assert [faces[0].id for faces in found] == [1] * 6 + [2] * 6
    assert found[5][0].age_s == pytest.approx(5 / 30) and found[6][0].age_s == 0


def test_a_face_that_enters_and_leaves(bench: Bench) -> None:
    found, truth = bench.track(36, lambda t: bench.studio.passing(t / 1.2))
    counts = [len(faces) for faces in found]
    assert counts[0] == counts[-1] == 0 and max(counts) == 1
    assert {face.id for faces in found for face in faces} == {1}
    for faces, (head,) in zip(found[12:24], truth[12:24], strict=True):
        assert np.linalg.norm(faces[0].face.landmarks68[:, :2] - head, axis=1).mean() < 4


def test_unsmoothed_is_what_the_reconstructor_gives(bench: Bench) -> None:
    frame = bench.studio.frame([(bench.studio.head, CENTER, 1.0, 0.0)])
    tracker = Tracker(bench.reconstructor, smoothing=None)
    (tracked,) = tracker.update(frame.rgb, 0.0)
    face = bench.reconstructor(frame.rgb)[0]
    assert tracked.face.image is frame.rgb
    np.testing.assert_allclose(tracked.face.position_map, face.position_map, atol=0.05)
    with pytest.raises(ValueError, match="smoothed"):
        tracker.identity(1)


def test_at_most_so_many_are_followed(bench: Bench) -> None:
    tracker = Tracker(bench.reconstructor, max_faces=1)
    for time_s, frame in film(5, lambda _: bench.studio.occluded(False)):
        assert [face.id for face in tracker.update(frame.rgb, time_s)] == [1]


def test_identity_and_reset(bench: Bench) -> None:
    tracker = Tracker(bench.reconstructor)
    frame = bench.studio.frame([(bench.studio.head, CENTER, 1.0, 0.0)])
    (first,) = tracker.update(frame.rgb, 0.0)
    seen = first.face.pose.remove(first.face.position_map)
    np.testing.assert_allclose(tracker.identity(first.id), seen, atol=2e-3)
    tracker.reset()
    with pytest.raises(ValueError, match="id"):
        tracker.identity(1)
    (again,) = tracker.update(frame.rgb, 0.0)  # an earlier time is all right then
    assert again.id == 1


def test_bad_input(bench: Bench) -> None:
    tracker = Tracker(bench.reconstructor)
    black = np.zeros((60, 80, 3), np.uint8)
    assert tracker.update(black, 1.0) == []
    for time_s in (1.0, 0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match="time_s"):
            tracker.update(black, time_s)
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        tracker.update(black[..., 0], 2.0)
    with pytest.raises(ValueError, match="detect_s"):
        Tracker(bench.reconstructor, detect_s=0)
    with pytest.raises(ValueError, match="max_faces"):
        Tracker(bench.reconstructor, max_faces=0)


def test_frames_may_come_at_any_pace(bench: Bench) -> None:
    """Of one motion, filmed at 30 frames a second with gaps, every face is found and near."""
    tracker = Tracker(bench.reconstructor)
    studio = bench.studio

    def draw(t: float) -> Frame:
        return studio.frame([(studio.head, (200 + 150 * t, 190.0), 1.0, 0.0)])

    for number, (time_s, frame) in enumerate(film(30, draw)):
        if number % 7 in (2, 3, 5):
            continue
        (tracked,) = tracker.update(frame.rgb, time_s)
        away = np.linalg.norm(tracked.face.landmarks68[:, :2] - frame.landmarks[0], axis=1)
        assert tracked.id == 1 and away.mean() < 5
