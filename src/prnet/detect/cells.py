"""What the detector's network says at each cell of a picture, and how that becomes boxes.

The contract that training, export and runtime share.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prnet.detect.found import SAME_FACE
from prnet.geometry.oriented import merge

STRIDES = (8, 16, 32)  # pixels between cells; the picture's sides are multiples of the last
# of a cell: its score before the sigmoid; its box's center from the cell's in strides (x, y); the
# logarithms of the box's width and height in UNIT_STRIDES strides; (cos, sin) of the face's angle,
# not normalized
OUTPUTS = 7
UNIT_STRIDES = 4.0
AXES = "picture, output, cell"  # of what the network's file gives
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
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Read what a picture's cells tell of faces; several may tell of one.

    Args:
        cells: (7, C) float32, see OUTPUTS.
        height: Of the picture.
        width: Of the picture.
        min_score: Lower scores are left out; in [0, 1].

    Returns:
        (6, K) float64, center x, y in pixels, the logarithms of width and height, cos and sin of
        the angle; (K,) float32 scores.
    """
    least = math.log(min_score / (1 - min_score)) if 0 < min_score < 1 else (min_score - 0.5) * 1e9
    (chosen,) = (cells[0] >= least).nonzero()
    rows = cells.take(chosen, 1).astype(np.float64)
    told, near = rows[1:], _cells(height, width).take(chosen, 1).astype(np.float64)
    told[:2] *= near[2]
    told[:2] += near[:2]
    np.minimum(np.maximum(told[2:4], -LARGEST_LOG), LARGEST_LOG, out=told[2:4])
    told[2:4] += near[3]
    length = np.hypot(told[4], told[5])
    told[4] += length == 0  # says nothing, so it's upright
    told[4:] /= length + (length == 0)
    return told, (1 / (1 + np.exp(-rows[0]))).astype(np.float32)


@lru_cache(maxsize=32)
def _cells(height: int, width: int) -> NDArray[np.float32]:
    """(4, C) float32: `cell_centers`, and the logarithm of what a cell measures sizes in."""
    x, y, stride = cell_centers(height, width).T
    return np.array([x, y, stride, np.log(UNIT_STRIDES * stride)])


def find_faces(
    cells: NDArray[np.float32], height: int, width: int, min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read the faces off a picture's cells, each once: the best cell's, blended with its like.

    Args:
        cells: (7, C) float32, see OUTPUTS.
        height: Of the picture.
        width: Of the picture.
        min_score: Faces of a lower score are left out; in [0, 1].

    Returns:
        (K, 5) float32 boxes as in `prnet.geometry.oriented`, pixels; (K,) float32 scores.
    """
    # lower scores are only to be blended with
    told, scores = decode_cells(cells, height, width, min_score / 2)
    return merge(told, scores, min_score, SAME_FACE, SAME_BOX)
