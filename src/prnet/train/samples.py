"""A crop with its label, and a batch of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prnet.data.face_crops import FaceCrop
from prnet.geometry.pose import Pose


class CoefficientBatch(NamedTuple):
    """N samples labelled by a face model; crop units: half the crop's side, 0 its middle, y up.

    Attributes:
        crops: (N, 3, S, S) uint8 RGB.
        coefficients: (N, 153) float32, identity then expression.
        rotation: (N, 3, 3) float32, canonical → crop.
        scale: (N,) float32, crop units per cm.
        translation: (N, 3) float32, crop units.
        mirrored: (N,) bool; then the shape is that of the coefficients, mirrored.
        negatives: (K, 3, S, S) uint8 RGB, more crops, without a face.
    """

    crops: Tensor
    coefficients: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    mirrored: Tensor
    negatives: Tensor


class MapBatch(NamedTuple):
    """N samples labelled by position maps.

    Attributes:
        crops: (N, 3, S, S) uint8 RGB.
        position_map: (N, 256, 256, 3) float32, crop frame, in units of half the crop's side, 0 its
            middle.
        negatives: (0, 3, S, S) uint8.
    """

    crops: Tensor
    position_map: Tensor
    negatives: Tensor


Batch = CoefficientBatch | MapBatch


class FaceCropSample(NamedTuple):
    """A crop of a face crop; `pose` leads to crop units."""

    crop: NDArray[np.uint8]
    pose: Pose
    face_crop: FaceCrop
    mirrored: bool


class MapSample(NamedTuple):
    """A crop and its position map, as in MapBatch."""

    crop: NDArray[np.uint8]
    position_map: NDArray[np.float32]


def stack_crops(crops: Sequence[NDArray[np.uint8]]) -> Tensor:
    """(N, 3, S, S) uint8."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
