"""How many small faces are found in large photos: python benchmarks/small_faces.py FACEKIT.

Validation photos lie upright in photos of 4000 × 3000, enlarged from the facekit's held-out
backgrounds: one with a small face beside one with a face of 500 pixels, or twelve of about a size.
Prints a row each: faces found, other detections (people in the backgrounds among them), and the
median time. Sizes are √(w·h) of the labels' boxes.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when the libraries are imported

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import Facekit, FacekitRecord
from prnet.data.scene_choice import HELD_OUT_BACKGROUNDS, read_backgrounds
from prnet.detect.network import FaceDetector
from prnet.geometry.boxes import box_overlap

SOURCES = "lfw", "utk", "cfp"
WIDTH, HEIGHT = 4000, 3000
LARGE_PX, LARGE_CORNER = 500, (200, 200)
SMALL_CORNER = (2400, 100), (3700, 2700)  # first and last places for the photo beside it
BESIDE_PX, CROWD_PX = (40, 60, 80), (50, 70, 100, 150)
COLUMNS, ROWS = 4, 3  # of a crowd
SAME = 0.4  # overlap of two boxes, a part of their union, from which on it is found
# a photo, (H, W, 3) uint8 RGB; the boxes of the faces to be found, and of the others, (N, 4) each
Scene = tuple[NDArray[np.uint8], NDArray[np.floating], NDArray[np.floating]]


class Scenes:
    """Photos of validation faces, the same every time."""

    def __init__(self, folder: Path) -> None:
        """Read the facekit's labels and backgrounds."""
        self._facekit = Facekit(folder, "val", SOURCES)
        records = self._facekit.records
        order = np.random.default_rng(0).permutation(len(records))
        self._records = [records[number] for number in order]
        self._backgrounds = list(read_backgrounds(folder))[::HELD_OUT_BACKGROUNDS]

    def beside(self, number: int, size: float) -> Scene:
        """A small face beside a large one, which needn't be found."""
        photo = self._background(number)
        large, small = (self._record(2 * number + k) for k in (0, 1))
        large_box = self._paste(photo, large, LARGE_PX, *LARGE_CORNER)
        corner = np.random.default_rng(number).integers(*SMALL_CORNER).tolist()
        small_box = self._paste(photo, small, size, *corner)
        return photo, small_box[None], large_box[None]

    def crowd(self, number: int, size: float) -> Scene:
        """Twelve faces of about a size."""
        photo, rng, boxes = self._background(number), np.random.default_rng(number), []
        for place in range(COLUMNS * ROWS):
            row, column = divmod(place, COLUMNS)
            x = int((column + 0.5) * WIDTH / COLUMNS - size * rng.uniform(0.8, 1.2))
            y = int((row + 0.5) * HEIGHT / ROWS - size)
            record = self._record(COLUMNS * ROWS * number + place)
            boxes.append(self._paste(photo, record, size * rng.uniform(0.8, 1.25), x, y))
        return photo, np.stack(boxes), np.empty((0, 4))

    def _record(self, number: int) -> FacekitRecord:
        return self._records[number % len(self._records)]

    def _background(self, number: int) -> NDArray[np.uint8]:
        background = self._backgrounds[number % len(self._backgrounds)]
        large = cv2.resize(background, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        return np.asarray(large, np.uint8)

    def _paste(
        self, photo: NDArray[np.uint8], record: FacekitRecord, size: float, x: int, y: int
    ) -> NDArray[np.floating]:
        """Lay a record's photo on another, its face so large; gives the face's box there."""
        own = self._facekit.photo(record)
        scale = size / float(np.sqrt(np.prod(record.box[2:] - record.box[:2])))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(own, None, fx=scale, fy=scale, interpolation=method)
        place = photo[y : y + len(resized), x : x + resized.shape[1]]
        place[:] = resized[: len(place), : place.shape[1]]
        return record.box * scale + [x, y, x, y]


def measure(
    detector: FaceDetector,
    compose: Callable[[int, float], Scene],
    size: float,
    scenes: int,
) -> tuple[float, int, float]:
    """Look at so many scenes: the share of faces found, other detections, median milliseconds."""
    faces = found = others = 0
    taken = []
    for number in range(scenes):
        photo, boxes, known = compose(number, size)
        start = time.perf_counter()
        seen = detector.detect(photo).boxes
        taken.append(1000 * (time.perf_counter() - start))
        is_same = np.stack([box_overlap(seen, box) > SAME for box in (*boxes, *known)])
        faces, found = faces + len(boxes), found + int(is_same[: len(boxes)].any(1).sum())
        others += int((~is_same.any(0)).sum())
    return found / faces, others, float(np.median(taken))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("facekit", type=Path)
    parser.add_argument("--scenes", type=int, default=150, help="a row; crowds a fifth")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    scenes, detector = Scenes(arguments.facekit), FaceDetector()
    print("| faces | found, % | other detections a photo | ms |\n| --- | --- | --- | --- |")
    rows = [
        *(("one of {} px beside one of 500", scenes.beside, px, 1) for px in BESIDE_PX),
        *(("twelve of about {} px", scenes.crowd, px, 5) for px in CROWD_PX),
    ]
    for title, compose, size, part in rows:
        count = max(arguments.scenes // part, 1)
        share, others, ms = measure(detector, compose, size, count)
        print(f"| {title.format(size)} | {100 * share:.0f} | {others / count:.2f} | {ms:.0f} |")


if __name__ == "__main__":
    main()
