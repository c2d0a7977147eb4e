"""Measures `prnet swap` on films: how still it is, and what it takes.

    python benchmarks/measure_swap.py > swap.json

Films with a known truth (see clips.py), 640×360, of one head: still and turning, with noise, and
still as a compressed film is. The sample photo's other self is drawn on it. `steps` are the mean
changes from frame to frame, in gray levels, of the pixels that were swapped, in the film and in
what was made of it; `soft_steps` are those with details of under 4 pixels blurred away, where
flicker shows. `change` is by how much the frames were changed in the mean, and times are CPU
milliseconds a frame of one thread. In `itself` the head gets its own face.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import time
from collections.abc import Callable, Sequence
from statistics import mean

import cv2
import numpy as np
from clips import JPEG_QUALITY, NOISE, Frame, Studio, film

from prnet.apps.swap_video import VideoSwap
from prnet.apps.video import Tracked
from prnet.face import Face
from prnet.reconstructor import Reconstructor
from prnet.video.tracker import Tracker

FRAMES, SETTLED = 45, 5  # of a film; after which it counts
BLUR_PX = 4
YAW_DEG, TURN_HZ = 30, 0.6
PLACE = (320.0, 190.0)


def steps(frames: Sequence[np.ndarray], where: np.ndarray, blur_px: float | None) -> float:
    """Mean change from frame to frame."""
    if blur_px is not None:
        frames = [cv2.GaussianBlur(frame, (0, 0), blur_px) for frame in frames]
    pairs = zip(frames, frames[1:], strict=False)
    return mean(float(np.abs(b - a)[where].mean()) for a, b in pairs)


def measure(
    reconstructor: Reconstructor,
    sources: Sequence[Face],
    draw: Callable[[float], Frame],
    noise: float = 3.0,
    quality: int | None = None,
) -> dict[str, float]:
    """Swap the face of a film."""
    tracker, swap = Tracker(reconstructor), VideoSwap(sources)
    before, after, track_ms, swap_ms = [], [], [], []
    for number, (time_s, frame) in enumerate(film(FRAMES, draw, noise, quality)):
        start = time.process_time()
        faces = tracker.update(frame.rgb, time_s)
        middle = time.process_time()
        swapped = swap.draw(Tracked(number, time_s, frame.rgb, faces))
        end = time.process_time()
        if number >= SETTLED:
            before.append(frame.rgb.astype(np.float32))
            after.append(swapped.astype(np.float32))
            track_ms.append(1000 * (middle - start))
            swap_ms.append(1000 * (end - middle))
    change = [np.abs(b - a) for a, b in zip(before, after, strict=True)]
    where = np.max([each.max(2) for each in change], 0) > 0
    return {
        "film_steps": steps(before, where, None),
        "swapped_steps": steps(after, where, None),
        "film_soft_steps": steps(before, where, BLUR_PX),
        "swapped_soft_steps": steps(after, where, BLUR_PX),
        "change": float(np.mean(change)),
        "track_ms": mean(track_ms),
        "swap_ms": mean(swap_ms),
    }


def main() -> None:
    """Measure and print JSON."""
    cv2.setNumThreads(1)
    reconstructor = Reconstructor(threads=1)
    studio = Studio(reconstructor)
    other, own = (reconstructor(each.rgb, max_faces=1) for each in (studio.other, studio.head))

    def still(time_s: float) -> Frame:
        return studio.frame([(studio.head, PLACE, 1.0, 0.0)])

    def turning(time_s: float) -> Frame:
        yaw_deg = round(YAW_DEG * np.sin(2 * np.pi * TURN_HZ * time_s))
        return studio.frame([(studio.turned(yaw_deg), PLACE, 1.0, 0.0)])

    figures = {
        "still": measure(reconstructor, other, still),
        "still, compressed": measure(reconstructor, other, still, NOISE, JPEG_QUALITY),
        "turning": measure(reconstructor, other, turning),
        "itself": measure(reconstructor, own, still),
    }
    rounded = {key: {k: round(v, 2) for k, v in each.items()} for key, each in figures.items()}
    print(json.dumps(rounded, indent=2))


if __name__ == "__main__":
    main()
