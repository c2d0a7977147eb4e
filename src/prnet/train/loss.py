"""Prediction and target → the number that training makes small."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prnet.network.lite import Prediction
from prnet.train.config import LossConfig
from prnet.train.targets import Target
from prnet.uv.atlas import EYE_NOSE_MOUTH, KEYPOINT, REGION_WEIGHTS

PERCENT = 100.0 / 2 * 1.5  # crop units → per cent of face size, at crop scale 1.5
CM = 0.09  # crop units per cm, roughly, so that the shape term has the size of the others


class LossTerms(NamedTuple):
    """Each term, unweighted, and their weighted sum; in per cent of face size."""

    total: Tensor
    position_map: Tensor
    landmarks: Tensor
    shape: Tensor


class DistanceLoss(nn.Module):
    """Mean Euclidean distances: of map points by region, of the landmarks, and of the pose-free shape.

    A plain distance, not its square: labels are noisy, and a squared loss chases the worst of them.
    Landmarks have a term of their own instead of the paper's weight of 16 on single pixels.

    Args:
        region: (M, M) uint8, the atlas's regions at the map's size.
        config: Weights.
    """

    weight: Tensor

    def __init__(self, region: NDArray[np.uint8], config: LossConfig) -> None:
        super().__init__()
        self.config = config
        weight = REGION_WEIGHTS[np.where(region == KEYPOINT, EYE_NOSE_MOUTH, region)]
        weight = np.where(weight > 0, weight, config.empty).astype(np.float32)
        self.register_buffer("weight", torch.from_numpy(weight / weight.sum()))

    def forward(self, prediction: Prediction, target: Target) -> LossTerms:
        """Compare."""
        maps = (self.weight * _distance(prediction.position_map, target.position_map)).sum((1, 2))
        landmarks = _distance(prediction.landmarks68, target.landmarks68)
        shape = maps.new_zeros(())
        if prediction.shape is not None:
            shape = (self.weight * _distance(prediction.shape, target.shape)).sum(
                (1, 2)
            ).mean() * CM
        terms = PERCENT * maps.mean(), PERCENT * landmarks.mean(), PERCENT * shape
        weights = self.config.position_map, self.config.landmarks, self.config.shape
        total = sum((w * term for w, term in zip(weights, terms, strict=True)), maps.new_zeros(()))
        return LossTerms(total, *terms)


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distance over the last axis, with a slope at 0."""
    return ((first - second).square().sum(-1) + 1e-10).sqrt()
