"""Measures the tracker on clips with a truth, made of the sample photo: see clips.py.

    python benchmarks/measure_tracking.py [--model FOLDER] > tracking.json

All clips are 640×360 with 30 frames a second; jitter and errors are in % of the face's size.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from clips import (
    HEIGHT,
    JPEG_QUALITY,
    NOISE,
    RATE,
    WIDTH,
    Array,
    Frame,
    Studio,
    film,
)

from prnet.geometry.boxes import face_size
from prnet.landmarks import eye_opening
from prnet.reconstructor import Reconstructor
from prnet.video.look_ahead import Moment, smooth_ahead
from prnet.video.smooth import Smoothing
from prnet.video.track import TrackedFace
from prnet.video.tracker import SMOOTH, Tracker

SETTLE = 15  # frames at a clip's begin that don't count
PAN_PX_S, ROLL_DEG_S, YAW_DEG_S, GROWTH_S = 360.0, 180.0, 90.0, 1.0  # fast, for a face of 90 px
MOTIONS = ("pan", "roll", "turn", "zoom")
BLINK_S = 0.1
CENTER = (WIDTH / 2, HEIGHT / 2 + 10)


class Bench:
    """Runs trackers over clips.

    Args:
        reconstructor: For the trackers, and for the truth of the still photo.
        smoothing: What is measured.
        looks_ahead: Whether faces are smoothed as `prnet video --look-ahead` does.
    """

    def __init__(
        self,
        reconstructor: Reconstructor,
        smoothing: Smoothing = SMOOTH,
        looks_ahead: bool = False,
    ) -> None:
        self.reconstructor, self.smoothing = reconstructor, smoothing
        self.looks_ahead = looks_ahead
        self.studio = Studio(reconstructor)

    def track(
        self,
        frames: int,
        draw: Callable[[float], Frame],
        is_smooth: bool = True,
        noisy: bool = False,
    ) -> tuple[list[list[TrackedFace]], list[list[Array]]]:
        """Per frame what a new tracker finds, and the truth."""
        own = self.smoothing if is_smooth and not self.looks_ahead else None
        tracker = Tracker(self.reconstructor, own)
        look = {"noise": NOISE, "quality": JPEG_QUALITY} if noisy else {}
        moments = [
            Moment(time_s, tracker.update(frame.rgb, time_s), frame.landmarks)
            for time_s, frame in film(frames, draw, **look)
        ]
        if is_smooth and self.looks_ahead:
            moments = list(smooth_ahead(moments, self.smoothing))
        return [each.faces for each in moments], [each.thing for each in moments]

    def jitter(self, frames: int = 75) -> dict[str, float]:
        """Of a still head in noisy, compressed frames: with and without smoothing."""
        still = self.studio.frame([(self.studio.head, CENTER, 1.0, 0.0)])
        figures = {}
        for name, is_smooth in (("raw", False), ("smooth", True)):
            found, truth = self.track(frames, lambda _: still, is_smooth, noisy=True)
            points = np.stack([faces[0].face.landmarks68[:, :2] for faces in found[SETTLE:]])
            spread = np.sqrt(points.var(0).sum(1).mean())
            figures[f"jitter_{name}"] = 100 * float(spread) / face_size(truth[0][0])
        return figures | {"jitter_ratio": figures["jitter_smooth"] / figures["jitter_raw"]}

    def lag(self, frames: int = 30, names: Sequence[str] = MOTIONS) -> dict[str, float]:
        """In frames, of fast motions."""
        studio = self.studio
        head = studio.head
        reach = PAN_PX_S * frames / RATE / 2
        motions: dict[str, Callable[[float], Frame]] = {
            "pan": lambda t: studio.frame(
                [(head, (CENTER[0] - reach + PAN_PX_S * t, CENTER[1]), 1.0, 0.0)]
            ),
            "roll": lambda t: studio.frame([(head, CENTER, 1.0, -90 + ROLL_DEG_S * t)]),
            "turn": lambda t: studio.frame(
                [(studio.turned(YAW_DEG_S * (t - frames / RATE / 2)), CENTER, 1.0, 0.0)]
            ),
            "zoom": lambda t: studio.frame([(head, CENTER, 0.6 * np.exp(GROWTH_S * t), 0.0)]),
        }
        figures = {}
        for name in names:
            draw, lags = motions[name], []
            for is_smooth in (False, True):
                found, truth = self.track(frames, draw, is_smooth)
                points = [faces[0].face.landmarks68[:, :2] if faces else None for faces in found]
                late = [
                    frame_lag(points[k], truth[k][0], truth[k - 1][0])
                    for k in range(5, frames)
                    if points[k] is not None
                ]
                lags.append(float(np.mean(late)))
            figures[f"lag_{name}_frames"] = lags[1] - lags[0]
            figures[f"lag_{name}_frames_raw"] = lags[0]
        return figures

    def blink(self, blinks: int = 6, noisy: bool = True) -> dict[str, float]:
        """How deep blinks of BLINK_S are after smoothing, as a part of what they were before."""
        studio = self.studio
        every = 0.5 + 1 / RATE / blinks  # so that frames catch each at another moment

        def draw(t: float) -> Frame:
            away = abs((t - 0.5) % every - every / 2)
            closed = max(1 - away / (BLINK_S / 2), 0.0)
            return studio.frame([(studio.blinking(closed), CENTER, 1.0, 0.0)])

        openings = {}
        frames = round((0.5 + blinks * every) * RATE)
        for is_smooth in (False, True):
            found, _ = self.track(frames, draw, is_smooth, noisy)
            openings[is_smooth] = np.array(
                [float(eye_opening(faces[0].face.landmarks68)) for faces in found]
            )
        parts = []
        for number in range(blinks):
            first = round((0.5 + number * every) * RATE)
            window = slice(first, first + round(every * RATE))
            rest = [np.median(openings[each][window]) for each in (False, True)]
            depth = [rest[each] - openings[each][window].min() for each in (False, True)]
            parts.append(depth[1] / depth[0])
        return {"blink_depth": float(np.mean(parts)), "blink_depth_least": float(min(parts))}

    def identities(self) -> dict[str, float]:
        """Crossings, an occlusion, a cut, entering and leaving: how often ids are right, of 1."""
        studio, figures = self.studio, {}
        for name, apart_px in (("crossing_right", 175.0), ("crossing_in_front_right", 30.0)):
            found, truth = self.track(60, lambda t: studio.crossing(t / 2, apart_px), noisy=True)  # noqa: B023
            figures[name] = right_ids(found, truth)
        found, truth = self.track(60, lambda t: studio.occluded(0.5 < t < 1.0), noisy=True)
        figures["occlusion_right"] = right_ids(found, truth)
        found, _ = self.track(40, lambda t: studio.shot(int(t > 0.6)), noisy=True)
        ids = [{each.id for each in faces} for faces in found]
        figures["cut_right"] = float(ids[0] == {1} and ids[-1] == {2} and not ids[18] & ids[19])
        found, truth = self.track(90, lambda t: studio.passing(t / 3.0), noisy=True)
        figures["passing_right"] = float({e.id for faces in found for e in faces} == {1})
        return figures


def frame_lag(point: Array, now: Array, before: Array) -> float:
    """By how many frames points (68, 2) are behind the truth, which moved from before to now."""
    step = now - before
    return float(((now - point) * step).sum() / (step * step).sum())


def right_ids(found: list[list[TrackedFace]], truth: list[list[Array]]) -> float:
    """Part of the faces found that have the id which the head at their place had first."""
    owner: dict[int, int] = {}
    marks = []
    for faces, heads in zip(found, truth, strict=True):
        for each in faces:
            points = each.face.landmarks68[:, :2]
            nearest = int(np.argmin([np.linalg.norm(points - head) for head in heads]))
            marks.append(owner.setdefault(nearest, each.id) == each.id)
    return float(np.mean(marks)) if len(set(owner.values())) == len(owner) else 0.0


def main() -> None:
    """Measure all and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder; without it, the built-in one")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    reconstructor = Reconstructor(arguments.model, threads=1)
    bench, ahead = Bench(reconstructor), Bench(reconstructor, looks_ahead=True)
    figures = {**bench.jitter(), **bench.lag(), **bench.blink(), **bench.identities()}
    later = {**ahead.jitter(), **ahead.lag(), **ahead.blink()}
    figures |= {f"ahead_{name}": each for name, each in later.items() if "raw" not in name}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
