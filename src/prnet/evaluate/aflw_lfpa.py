"""AFLW-LFPA: the visible ones of 34 points, in 2D."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from prnet.data.aflw_lfpa import LFPA34, LFPARecord, Mapping68
from prnet.evaluate.boxes import reconstruct_labelled
from prnet.evaluate.metrics import nme
from prnet.evaluate.report import (
    Example,
    Report,
    Row,
    Worst,
    column,
    found_share,
    known,
    summarise_errors,
)
from prnet.image.read import read_image
from prnet.reconstructor import Reconstructor

NAME = "nme_visible_2d"
TITLE = "AFLW-LFPA: error in % of the face box's size, by predicted |yaw| (photos)"


def evaluate_aflw_lfpa(
    records: Sequence[LFPARecord],
    reconstructor: Reconstructor,
    *,
    mapping: Mapping68 = LFPA34,
    detector: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct the photos and compare their visible points.

    Args:
        records: The photos.
        reconstructor: The model to measure.
        mapping: For each point the iBUG points that it is the mean of.
        detector: Use the detector's boxes; otherwise the labels'.
        progress: Called with photos done and photos in all.

    Returns:
        Report. Its metrics are `count` and `nme_visible_2d`: the mean distance of a photo's
        visible points over √(width · height) of its box, averaged over the photos, in per cent;
        also as `_median`, `_yaw_0_30`, … and `_mean_of_bins`; with the detector `found_share` in
        per cent.

    Raises:
        ImageReadError: A photo can't be read.
        ValueError: A record has more points than the mapping.
    """
    rows: list[Row] = []
    worst = Worst()
    for done, record in enumerate(records, 1):
        photo = read_image(record.photo)
        is_visible = ~np.isnan(record.points[:, 0])
        row: Row = {"photo": record.photo.name, "visible": int(is_visible.sum())}
        for face in reconstruct_labelled(reconstructor, photo, record.box, detector):
            predicted = map_points(face.landmarks68[:, :2], mapping, len(record.points))[is_visible]
            truth = record.points[is_visible]
            size = float(np.sqrt((record.box[2:] - record.box[:2]).prod()))
            row |= {"yaw_deg": face.pose.yaw, NAME: nme(predicted, truth, size)}
            title = f"{record.photo.name}  {row[NAME]:.1f}%"
            worst.add(row[NAME], Example(title, photo, predicted, truth))
        rows.append(row)
        progress(done, len(records))
    errors, table = summarise_errors(TITLE, rows, {NAME: "visible points, 2D"})
    metrics: dict[str, float] = {"count": len(rows), **errors}
    if detector:
        metrics["found_share"] = found_share(rows, NAME)
    return Report(
        known(metrics),
        [table],
        rows,
        {"visible points": column(rows, NAME)},
        {"worst": worst.examples()},
        curve_label="NME of the visible points, %",
    )


def map_points(
    landmarks68: NDArray[np.floating], mapping: Mapping68, count: int
) -> NDArray[np.floating]:
    """The first `count` points of a mapping, each the mean of its iBUG points: (count, D).

    Raises:
        ValueError: The mapping has fewer.
    """
    if len(mapping) < count:
        raise ValueError(f"mapping must have {count} points or more, got {len(mapping)}")
    return np.array([landmarks68[list(group)].mean(0) for group in mapping[:count]])
