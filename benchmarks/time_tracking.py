"""Times the tracker and `prnet video` stage by stage, on one thread, and watches the memory.

    python benchmarks/time_tracking.py > tracking_time.json

Clips of 640×360 with one face and with three. The stages are timed one after the other, as if there
were a single core, in CPU time of the process, which other programs disturb little; `whole_fps` is
the sum of decoding, tracking, drawing and encoding. `detect` happens once a second.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from clips import HEIGHT, RATE, Frame, Studio, film

from prnet.apps.bench import Stopwatch
from prnet.apps.video import Overlay, Tracked
from prnet.reconstructor import Reconstructor
from prnet.video.frames import Shown, VideoReader, VideoWriter
from prnet.video.track import TrackedFace, View
from prnet.video.tracker import Tracker

FRAMES, LONG_FRAMES = 90, 900
PLACES = {1: (320,), 3: (110, 320, 530)}  # x of the heads
SWAY_PX = 20
WARM, LATE_S = 2, 10  # passes over a clip of which the first doesn't count; see `memory_mb`


class TimedTracker(Tracker):
    """A tracker whose steps are timed."""

    timed: Stopwatch

    def _detect(self, photo: np.ndarray) -> np.ndarray:
        with self.timed("detect"):
            return super()._detect(photo)

    def _look(self, photo: np.ndarray, boxes: Sequence[np.ndarray]) -> list[View]:
        with self.timed("look"):
            return super()._look(photo, boxes)

    def _face(self, *arguments: object) -> object:  # type: ignore[override]
        with self.timed("smooth a face"):
            return super()._face(*arguments)  # type: ignore[arg-type]


def draw_heads(studio: Studio, count: int) -> "list[Frame]":
    """A second of so many heads that sway."""

    def draw(t: float) -> Frame:
        sway = SWAY_PX * np.sin(2 * np.pi * t)
        heads = [
            (studio.other if k % 2 else studio.head, (x + sway, HEIGHT / 2 + 10), 0.9, 0.0)
            for k, x in enumerate(PLACES[count])
        ]
        return studio.frame(heads)

    return [frame for _, frame in film(RATE, draw, noise=3)]


def write_clip(path: Path, frames: "list[Frame]", count: int) -> None:
    """A clip that shows the second again and again."""
    with VideoWriter(path, Fraction(RATE), Fraction(1, RATE), threads=1) as writer:
        for number in range(count):
            writer.write(Shown(frames[number % len(frames)].rgb, number / RATE))


def time_stages(reconstructor: Reconstructor, clip: Path, out: Path) -> dict[str, float]:
    """Median milliseconds of each stage, and the frame rates that they make."""
    overlay, stages = Overlay(["landmarks"]), {}
    for _ in range(WARM):
        timed = Stopwatch(time.process_time)
        tracker = TimedTracker(reconstructor)
        tracker.timed = timed
        with (
            VideoReader(clip, threads=1) as reader,
            VideoWriter(out, reader.rate, reader.time_base, threads=1) as writer,
        ):
            items = reader.read()
            for number in range(FRAMES):
                with timed("decode"):
                    item = next(items)
                assert isinstance(item, Shown)
                with timed("track"):
                    faces: list[TrackedFace] = tracker.update(item.rgb, item.time_s)
                frame = Tracked(number, item.time_s, item.rgb, faces)
                with timed("draw"):
                    picture = overlay.draw(frame)
                with timed("encode"):
                    writer.write(Shown(picture, item.time_s))
        stages = timed.medians_ms()
    whole = sum(stages[name] for name in ("decode", "track", "draw", "encode"))
    return {**stages, "tracking_fps": 1000 / stages["track"], "whole_fps": 1000 / whole}


def memory_mb(reconstructor: Reconstructor, clip: Path) -> dict[str, float]:
    """Resident memory of this process at second 10 of a clip, and at its end."""

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    tracker, seen = Tracker(reconstructor), []
    with VideoReader(clip, threads=1) as reader:
        for item in reader.read():
            if isinstance(item, Shown):
                tracker.update(item.rgb, item.time_s)
                seen.append(resident())
    late = seen[LATE_S * RATE :]
    return {"memory_second_10_mb": median(late[:RATE]), "memory_end_mb": median(late[-RATE:])}


def main() -> None:
    """Time both clips and print JSON."""
    cv2.setNumThreads(1)
    reconstructor = Reconstructor(threads=1)
    studio = Studio(reconstructor)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="prnet-") as folder:
        clip, out = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        for count in PLACES:
            frames = draw_heads(studio, count)
            write_clip(clip, frames, FRAMES)
            figures[f"faces_{count}"] = time_stages(reconstructor, clip, out)
        write_clip(clip, frames[:RATE], LONG_FRAMES)
        figures["memory"] = memory_mb(reconstructor, clip)
    rounded = {key: {k: round(v, 1) for k, v in each.items()} for key, each in figures.items()}
    print(json.dumps(rounded, indent=2))


if __name__ == "__main__":
    main()
