"""Labelled box → the detection that shows the same face, and that face reconstructed."""

import numpy as np
from numpy.typing import NDArray

from prnet.detect.detections import Detector
from prnet.face import Face
from prnet.geometry.boxes import box_overlap
from prnet.reconstructor import Reconstructor

FOUND_OVERLAP = 0.4  # intersection over union from which a detection is the labelled face


def find_box(
    detector: Detector, photo: NDArray[np.uint8], box: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Detect faces and keep the one that overlaps a labelled box most.

    Args:
        detector: Finds faces.
        photo: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1, photo pixels, tight around the true landmarks.

    Returns:
        (1, 5) float32 x0 y0 x1 y1 and the angle in degrees; (0, 5) if none overlaps by
        `FOUND_OVERLAP`.
    """
    found = detector.detect(photo)
    overlap = box_overlap(found.boxes, box)
    best = np.argsort(-overlap)[:1]
    return found.oriented()[best[overlap[best] >= FOUND_OVERLAP]]


def reconstruct_labelled(
    reconstructor: Reconstructor,
    photo: NDArray[np.uint8],
    box: NDArray[np.floating],
    detector: bool,
) -> list[Face]:
    """Reconstruct the face that a label is of.

    Args:
        reconstructor: The model.
        photo: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1, photo pixels, tight around the true landmarks.
        detector: Take the detection that shows the face in place of the box.

    Returns:
        The face; an empty list if the detector doesn't find it.
    """
    boxes = find_box(reconstructor.detector, photo, box) if detector else box[None]
    return reconstructor(photo, boxes=boxes)
