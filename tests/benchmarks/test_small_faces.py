import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from small_faces import HEIGHT, WIDTH, Scenes, measure

from prnet.detect.network import FaceDetector
from prnet.geometry.boxes import box_overlap

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def scenes(facekit: Path) -> Scenes:
    return Scenes(facekit)


def test_boxes_are_where_the_faces_are(scenes: Scenes) -> None:
    photo, boxes, known = scenes.beside(0, 300)
    assert photo.shape == (HEIGHT, WIDTH, 3)
    found = FaceDetector().detect(photo).boxes
    assert all(box_overlap(found, box).max() > 0.6 for box in (*boxes, *known))
    sizes = [float(np.sqrt(np.prod(box[2:] - box[:2]))) for box in (*boxes, *known)]
    np.testing.assert_allclose(sizes, [300, 500], rtol=0.01)


def test_a_crowd_is_counted(scenes: Scenes) -> None:
    share, others, taken = measure(FaceDetector(), scenes.crowd, 250, 1)
    assert share > 0.8 and others < 3 and taken > 0
    assert measure(FaceDetector(min_score=1.0), scenes.crowd, 250, 1)[:2] == (0, 0)
