"""What the detector's network says at each cell of a picture, and how that becomes boxes.

The contract that training, export and runtime share.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prnet.detect.search import SAME_FACE
from prnet.geometry.oriented import blend, keep_distinct

STRIDES = (8, 16, 32)  # pixels between cells; the picture's sides are multiples of the last
# of a cell: its score before the sigmoid; its box's center from the cell's in strides (x, y); the
# logarithms of the box's width and height in UNIT_STRIDES strides; (cos, sin) of the face's angle,
# not normalized
OUTPUTS = 7
UNIT_STRIDES = 4.0
METADATA_KEY = "prnet_detector"  # of the ONNX file; what stands there is JSON
INPUT, OUTPUT = "pictures", "cells"
SAME_BOX = 0.6  # overlap (intersection over union) from which on cells' boxes are blended
LARGEST_LOG = 6.0  # sizes are clipped to exp(±6), so that no number overflows


@lru_cache(maxsize=32)
def cell_centers(height: int, width: int) -> NDArray[np.float32]:
    """Where the cells of a picture have their centers.

    Args:
        height: Of the picture, a multiple of 32.
        width: Likewise.

    Returns:
        (C, 3) float32 x, y, stride, read-only; pixels, pixel centers at integers. The cells of
        stride 8 row by row, then those of 16 and 32.
    """
    parts = []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        xy = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride - 0.5
        parts.append(np.column_stack([xy, np.full(len(xy), stride)]))
    centers = np.concatenate(parts).astype(np.float32)
    centers.flags.writeable = False
    return centers


def decode_cells(
    cells: NDArray[np.float32], height: int, width: int, min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read the faces off a picture's cells; several cells may tell of one face.

    Args:
        cells: (C, 7) float32, see OUTPUTS.
        height: Of the picture.
        width: Of the picture.
        min_score: Lower scores are left out; in [0, 1].

    Returns:
        (K, 5) float32 boxes as in `prnet.geometry.oriented`, pixels; (K,) float32 scores.
    """
    least = math.log(min_score / (1 - min_score)) if 0 < min_score < 1 else (min_score - 0.5) * 1e9
    chosen = np.flatnonzero(cells[:, 0] >= least)
    rows, centers = cells[chosen], cell_centers(height, width)[chosen]
    stride = centers[:, 2:]
    middle = centers[:, :2] + rows[:, 1:3] * stride
    size = np.exp(np.clip(rows[:, 3:5], -LARGEST_LOG, LARGEST_LOG)) * (UNIT_STRIDES * stride)
    angle = np.arctan2(rows[:, 6:], rows[:, 5:6])
    scores = 1 / (1 + np.exp(-rows[:, 0]))
    boxes = np.concatenate([middle, size, angle], 1)
    return boxes.astype(np.float32), scores.astype(np.float32)


def find_faces(
    cells: NDArray[np.float32], height: int, width: int, min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read the faces off a picture's cells, each once: the best cell's, blended with its like.

    Args:
        cells: (C, 7) float32, see OUTPUTS.
        height: Of the picture.
        width: Of the picture.
        min_score: Faces of a lower score are left out; in [0, 1].

    Returns:
        (K, 5) float32 boxes as in `prnet.geometry.oriented`, pixels; (K,) float32 scores.
    """
    boxes, scores = decode_cells(cells, height, width, min_score / 2)
    # lower scores are only to be blended with
    high = np.flatnonzero(scores >= min_score)
    kept = high[keep_distinct(boxes[high], scores[high], SAME_FACE)]
    return blend(boxes, scores, kept, SAME_BOX).astype(np.float32), scores[kept]
