"""Prediction and target → the number that training makes small."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from prnet.landmarks import EYES, LOWER, MOUTH, UPPER
from prnet.networks.lite import Prediction
from prnet.train.config import LossConfig
from prnet.train.targets import Target
from prnet.uv.atlas import EYE_NOSE_MOUTH, KEYPOINT, REGION_WEIGHTS

CONFIDENCE_NME = 0.05  # the error at which confidence has fallen to 1/e
CM = 0.09  # crop units per cm, roughly: gives the shape term the size of the others


class LossTerms(NamedTuple):
    """Each term, unweighted, and their weighted sum.

    Distances are in per cent of half the crop's side; squared ones, in hundredths of its square.
    The concordance is in per cent. The confidence's is a cross entropy; it has layers of its own,
    and so no weight.
    """

    total: Tensor
    position_map: Tensor
    landmarks: Tensor
    shape: Tensor
    openings: Tensor
    concordance: Tensor
    steadiness: Tensor
    confidence: Tensor


class DistanceLoss(nn.Module):
    """Mean distances: of map points by region, landmarks, pose-free shape, openings and so on.

    Args:
        region: (M, M) uint8, the atlas's regions at the map's size.
        config: Kind of distance, mask, and the terms' weights.
        pairs: So many of a batch's first samples come again as its last.
    """

    weight: Tensor

    def __init__(self, region: NDArray[np.uint8], config: LossConfig, pairs: int = 0) -> None:
        super().__init__()
        self.config, self.pairs = config, pairs
        weight = region_weights(region, config)
        self.register_buffer("weight", torch.from_numpy(weight / weight.sum()))

    def forward(self, prediction: Prediction, target: Target) -> LossTerms:
        """Compare; a term that isn't asked for, or that the network has no part in, is 0.

        Where the prediction has more rows than the target, the last ones are of crops without a
        face, and matter to the confidence alone.
        """
        weights, zero = self.config, prediction.position_map.new_zeros(())
        confidence = zero
        if prediction.confidence is not None:
            goal = expected_confidence(prediction.landmarks68.detach(), target.landmarks68)
            confidence = binary_cross_entropy_with_logits(prediction.confidence, goal)
        prediction = prediction.first(len(target.landmarks68))
        points = prediction.landmarks68, target.landmarks68
        maps = landmarks = shape = openings = concordance = steadiness = zero
        if weights.position_map:
            maps = self._mean(prediction.position_map, target.position_map)
        if weights.landmarks:
            landmarks = self._distance(*points).mean()
        if weights.shape and prediction.shape is not None and target.shape is not None:
            shape = self._mean(CM * prediction.shape, CM * target.shape)
        if weights.openings:
            openings = self._distance(
                *(p[:, list(UPPER)] - p[:, list(LOWER)] for p in points)
            ).mean()
        if weights.concordance:
            concordance = 1 - concordance_correlation(*map(openings68, points)).mean()
        if weights.steadiness and self.pairs and target.to_canonical is not None:
            errors = CM * (points[0] - points[1]) @ target.to_canonical.mT
            first, again = errors[: self.pairs], errors[-self.pairs :]
            steadiness = self._distance(first, again).mean()
        total = (
            weights.position_map * maps
            + weights.landmarks * landmarks
            + weights.shape * shape
            + weights.openings * openings
            + weights.concordance * concordance
            + weights.steadiness * steadiness
        )
        return LossTerms(
            100 * total + confidence,
            100 * maps,
            100 * landmarks,
            100 * shape,
            100 * openings,
            100 * concordance,
            100 * steadiness,
            confidence,
        )

    def _mean(self, first: Tensor, second: Tensor) -> Tensor:
        """Weighted mean over the map, plain mean over the batch."""
        return (self.weight * self._distance(first, second)).sum((1, 2)).mean()

    def _distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance over the last axis."""
        squared = (first - second).square().sum(-1)
        if self.config.distance == "squared":
            return squared
        return (squared + 1e-10).sqrt()  # the plain root has no slope at 0


def expected_confidence(predicted: Tensor, truth: Tensor) -> Tensor:
    """What a network should say of its own landmarks.

    Args:
        predicted: (N + K, 68, 3) float, crop frame.
        truth: (N, 68, 3) float; the other K crops show no face.

    Returns:
        (N + K,) float: exp(−NME / 5 %), and 0 without a face.
    """
    goal = predicted.new_zeros(len(predicted))
    goal[: len(truth)] = torch.exp(-nme68(predicted[: len(truth)], truth) / CONFIDENCE_NME)
    return goal


def openings68(landmarks68: Tensor) -> Tensor:
    """How far eyes and mouths are open, as `prnet.landmarks` measures it.

    Args:
        landmarks68: (N, 68, 3) float, any frame.

    Returns:
        (N, 2) float: mean of the eyes, mouth.
    """

    def opening(across: Sequence[tuple[int, int]], along: tuple[int, int]) -> Tensor:
        first, second = torch.tensor([*across, along]).T
        distances = (landmarks68[:, first] - landmarks68[:, second]).norm(dim=2)
        return distances[:, :-1].mean(1) / distances[:, -1]

    eyes = torch.stack([opening(*eye) for eye in EYES]).mean(0)
    return torch.stack([eyes, opening(*MOUTH)], 1)


def concordance_correlation(predicted: Tensor, truth: Tensor) -> Tensor:
    """Lin's concordance correlation: 1 only where both are equal, not merely in proportion.

    Args:
        predicted: (N, K) float, N ≥ 2.
        truth: (N, K) float.

    Returns:
        (K,) float in [−1, 1]; 0 where neither varies.

    Source: Lin 1989, "A concordance correlation coefficient to evaluate reproducibility".
    """
    mean, true_mean = predicted.mean(0), truth.mean(0)
    off, true_off = predicted - mean, truth - true_mean
    spread = (off.square() + true_off.square()).mean(0) + (mean - true_mean).square()
    return 2 * (off * true_off).mean(0) / spread.clamp_min(1e-12)


def nme68(predicted: Tensor, truth: Tensor) -> Tensor:
    """68-point NME in 2D of N faces (N, 68, 3), any frame, each against its truth's box: (N,)."""
    true = truth[..., :2]
    size = (true.amax(1) - true.amin(1)).prod(1).sqrt()
    return (predicted[..., :2] - true).norm(dim=2).mean(1) / size


def region_weights(region: NDArray[np.uint8], config: LossConfig) -> NDArray[np.float32]:
    """The weight of each pixel of a map, (M, M) float32, from its region; see LossConfig.mask."""
    if config.mask == "ones":
        return np.ones(region.shape, np.float32)
    if config.mask == "keypoints":
        return (region == KEYPOINT).astype(np.float32)
    if config.mask == "paper":
        return REGION_WEIGHTS[region]
    weight = REGION_WEIGHTS[np.where(region == KEYPOINT, EYE_NOSE_MOUTH, region)]
    return np.where(weight > 0, weight, config.empty).astype(np.float32)
