from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prnet.data.aflw_lfpa import LFPA34, LFPARecord
from prnet.evaluate.aflw_lfpa import evaluate_aflw_lfpa, map_points
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import decode_landmarks68


def test_points_are_means_of_ibug_points() -> None:
    landmarks = np.stack([np.arange(68), np.zeros(68)], 1)
    points = map_points(landmarks, ((3,), (10, 20), (36, 37, 41)), 3)
    np.testing.assert_array_equal(points[:, 0], [3, 15, 38])
    with pytest.raises(ValueError, match="mapping must have 3 points or more, got 2"):
        map_points(landmarks, ((3,), (4,)), 3)


@pytest.fixture
def record(atlas: Atlas, posed: Callable[..., np.ndarray], tmp_path: Path) -> LFPARecord:
    """A face whose right half isn't visible; its box measures 80 × 125."""
    photo = tmp_path / "a.jpg"
    cv2.imwrite(str(photo), np.zeros((200, 200, 3), np.uint8))
    points = map_points(decode_landmarks68(posed(30), atlas)[:, :2], LFPA34, 34).astype(float)
    points[points[:, 0] > np.median(points[:, 0])] = np.nan
    return LFPARecord(photo, points, np.array([60, 40, 140, 165], np.float32))


@pytest.mark.parametrize(("shift", "error"), [((0, 0, 0), 0.0), ((3, 4, 50), 5.0)])
def test_visible_points_are_scored_by_the_box(
    fake: Any, atlas: Atlas, posed: Any, record: LFPARecord, shift: tuple, error: float
) -> None:
    """Off by 5 px on a face of size √(80 · 125) = 100 px."""
    reconstructor = fake(atlas, lambda box: posed(30) + np.array(shift))
    report = evaluate_aflw_lfpa([record, record], reconstructor)
    assert report.metrics["count"] == 2
    assert report.metrics["nme_visible_2d"] == pytest.approx(error, abs=1e-4)
    np.testing.assert_array_equal(reconstructor.asked[0], record.box)
    assert report.rows[0]["visible"] == np.isfinite(record.points[:, 0]).sum() < 34


def test_a_hidden_point_cannot_hurt(
    fake: Any, atlas: Atlas, posed: Any, record: LFPARecord
) -> None:
    hidden = np.isnan(record.points[:, 0])
    moved = posed(30)
    columns = atlas.landmarks68_uv[[i for k in np.flatnonzero(hidden) for i in LFPA34[k]], 0]
    # the hidden points are the face's left half, the right half of the map
    assert columns.mean() > 0.5
    moved[:, 200:] += 50
    report = evaluate_aflw_lfpa([record], fake(atlas, lambda box: moved))
    assert report.metrics["nme_visible_2d"] == pytest.approx(0, abs=1e-4)


def test_the_detector_may_miss(fake: Any, atlas: Atlas, posed: Any, record: LFPARecord) -> None:
    report = evaluate_aflw_lfpa([record], fake(atlas, lambda box: posed(30)), detector=True)
    assert report.metrics == {"count": 1, "found_share": 0}
