"""AFW's and Helen's photos with 68 points that humans set → errors that no teacher made."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import Facekit, FacekitRecord
from prnet.errors import LabelError
from prnet.evaluate.facekit import begin_row, spread_evenly
from prnet.evaluate.metrics import nme, trend
from prnet.evaluate.report import (
    Example,
    Report,
    Row,
    Table,
    Worst,
    column,
    known,
    number,
    summarise_errors,
)
from prnet.geometry.boxes import face_size
from prnet.landmarks import eye_opening, mouth_opening
from prnet.reconstructor import Reconstructor

SOURCE = "ibug"
PHOTO = "photo"
JAW_END = 17  # the first 17 points are the visible outline here, another line than the model's
IS_INNER = np.arange(68)[:, None] >= JAW_END
ERRORS = {  # name: title, first point, one past the last
    "nme51_2d": ("51 inner points (17–67)", JAW_END, 68),
    "nme41_2d": ("without the brows (27–67)", 27, 68),
    "brows_nme_2d": ("brows (17–26)", 17, 27),
    "nose_nme_2d": ("nose (27–35)", 27, 36),
    "eyes_nme_2d": ("eyes (36–47)", 36, 48),
    "mouth_nme_2d": ("mouth (48–67)", 48, 68),
}
OPENINGS = {"eye_opening": eye_opening, "mouth_opening": mouth_opening}
COLLECTIONS = {"afw": "AFW", "helen": "Helen"}
BY_YAW_TITLE = "Against human points: NME in % of the size of their box, by |yaw| (photos)"
BY_COLLECTION_TITLE = "The same by collection"
BY_COLLECTION_COLUMNS = "", "photos", "17–67", "27–67", "brows", "nose", "eyes", "mouth"
OPENINGS_TITLE = "Openings in the photo against the human points'"
OPENINGS_COLUMNS = "", "photos", "correlation", "slope"


def evaluate_ibug(
    folder: str | os.PathLike[str],
    reconstructor: Reconstructor,
    *,
    split: Literal["train", "val"] = "val",
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct the photos of AFW and Helen in the labels' boxes, compare with human points.

    Args:
        folder: The facekit.
        reconstructor: The model to measure.
        split: `val` or `train`.
        limit: Only so many photos, spread evenly over the split; None for all.
        progress: Called with photos done and photos in all.

    Returns:
        Report, see `summarise`.

    Raises:
        LabelError: The facekit is incomplete, or a photo lacks some of its human points, or the
            split has none.
        ValueError: limit isn't positive.
    """
    kit = Facekit(folder, split, (SOURCE,))
    if not kit.records:
        raise LabelError(f"{kit.folder}: no photo of {SOURCE} belongs to {split}")
    chosen = spread_evenly(len(kit.records), limit)
    rows: list[Row] = []
    worst = Worst()
    for done, index in enumerate(chosen, 1):
        record = kit.records[index]
        truth, photo = _human_points(kit, record), kit.photo(record)
        (face,) = reconstructor(photo, boxes=[record.box])
        row = measure(face.landmarks68, truth)
        rows.append(begin_row(PHOTO, record, record.pose) | _collection(record) | row)
        title = f"{record.filename}  {row['nme51_2d']:.1f}%"
        shown = [np.where(IS_INNER, each[:, :2], np.nan) for each in (face.landmarks68, truth)]
        worst.add(row["nme51_2d"], Example(title, photo, *shown))
        progress(done, len(chosen))
    return summarise(rows, worst.examples())


def measure(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> Row:
    """The errors and openings of one photo.

    Args:
        predicted: (68, 2 or 3) float, photo frame.
        truth: (68, 2) float, photo frame, the human points.

    Returns:
        ERRORS by name, in % of √(w · h) of the box tight around all 68 human points; OPENINGS of
        the predicted points' x and y, and `true_…` of the human ones.
    """
    predicted, size = predicted[:, :2], face_size(truth)
    row: Row = {
        name: nme(predicted[first:end], truth[first:end], size)
        for name, (_, first, end) in ERRORS.items()
    }
    for name, opening in OPENINGS.items():
        row |= {name: float(opening(predicted)), f"true_{name}": float(opening(truth))}
    return row


def _human_points(kit: Facekit, record: FacekitRecord) -> NDArray[np.float32]:
    """A record's (68, 2) human points; LabelError if one is missing."""
    if not np.isfinite(record.human68).all():
        path = kit.folder / "labels" / f"{record.source}.npz"
        raise LabelError(f"{path}: {record.filename} has not all of the 68 points of human68")
    return record.human68


def _collection(record: FacekitRecord) -> Row:
    """Which collection a photo is of, by the name of its folder; nothing if it is none of those."""
    for name in COLLECTIONS:
        if record.filename.startswith(name):
            return {"collection": name}
    return {}


def summarise(rows: Sequence[Row], worst: Sequence[Example] = ()) -> Report:
    """Average the rows of `evaluate_ibug` and set them in tables.

    The metrics are `count`; each of ERRORS, also `_median`, `_yaw_0_30` and so on; the mean of each
    of ERRORS and the count once more for each collection, as `afw_nme51_2d`; of the openings
    `eye_opening_correlation`, `_slope`, `mouth_opening_…`.
    """
    titles = {name: title for name, (title, _, _) in ERRORS.items()}
    errors, by_yaw = summarise_errors(BY_YAW_TITLE, rows, titles)
    metrics: dict[str, float] = {"count": len(rows), **errors}
    collections = []
    for name, title in COLLECTIONS.items():
        group = [row for row in rows if row.get("collection") == name]
        if group:
            means = {key: float(column(group, key).mean()) for key in ERRORS}
            metrics |= {f"{name}_{key}": value for key, value in means.items()}
            metrics[f"{name}_count"] = len(group)
            collections.append([title, str(len(group)), *map(number, means.values())])
    openings = []
    for name in OPENINGS:
        line = trend(column(rows, name), column(rows, f"true_{name}"))
        metrics |= {f"{name}_correlation": line.correlation, f"{name}_slope": line.slope}
        cells = number(line.correlation), number(line.slope)
        openings.append([name.replace("_", " "), str(len(rows)), *cells])
    tables = [
        by_yaw,
        Table(BY_COLLECTION_TITLE, BY_COLLECTION_COLUMNS, collections),
        Table(OPENINGS_TITLE, OPENINGS_COLUMNS, openings),
    ]
    curves: Mapping[str, NDArray[np.float64]] = {
        title: column(rows, name)
        for name, title in titles.items()
        if name in ("nme51_2d", "eyes_nme_2d", "mouth_nme_2d")
    }
    label = "NME, % of the size of the human points' box"
    return Report(known(metrics), tables, rows, curves, {"worst": worst}, curve_label=label)
