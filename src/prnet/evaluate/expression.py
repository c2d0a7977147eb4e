"""AFW's and Helen's photos → expression weights against human points and MediaPipe's scores."""

import os
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from prnet.data.facekit import Facekit
from prnet.errors import LabelError
from prnet.evaluate.facekit import spread_evenly
from prnet.evaluate.ranks import rank_correlation
from prnet.evaluate.report import Report, Row, Table, column, known, number
from prnet.landmarks import eye_opening, mouth_opening
from prnet.reconstructor import Reconstructor

SOURCE = "ibug"
NEUTRAL_BELOW = 0.2  # MediaPipe's scores of all of these, for a face to count as neutral
NEUTRAL = (
    *("jawOpen", "mouthSmile", "eyeBlink", "mouthPucker", "mouthFunnel"),
    *("browInnerUp", "browDown", "browOuterUp"),
)
AGREEMENT_TITLE = "Expression weights: rank correlation with what others say of the same photo"
AGREEMENT_COLUMNS = "weight", "with", "photos", "correlation"
SIZE_TITLE = "Size of the weights, of all 51 together"
SIZE_COLUMNS = "", "photos", "mean"
# name of the metric, the weight, what it is set against; eyes close where the weight grows
AGREEMENTS = {
    "blink_human": ("eyeBlink", "the human points' closed eyes", "human_closed_eyes"),
    "jaw_human": ("jawOpen", "the human points' open mouth", "human_mouth_opening"),
    "smile_mediapipe": ("mouthSmile", "MediaPipe's mouthSmile", "mediapipe_mouthSmile"),
    "blink_mediapipe": ("eyeBlink", "MediaPipe's eyeBlink", "mediapipe_eyeBlink"),
    "jaw_mediapipe": ("jawOpen", "MediaPipe's jawOpen", "mediapipe_jawOpen"),
}


def evaluate_expression(
    folder: str | os.PathLike[str],
    reconstructor: Reconstructor,
    *,
    split: Literal["train", "val"] = "val",
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct photos in the labels' boxes, as they are and mirrored; compare the weights.

    Args:
        folder: The facekit.
        reconstructor: The model to measure; its UV space must be the package's.
        split: `val` or `train`.
        limit: Only so many photos, spread evenly over the split; None for all.
        progress: Called with photos done and photos in all.

    Returns:
        Report, see `summarise`.

    Raises:
        LabelError: The facekit is incomplete, or the split has no photo.
        ValueError: limit isn't positive, or the model has a UV space of its own.
    """
    kit = Facekit(folder, split, (SOURCE,))
    if not kit.records:
        raise LabelError(f"{kit.folder}: no photo of {SOURCE} belongs to {split}")
    chosen = spread_evenly(len(kit.records), limit)
    rows: list[Row] = []
    for done, index in enumerate(chosen, 1):
        record = kit.records[index]
        photo = kit.photo(record)
        x0, y0, x1, y1 = record.box
        last = photo.shape[1] - 1
        (face,) = reconstructor(photo, boxes=[record.box])
        (mirrored,) = reconstructor(
            np.ascontiguousarray(photo[:, ::-1]), boxes=[[last - x1, y0, last - x0, y1]]
        )
        scores = dict(zip(kit.blendshape_names, record.blendshapes.tolist(), strict=True))
        rows.append(
            {"source": record.source, "filename": record.filename}
            | {"human_closed_eyes": -float(eye_opening(record.human68))}
            | {"human_mouth_opening": float(mouth_opening(record.human68))}
            | {f"mediapipe_{name}": both_sides(scores, name) for name in NEUTRAL}
            | measure(face.expression, mirrored.expression)
        )
        progress(done, len(chosen))
    return summarise(rows)


def measure(expression: dict[str, float], of_mirror: dict[str, float]) -> Row:
    """What the rows hold of a photo's weights and its mirror image's."""
    back = [of_mirror[mirror_name(name)] for name in expression]
    weights = np.array(list(expression.values()))
    return {
        **{name: both_sides(expression, name) for name in ("eyeBlink", "jawOpen", "mouthSmile")},
        "mean_weight": float(weights.mean()),
        "mirror_difference": float(np.abs(weights - back).mean()),
    }


def both_sides(weights: dict[str, float], name: str) -> float:
    """A weight, or the mean of its left and right."""
    if name in weights:
        return weights[name]
    return (weights[f"{name}Left"] + weights[f"{name}Right"]) / 2


def mirror_name(name: str) -> str:
    """What a mirror makes of a shape: eyeBlinkLeft → eyeBlinkRight, jawOpen → jawOpen."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def summarise(rows: Sequence[Row]) -> Report:
    """Set the rows of `evaluate_expression` in tables.

    The metrics are `count`, AGREEMENTS by name, `mean_weight`, `neutral_count`,
    `neutral_mean_weight`, `mirror_difference` (mean absolute difference between a photo's weights
    and its mirror image's, left and right swapped).
    """
    neutral = [
        row for row in rows if all(row[f"mediapipe_{name}"] < NEUTRAL_BELOW for name in NEUTRAL)
    ]
    metrics: dict[str, float] = {"count": len(rows), "neutral_count": len(neutral)}
    agreement = []
    for key, (name, title, other) in AGREEMENTS.items():
        metrics[key] = rank_correlation(column(rows, name), column(rows, other))
        agreement.append([name, title, str(len(rows)), number(metrics[key], 3)])
    sizes = {
        "mean_weight": ("all photos", rows, "mean_weight"),
        "neutral_mean_weight": ("neutral faces", neutral, "mean_weight"),
        "mirror_difference": ("difference to the mirror image's", rows, "mirror_difference"),
    }
    table = []
    for key, (title, group, name) in sizes.items():
        metrics[key] = float(column(group, name).mean()) if group else float("nan")
        table.append([title, str(len(group)), number(metrics[key], 3)])
    return Report(
        known(metrics),
        [
            Table(AGREEMENT_TITLE, AGREEMENT_COLUMNS, agreement),
            Table(SIZE_TITLE, SIZE_COLUMNS, table),
        ],
        rows,
    )
