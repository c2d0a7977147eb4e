from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.data.face_crops import FaceCrop, variants
from prnet.data.facekit import Facekit, FacekitRecord
from prnet.evaluate import facekit as protocol
from prnet.evaluate.facekit import DETECTED, PHOTO, ROTATED, SHAPE_NOTE, evaluate_facekit, summarise
from prnet.evaluate.shape import ShapeComparison
from prnet.geometry.boxes import face_size
from prnet.geometry.pose import angles_from_rotation
from prnet.morphable.linear import FaceModel
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import Atlas
from prnet.uv.chart import ChartSampler
from prnet.uv.position_map import encode

Array = NDArray[Any]
LIMIT = 4


@pytest.fixture(scope="module")
def records(facekit: Path) -> list[FacekitRecord]:
    """The photos that the limit takes."""
    every = Facekit(facekit, "val").records
    return [every[i] for i in np.linspace(0, len(every) - 1, LIMIT).astype(int)]


@pytest.fixture
def truth_at(
    records: list[FacekitRecord], face_model: FaceModel, face_sampler: ChartSampler
) -> Callable[[Array], Array]:
    """box → the label's own position map of the record whose box is nearest."""

    def find(box: Array) -> Array:
        record = min(records, key=lambda each: float(np.abs(each.box - box).sum()))
        shape = face_model.shape(record.identity, record.expression)
        return encode(face_sampler, shape, record.pose)

    return find


def test_the_labels_own_maps_have_almost_no_error(
    fake: Any, atlas: Atlas, facekit: Path, truth_at: Callable[[Array], Array]
) -> None:
    """Nothing but the rounding to the map's pixels; the shapes are met exactly."""
    done: list[tuple[int, int]] = []
    report = evaluate_facekit(
        facekit,
        fake(atlas, truth_at),
        limit=LIMIT,
        rotated=False,
        detector=False,
        progress=lambda *counts: done.append(counts),
    )
    metrics = report.metrics
    assert metrics["count"] == LIMIT == len(report.rows)
    assert metrics["nme68_2d"] < 0.35 and metrics["nme68_3d"] < 0.5
    assert metrics["shape_mm"] < 0.01
    assert metrics["mean_face_mm"] > 1
    assert metrics["shape_ratio"] < 0.01
    assert report.notes == []
    assert done == [(k, LIMIT) for k in range(1, LIMIT + 1)]
    assert not any(name.startswith(("rotated_", "detected")) for name in metrics)


def test_a_shift_has_its_error_and_is_no_shape_error(
    fake: Any,
    atlas: Atlas,
    facekit: Path,
    records: list[FacekitRecord],
    truth_at: Callable[[Array], Array],
) -> None:
    shift = np.array([30, -40, 500])
    report = evaluate_facekit(
        facekit,
        fake(atlas, lambda box: truth_at(box) + shift),
        limit=LIMIT,
        rotated=False,
        detector=False,
    )
    expected = [5000 / face_size(record.landmarks68) for record in records]
    assert report.metrics["nme68_2d"] == pytest.approx(np.mean(expected), abs=0.35)
    assert report.metrics["nme68_2d_median"] == pytest.approx(np.median(expected), abs=0.35)
    assert report.metrics["shape_mm"] < 0.02
    errors = [example.title.split()[-1] for example in report.worst["worst"]]
    assert errors == sorted(errors, key=lambda text: -float(text.strip("%")))


def test_only_an_overlapping_detection_counts(
    fake: Any,
    atlas: Atlas,
    facekit: Path,
    records: list[FacekitRecord],
    truth_at: Callable[[Array], Array],
) -> None:
    """The detector sees one face, where the first photo has it."""
    report = evaluate_facekit(
        facekit, fake(atlas, truth_at, records[0].box[None]), limit=LIMIT, rotated=False
    )
    found = [row for row in report.rows if row["kind"] == DETECTED]
    assert "nme68_2d" in found[0]
    share = 100 * np.mean(["nme68_2d" in row for row in found])
    assert report.metrics["detected_share"] == pytest.approx(share)
    assert 100 / LIMIT <= share <= 100


def test_rotated_copies_fall_into_their_bins(facekit: Path, model_folder: Path) -> None:
    """Two a photo; the same every time."""
    reconstructor = Reconstructor(model_folder, threads=1)
    first, second = (
        evaluate_facekit(facekit, reconstructor, limit=2, detector=False) for _ in range(2)
    )
    assert first.metrics == second.metrics
    assert first.metrics["rotated_count"] == 4
    rotated = [row for row in first.rows if row["kind"] == ROTATED]
    yaws = np.abs([row["yaw_deg"] for row in rotated])
    assert (yaws[::2] > 25).all() and (yaws[::2] < 65).all() and (yaws[1::2] > 55).all()
    # the mean face in the labels' own boxes: the mean face's shape, whatever the pose
    assert first.metrics["shape_ratio"] == pytest.approx(1, abs=1e-4)
    assert first.metrics["rotated_shape_ratio"] == pytest.approx(1, abs=1e-4)


def test_rotated_truth_follows_the_rotation(
    fake: Any,
    atlas: Atlas,
    facekit: Path,
    face_model: FaceModel,
    face_sampler: ChartSampler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The label's own map in the rotated pose has almost no error, and the pose's yaw."""
    copies: list[FaceCrop] = []

    def recorded(*arguments: Any) -> list[FaceCrop]:
        made = variants(*arguments)
        copies.extend(made[1:])
        return made

    def answer(box: Array) -> Array:
        if not copies:  # the original photo
            return atlas.canonical_map
        copy = copies[len(reconstructor.asked) - 2]
        shape = face_model.shape(copy.identity, copy.expression)
        return encode(face_sampler, shape, copy.pose)

    monkeypatch.setattr(protocol, "variants", recorded)
    reconstructor = fake(atlas, answer)
    report = evaluate_facekit(facekit, reconstructor, limit=1, detector=False)
    rotated = [row for row in report.rows if row["kind"] == ROTATED]
    assert len(rotated) == len(copies) == 2
    for line, copy in zip(rotated, copies, strict=True):
        assert line["nme68_2d"] < 0.4
        assert line["shape_mm"] < 0.01
        assert line["yaw_deg"] == angles_from_rotation(copy.pose.rotation).yaw


def test_another_uv_space_has_no_shape_error(face_model: FaceModel, atlas: Atlas) -> None:
    other = Atlas(
        atlas.region,
        atlas.vertex_index[::2],
        np.array([[0, 1, 2]], np.int32),
        atlas.landmarks68_uv,
        atlas.canonical_map[:, ::-1].copy(),
    )
    assert ShapeComparison(face_model, atlas).is_possible
    assert not ShapeComparison(face_model, other).is_possible
    report = summarise([row("photo", 0, 1)], {}, [SHAPE_NOTE])
    assert "shape_mm" not in report.metrics
    assert not any("Shape" in table.title for table in report.tables)


@pytest.mark.parametrize("limit", [0, -1])
def test_an_impossible_limit_is_refused(
    fake: Any, atlas: Atlas, tiny_facekit: Path, limit: int
) -> None:
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        evaluate_facekit(tiny_facekit, fake(atlas, lambda box: box), limit=limit)


# the tables


def row(kind: str, yaw: float, error: float | None, source: str = "lfw", **more: float) -> dict:
    numbers = {} if error is None else {"nme68_2d": error, "nme68_3d": 2 * error}
    return {"kind": kind, "source": source, "filename": "a", "yaw_deg": yaw} | numbers | more


def test_the_table_reads_by_source_yaw_and_turn() -> None:
    shape = {"shape_mm": 1.0, "mean_face_mm": 2.0}
    rows = [
        row(PHOTO, 0, 1.0, **shape),
        row(PHOTO, -40, 4.0, **shape),
        row(PHOTO, 10, 2.0, "web", shape_mm=3.0, mean_face_mm=2.0),
        row(ROTATED, 50, 6.0, **shape),
        row(ROTATED, -90, 8.0, **shape),
        row(DETECTED, 0, 1.5),
        row(DETECTED, -40, None),
        row(DETECTED, 10, 2.5, "web"),
    ]
    report = summarise(rows, {})
    accuracy, shapes, found, openings = report.tables
    assert [list(cells) for cells in accuracy.rows] == [
        ["all photos", "3", "2.33", "2.00", "1.50 (2)", "4.00 (1)", "–", "4.67"],
        ["lfw", "2", "2.50", "2.50", "1.00 (1)", "4.00 (1)", "–", "5.00"],
        ["web", "1", "2.00", "2.00", "2.00 (1)", "–", "–", "4.00"],
        ["rotated in depth", "2", "7.00", "7.00", "–", "6.00 (1)", "8.00 (1)", "14.00"],
    ]
    assert list(shapes.rows[0]) == ["all photos", "3", "1.67", "2.00", "0.83"]
    assert [list(cells) for cells in found.rows] == [
        ["all photos", "3", "66.7", "2.00", "2.33"],
        ["lfw", "2", "50.0", "1.50", "2.50"],
        ["web", "1", "100.0", "2.50", "2.00"],
    ]
    for table in report.tables:
        assert {len(cells) for cells in table.rows} == {len(table.columns)}
    assert report.metrics["rotated_nme68_2d_yaw_60_90"] == 8
    assert report.metrics["lfw_nme68_2d_yaw_30_60"] == 4
    assert report.metrics["web_shape_ratio"] == 1.5
    assert report.metrics["lfw_detected_share"] == 50
    assert report.metrics["detected_nme68_2d"] == 2
    assert {name: len(errors) for name, errors in report.curves.items()} == {
        "original photos": 3,
        "rotated to 30–60°": 1,
        "rotated to 60–90°": 1,
        "photos, detector's boxes": 3,
    }
    assert np.isnan(report.curves["photos, detector's boxes"]).sum() == 1


def test_tags_make_groups_of_utkfaces_photos_alone() -> None:
    """Bounds belong to the younger group; what isn't known, or is of another source, counts not."""
    shape = {"shape_mm": 1.0, "mean_face_mm": 2.0}
    rows = [
        row(PHOTO, 0, 1.0, "utk", age=12, gender=0, origin=4, **shape),
        row(PHOTO, 0, 2.0, "utk", age=13, gender=0, **shape),
        row(PHOTO, 0, 6.0, "utk", age=116, gender=1, origin=4, **shape),
        row(PHOTO, 0, 8.0, "lfw", age=12, gender=0, origin=0, **shape),
        row(ROTATED, 40, 9.0, "utk", age=12, gender=0, origin=0, **shape),
    ]
    report = summarise(rows, {})
    (table,) = (each for each in report.tables if "UTKFace" in each.title)
    assert [list(cells) for cells in table.rows] == [
        ["0 to 12 years", "1", "1.00", "1.00", "0.50"],
        ["13 to 25 years", "1", "2.00", "2.00", "0.50"],
        ["66 years and more", "1", "6.00", "6.00", "0.50"],
        ["male", "2", "1.50", "1.50", "0.50"],
        ["female", "1", "6.00", "6.00", "0.50"],
        ["other origin", "2", "3.50", "3.50", "0.50"],
    ]
    assert report.metrics["utk_age_0_12_nme68_2d"] == 1
    assert report.metrics["utk_gender_male_nme68_2d_median"] == 1.5
    assert report.metrics["utk_origin_other_count"] == 2
    assert "utk_origin_white_count" not in report.metrics


def test_openings_are_compared_where_they_were_measured() -> None:
    rows = [
        row(
            PHOTO,
            0,
            1.0,
            **{"eye_opening": 0.5 * true + 0.1, "true_eye_opening": true},
            **{"mouth_opening": 1 - true, "true_mouth_opening": true},
            **{"label_eye_opening": true, "label_mouth_opening": 2 * true},
        )
        for true in (0.1, 0.2, 0.4)
    ]
    metrics = summarise([*rows, row(PHOTO, 50, 1.0)], {}).metrics
    assert metrics["eye_opening_slope"] == pytest.approx(0.5)
    assert metrics["eye_opening_correlation"] == pytest.approx(1)
    assert metrics["mouth_opening_slope"] == pytest.approx(-1)
    assert metrics["mouth_opening_correlation"] == pytest.approx(-1)
    assert metrics["label_eye_opening_slope"] == pytest.approx(1)
    assert metrics["label_mouth_opening_slope"] == pytest.approx(2)
