"""Prediction and target → the number that training makes small."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from prnet.networks.prediction import Prediction
from prnet.train.config import LossConfig
from prnet.train.targets import Target
from prnet.train.terms import TERMS, Comparison
from prnet.uv.atlas import EYE_NOSE_MOUTH, KEYPOINT, REGION_WEIGHTS

CONFIDENCE_NME = 0.05  # the error at which confidence has fallen to 1/e
NAMES = ("total", *TERMS, "confidence")  # of what the loss consists, in the record's order


class Loss(nn.Module):
    """The terms of `prnet.train.terms.TERMS`, weighted, and the confidence's own.

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

    def forward(self, prediction: Prediction, target: Target) -> dict[str, Tensor]:
        """Compare.

        Where the prediction has more rows than the target, the last ones are of crops without a
        face, and matter to the confidence alone.

        Returns:
            By NAMES: each term, unweighted, in per cent, 0 where it isn't asked for or doesn't
            apply; the confidence's cross entropy, which has layers of its own, and so no weight;
            and `total`, their weighted sum. Distances are in units of half the crop's side.
        """
        zero = prediction.position_map.new_zeros(())
        confidence = zero
        if prediction.confidence is not None:
            goal = expected_confidence(prediction.landmarks68.detach(), target.landmarks68)
            confidence = binary_cross_entropy_with_logits(prediction.confidence, goal)
        prediction = prediction.first(len(target.landmarks68))
        compared = Comparison(prediction, target, self._distance, self.weight, self.pairs)
        total, terms = confidence, {}
        for name, weight in self.config.weights.items():
            measured = TERMS[name].measure(compared) if weight else None
            terms[name] = zero if measured is None else 100 * measured
            total = total + weight * terms[name]
        return {"total": total, **{name: terms[name] for name in TERMS}, "confidence": confidence}

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
