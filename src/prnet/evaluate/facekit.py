"""The facekit's photos and labels → how well a model reconstructs them, by source, yaw and turn."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prnet.data.face_crops import variants
from prnet.data.facekit import FACE_MODEL_FILE, OPENINGS_YAW_DEG, SOURCES, Facekit, FacekitRecord
from prnet.evaluate.boxes import find_box
from prnet.evaluate.metrics import mean_by_yaw, point_errors, trend
from prnet.evaluate.report import (
    Example,
    Report,
    Row,
    Table,
    Worst,
    column,
    known,
    number,
    where,
    yaw_cells,
)
from prnet.evaluate.shape import ShapeComparison
from prnet.face import Face
from prnet.geometry.boxes import tight_box
from prnet.geometry.pose import Pose
from prnet.geometry.sampling import spread_evenly
from prnet.landmarks import eye_opening, mouth_opening
from prnet.morphable.linear import load_ict_face_model
from prnet.reconstructor import Reconstructor

ROTATED_YAW_DEG = ((30.0, 60.0), (60.0, 90.0))  # each photo is rotated once into each
SEED = 2  # of the rotations
PHOTO, ROTATED, DETECTED = "photo", "rotated", "detected"  # what was measured, in the rows
ACCURACY_TITLE = "In the boxes of the labels: 68-point NME in % of face size, by |yaw| (photos)"
ACCURACY_COLUMNS = "", "photos", "mean", "median", "0–30°", "30–60°", "60–90°", "in 3D"
SHAPE_TITLE = "Shape: mean distance from the label's after alignment, mm"
SHAPE_COLUMNS = "", "photos", "predicted", "mean face", "ratio"
TAGGED_SOURCE = "utk"
TAGGED_GROUPS = {  # title, tag, lowest and highest value
    "age_0_12": ("0 to 12 years", "age", 0, 12),
    "age_13_25": ("13 to 25 years", "age", 13, 25),
    "age_26_45": ("26 to 45 years", "age", 26, 45),
    "age_46_65": ("46 to 65 years", "age", 46, 65),
    "age_66_plus": ("66 years and more", "age", 66, np.inf),
    "gender_male": ("male", "gender", 0, 0),
    "gender_female": ("female", "gender", 1, 1),
    "origin_white": ("White", "origin", 0, 0),
    "origin_black": ("Black", "origin", 1, 1),
    "origin_asian": ("Asian", "origin", 2, 2),
    "origin_indian": ("Indian", "origin", 3, 3),
    "origin_other": ("other origin", "origin", 4, 4),
}
TAGGED_METRICS = "count", "nme68_2d", "nme68_2d_median", "shape_ratio"
TAGGED_TITLE = "By UTKFace's tags: 68-point NME in % of face size, shape against the mean face"
TAGGED_COLUMNS = "", "photos", "mean", "median", "shape ratio"
FOUND_TITLE = "In the detector's boxes: faces found in %, 68-point NME of those in %"
FOUND_COLUMNS = "", "photos", "found", "mean", "in labels' boxes"
OPENINGS_TITLE = "Openings against MediaPipe's reference landmarks', yaw under 25°"
OPENINGS_COLUMNS = "", "photos", "correlation", "slope", "labels' correlation", "labels' slope"
SHAPE_NOTE = (
    "no shape error: the model's UV space is not made of the labels' face model, so its vertices "
    "have no known counterparts"
)


def evaluate_facekit(
    folder: str | os.PathLike[str],
    reconstructor: Reconstructor,
    *,
    split: Literal["train", "val"] = "val",
    limit: int | None = None,
    rotated: bool = True,
    detector: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct a split's photos and rotated copies in the labels' boxes, and what is detected.

    Args:
        folder: The facekit.
        reconstructor: The model to measure.
        split: `val` or `train`.
        limit: Only so many photos, spread evenly over the split; None for all.
        rotated: Also turn each photo in depth, once to a |yaw| of 30–60° and once to 60–90°.
        detector: Also with the boxes of the reconstructor's detector.
        progress: Called with photos done and photos in all.

    Returns:
        Report.

    Raises:
        LabelError: The facekit is incomplete.
        ValueError: limit isn't positive.
    """
    kit = Facekit(folder, split)
    chosen = spread_evenly(len(kit.records), limit)
    model = load_ict_face_model(kit.folder / FACE_MODEL_FILE)
    shapes = ShapeComparison(model, reconstructor.model.atlas)
    rows: list[Row] = []
    worst = {PHOTO: Worst(), ROTATED: Worst()}

    def reconstruct(kind: str, record: FacekitRecord, photo: NDArray[np.uint8], pose: Pose) -> None:
        """Measure a photo in its label's box."""
        truth = pose_landmarks(record, pose)
        (face,) = reconstructor(photo, boxes=[tight_box(truth)])
        row = begin_row(kind, record, pose) | point_errors(face.landmarks68, truth)
        row |= shapes.measure(face)
        if kind == PHOTO and abs(row["yaw_deg"]) < OPENINGS_YAW_DEG:
            row |= _openings(face, record)
        rows.append(row)
        title = (
            f"{record.source}/{record.filename}  yaw {row['yaw_deg']:.0f}°  {row['nme68_2d']:.1f}%"
        )
        worst[kind].add(row["nme68_2d"], Example(title, photo, face.landmarks68, truth))

    def detect(record: FacekitRecord, photo: NDArray[np.uint8]) -> None:
        """Measure a photo in the box that the detector finds for the labelled face."""
        row = begin_row(DETECTED, record, record.pose)
        for face in reconstructor(photo, find_box(reconstructor.detector, photo, record.box)):
            row |= point_errors(face.landmarks68, record.landmarks68)
        rows.append(row)

    for done, index in enumerate(chosen, 1):
        record = kit.records[index]
        photo = kit.photo(record)
        shapes.aim_at(record)
        reconstruct(PHOTO, record, photo, record.pose)
        if rotated:
            for copy in variants(kit, model, index, SEED, ROTATED_YAW_DEG)[1:]:
                reconstruct(ROTATED, record, copy.pixels, copy.pose)
        if detector:
            detect(record, photo)
        progress(done, len(chosen))
    examples = {"worst": worst[PHOTO].examples(), "worst_rotated": worst[ROTATED].examples()}
    return summarise(rows, examples, [] if shapes.is_possible else [SHAPE_NOTE])


def pose_landmarks(record: FacekitRecord, pose: Pose) -> NDArray[np.float32]:
    """The label's 68 points in another pose: (68, 3) float32, photo frame."""
    return np.asarray(pose.apply(record.pose.remove(record.landmarks68)), np.float32)


def begin_row(kind: str, record: FacekitRecord, pose: Pose) -> Row:
    """What identifies a measurement, with the tags that are known; yaw with 300W-LP's sign."""
    row: Row = {"kind": kind, "source": record.source, "filename": record.filename}
    row["yaw_deg"] = pose.yaw
    tags = {"age": record.age, "gender": record.gender, "origin": record.origin}
    return row | {name: tag for name, tag in tags.items() if tag >= 0}


def _openings(face: Face, record: FacekitRecord) -> Row:
    """Openings predicted, of MediaPipe's reference landmarks, and of the label's own landmarks."""
    return {
        "eye_opening": float(eye_opening(face.landmarks68)),
        "mouth_opening": float(mouth_opening(face.landmarks68)),
        "true_eye_opening": record.eye_opening,
        "true_mouth_opening": record.mouth_opening,
        "label_eye_opening": float(eye_opening(record.landmarks68)),
        "label_mouth_opening": float(mouth_opening(record.landmarks68)),
    }


def summarise(
    rows: Sequence[Row], worst: Mapping[str, Sequence[Example]], notes: Sequence[str] = ()
) -> Report:
    """Average the rows of `evaluate_facekit` and set them in tables.

    The metrics are `count`, `nme68_2d`, `nme68_2d_median`, `nme68_2d_yaw_0_30` (`_30_60`,
    `_60_90`), `nme68_3d`, `shape_mm`, `mean_face_mm`, `shape_ratio` of the original photos; the
    same beginning with `lfw_`, … for one source, and with `rotated_` for the rotated copies. With
    the detector's boxes `detected_share` and `detected_nme68_2d`, also by source. Of UTKFace's
    photos `utk_age_0_12_nme68_2d` and so on: TAGGED_METRICS of TAGGED_GROUPS. Of the openings
    `eye_opening_correlation` and `_slope`, `mouth_opening_…`, and `label_…` for the labels' own.
    """
    photos, rotated, detected = (where(rows, "kind", kind) for kind in (PHOTO, ROTATED, DETECTED))
    groups = {"": ("all photos", photos)}
    groups |= {f"{name}_": (name, where(photos, "source", name)) for name in SOURCES}
    groups["rotated_"] = "rotated in depth", rotated
    metrics: dict[str, float] = {}
    accuracy, shape = [], []
    for prefix, (title, group) in groups.items():
        if group:
            numbers = _accuracy(group)
            metrics |= {prefix + name: value for name, value in numbers.items()}
            accuracy.append([title, *_accuracy_cells(numbers, group)])
            cells = [number(numbers[name]) for name in ("shape_mm", "mean_face_mm", "shape_ratio")]
            shape.append([title, str(len(group)), *cells])
    tables = [Table(ACCURACY_TITLE, ACCURACY_COLUMNS, accuracy)]
    if "shape_mm" in known(metrics):
        tables.append(Table(SHAPE_TITLE, SHAPE_COLUMNS, shape))
    by_tag, tagged = _by_tag(where(photos, "source", TAGGED_SOURCE))
    metrics |= by_tag
    if tagged:
        tables.append(Table(TAGGED_TITLE, TAGGED_COLUMNS, tagged))
    if detected:
        found = []
        for prefix, (title, group) in groups.items():
            names = {row["source"] for row in group}
            those = [row for row in detected if row["source"] in names]
            if those and prefix != "rotated_":
                share, error = _found(those)
                metrics |= {f"{prefix}detected_share": share, f"{prefix}detected_nme68_2d": error}
                label_error = metrics[f"{prefix}nme68_2d"]
                cells = [number(share, 1), number(error), number(label_error)]
                found.append([title, str(len(those)), *cells])
        tables.append(Table(FOUND_TITLE, FOUND_COLUMNS, found))
    openings = []
    for part in ("eye_opening", "mouth_opening"):
        true = column(photos, f"true_{part}")
        measured = ~np.isnan(true)
        cells = [part.replace("_", " "), str(measured.sum())]
        for name in (part, f"label_{part}"):
            line = trend(column(photos, name)[measured], true[measured])
            metrics |= {f"{name}_correlation": line.correlation, f"{name}_slope": line.slope}
            cells += [number(line.correlation), number(line.slope)]
        openings.append(cells)
    tables.append(Table(OPENINGS_TITLE, OPENINGS_COLUMNS, openings))
    curves = {
        name: column(group, "nme68_2d")
        for name, group in (
            ("original photos", photos),
            ("rotated to 30–60°", _between(rotated, 30, 60)),
            ("rotated to 60–90°", _between(rotated, 60, np.inf)),
            ("photos, detector's boxes", detected),
        )
        if group
    }
    return Report(known(metrics), tables, rows, curves, worst, notes)


def _accuracy(rows: Sequence[Row]) -> dict[str, float]:
    """Metrics of a group of rows without their prefix."""
    errors, shape, mean_face = (column(rows, n) for n in ("nme68_2d", "shape_mm", "mean_face_mm"))
    by_yaw = mean_by_yaw(errors, column(rows, "yaw_deg"))
    return {
        "count": len(rows),
        "nme68_2d": by_yaw.mean,
        "nme68_2d_median": float(np.median(errors)),
        **{f"nme68_2d_yaw_{name}": value for name, value in by_yaw.bins.items()},
        "nme68_3d": float(column(rows, "nme68_3d").mean()),
        "shape_mm": float(shape.mean()),
        "mean_face_mm": float(mean_face.mean()),
        "shape_ratio": float(shape.mean() / mean_face.mean()),
    }


def _accuracy_cells(numbers: Mapping[str, float], rows: Sequence[Row]) -> list[str]:
    """A row of the first table."""
    bins = yaw_cells(mean_by_yaw(column(rows, "nme68_2d"), column(rows, "yaw_deg")))
    mean, median, in_3d = (
        number(numbers[name]) for name in ("nme68_2d", "nme68_2d_median", "nme68_3d")
    )
    return [str(len(rows)), mean, median, *bins, in_3d]


def _by_tag(rows: Sequence[Row]) -> tuple[dict[str, float], list[list[str]]]:
    """Metrics of the groups of TAGGED_GROUPS that there are, and the rows of their table."""
    metrics: dict[str, float] = {}
    cells = []
    for name, (title, tag, low, high) in TAGGED_GROUPS.items():
        group = [row for row in rows if tag in row and low <= row[tag] <= high]
        if group:
            numbers = _accuracy(group)
            metrics |= {f"{TAGGED_SOURCE}_{name}_{key}": numbers[key] for key in TAGGED_METRICS}
            averages = (number(numbers[key]) for key in TAGGED_METRICS[1:])
            cells.append([title, str(len(group)), *averages])
    return metrics, cells


def _found(rows: Sequence[Row]) -> tuple[float, float]:
    """Share of the faces that the detector found, in per cent, and the mean error of those."""
    errors = column(rows, "nme68_2d")
    is_found = ~np.isnan(errors)
    return 100 * float(is_found.mean()), float(
        np.mean(errors[is_found])
    ) if is_found.any() else np.nan


def _between(rows: Sequence[Row], low: float, high: float) -> list[Row]:
    """The rows whose |yaw| is in (low, high]."""
    return [row for row in rows if low < abs(row["yaw_deg"]) <= high]
