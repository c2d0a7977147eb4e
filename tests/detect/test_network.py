"""The detector in threads and over many photos; forked processes are test_reconstructor.py's."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data

from prnet.detect.network import FaceDetector
from prnet.geometry.boxes import box_overlap


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def test_the_astronaut(detector: FaceDetector) -> None:
    found = detector.detect(skimage.data.astronaut())
    assert len(found) == 1
    assert box_overlap(found.boxes, np.array([182, 91, 271, 176]))[0] > 0.6
    assert found.angles_deg is not None and abs(found.angles_deg[0]) < 15


def test_threads_say_the_same(detector: FaceDetector) -> None:
    photo = skimage.data.astronaut()
    expected = detector.detect(photo).oriented()
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(detector.detect, [photo] * 24):
            np.testing.assert_array_equal(found.oriented(), expected)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_photos_seen() -> None:
    code = """
import os
import numpy as np
from prnet import FaceDetector

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

rng = np.random.default_rng(0)
noise = rng.integers(60, 200, (3000, 4000, 3), np.uint8)
detector, used = FaceDetector(), []
for number in range(60):
    height, width = rng.integers(100, 1500, 2)
    detector.detect(noise if number % 15 == 0 else noise[:height, :width])
    used.append(resident_mb())
# what the C library hasn't given back yet comes and goes; what is lost stays
grown = min(used[45:]) - min(used[15:30])
assert grown < 20, f"{grown:.0f} MB"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(("side", "score"), [(128, 0.25), (320, 0.42), (352, 0.25)])
def test_what_a_coarse_look_hints_at_must_score_more(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch, side: int, score: float
) -> None:
    asked = []

    def look(_: FaceDetector, picture: np.ndarray, min_score: float) -> tuple[None, None]:
        asked.append((picture.shape, min_score))
        return None, None

    monkeypatch.setattr(FaceDetector, "look", look)
    detector._find(np.zeros((30, side - 5, 3), np.uint8))
    assert asked == [((32, side, 3), score)]
