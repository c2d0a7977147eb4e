from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prnet.data.facekit import Facekit
from prnet.errors import LabelError
from prnet.evaluate.ibug import ERRORS, evaluate_ibug, measure, summarise
from prnet.geometry.boxes import face_size
from prnet.landmarks import eye_opening
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import Atlas


def points() -> np.ndarray:
    """68 points whose box is 100 wide and 100 high."""
    rng = np.random.default_rng(0)
    some = rng.uniform(10, 90, (68, 2))
    some[0], some[16] = [0, 0], [100, 100]
    return some


def test_each_part_has_its_own_error_and_the_jaw_has_none() -> None:
    truth = points()
    predicted = np.column_stack([truth, np.full(68, 1e3)])  # depth doesn't count
    predicted[:17] += 50
    predicted[17:27, 0] += 1
    predicted[27:36, 1] -= 2
    predicted[36:48, 0] += 3
    predicted[48:, 1] += 4
    row = measure(predicted, truth)
    parts = [row[f"{part}_nme_2d"] for part in ("brows", "nose", "eyes", "mouth")]
    assert parts == pytest.approx([1, 2, 3, 4])
    assert row["nme51_2d"] == pytest.approx((10 * 1 + 9 * 2 + 12 * 3 + 20 * 4) / 51)
    assert row["nme41_2d"] == pytest.approx((9 * 2 + 12 * 3 + 20 * 4) / 41)


def test_openings_are_those_of_the_picture() -> None:
    """Depth between the lids, which a human can't have set, changes nothing."""
    truth = points()
    predicted = np.column_stack([truth, np.random.default_rng(1).normal(0, 50, 68)])
    row = measure(predicted, truth)
    assert row["eye_opening"] == pytest.approx(row["true_eye_opening"]) == eye_opening(truth)
    assert row["mouth_opening"] == pytest.approx(row["true_mouth_opening"])


def test_a_kits_photos_are_measured_against_their_human_points(
    fake: Any, atlas: Atlas, posed: Callable[..., np.ndarray], human_facekit: Callable[..., Path]
) -> None:
    """The label says where to look, the humans what is right."""
    kit = human_facekit("ibug", ["afw/1.jpg", "helen_train/2.jpg", "helen_train/3.jpg"], [3, -4])
    record = Facekit(kit, "val", ("ibug",)).records[0]
    done: list[tuple[int, int]] = []
    reconstructor = fake(atlas, lambda box: posed())
    report = evaluate_ibug(kit, reconstructor, progress=lambda *counts: done.append(counts))
    np.testing.assert_array_equal(reconstructor.asked, [record.box] * 3)
    (face,) = fake(atlas, lambda box: posed())(np.zeros((200, 200, 3), np.uint8), [record.box])
    human = record.landmarks68[:, :2] + np.array([3, -4], np.float32)
    expected = np.linalg.norm(face.landmarks68[17:, :2] - human[17:], axis=1).mean()
    metrics = report.metrics
    assert metrics["nme51_2d"] == pytest.approx(100 * expected / face_size(human), rel=1e-4)
    assert metrics["afw_nme51_2d"] == pytest.approx(metrics["helen_nme51_2d"])
    assert (metrics["count"], metrics["afw_count"], metrics["helen_count"]) == (3, 1, 2)
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert np.isnan(report.worst["worst"][0].truth[:17]).all()


def test_trends_follow_the_human_openings() -> None:
    rows = [
        dict.fromkeys(ERRORS, error)
        | {"yaw_deg": 0, "collection": "afw"}
        | {"eye_opening": 0.5 * true + 0.1, "true_eye_opening": true}
        | {"mouth_opening": 1 - true, "true_mouth_opening": true}
        for error, true in ((1.0, 0.1), (2.0, 0.2), (6.0, 0.4))
    ]
    report = summarise(rows)
    assert report.metrics["eye_opening_slope"] == pytest.approx(0.5)
    assert report.metrics["mouth_opening_slope"] == pytest.approx(-1)
    assert report.metrics["mouth_opening_correlation"] == pytest.approx(-1)
    assert report.metrics["nme51_2d"] == 3 and report.metrics["nme51_2d_median"] == 2
    for table in report.tables:
        assert {len(cells) for cells in table.rows} == {len(table.columns)}
    assert [list(cells) for cells in report.tables[1].rows] == [["AFW", "3", *(6 * ["3.00"])]]


def test_missing_human_points_are_named(
    fake: Any, atlas: Atlas, tiny_facekit: Path, human_facekit: Callable[..., Path]
) -> None:
    offsets = np.zeros((1, 68, 2))
    offsets[0, 40] = np.nan
    kit = human_facekit("ibug", ["afw/1.jpg"], offsets)
    with pytest.raises(LabelError, match=r"ibug\.npz: afw/1\.jpg has not all"):
        evaluate_ibug(kit, fake(atlas, lambda box: box))
    with pytest.raises(LabelError, match="no photo of ibug belongs to val"):
        evaluate_ibug(tiny_facekit, fake(atlas, lambda box: box))


@pytest.mark.weights
def test_the_built_in_network_on_real_photos(facekit: Path) -> None:
    """No more than that faces and human points lie together: the labels' boxes, all parts."""
    metrics = evaluate_ibug(facekit, Reconstructor(threads=1), limit=8).metrics
    assert metrics["count"] == 8
    assert all(metrics[name] < 8 for name in ERRORS)
    assert 0 < metrics["afw_count"] < 8
