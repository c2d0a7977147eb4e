"""The terms of the loss: a new one is a function and a line in TERMS."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from prnet.landmarks import EYES, LOWER, MIRROR68, MOUTH, UPPER
from prnet.networks.prediction import Prediction
from prnet.train.targets import Target

CM = 0.09  # crop units per cm, roughly: gives what is measured in cm the size of the others


class Comparison(NamedTuple):
    """What a term looks at.

    Attributes:
        prediction: Of N crops that show faces.
        target: Of the same.
        distance: Of two tensors (..., 3), over the last axis.
        map_weight: (M, M), of the map's pixels; sums to 1.
        pairs: So many of the first crops come again, a little moved or mirrored, as the last ones.
    """

    prediction: Prediction
    target: Target
    distance: Callable[[Tensor, Tensor], Tensor]
    map_weight: Tensor
    pairs: int

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """The 68 points, predicted and true."""
        return self.prediction.landmarks68, self.target.landmarks68

    def over_map(self, first: Tensor, second: Tensor) -> Tensor:
        """Weighted mean distance over the map, plain mean over the batch."""
        return (self.map_weight * self.distance(first, second)).sum((1, 2)).mean()


def position_map(it: Comparison) -> Tensor:
    """Distance of map points, by region."""
    return it.over_map(it.prediction.position_map, it.target.position_map)


def landmarks(it: Comparison) -> Tensor:
    """Distance of the 68 points."""
    return it.distance(*it.points).mean()


def shape(it: Comparison) -> Tensor | None:
    """Distance in the canonical frame, without pose; None from networks that don't separate it."""
    if it.prediction.shape is None or it.target.shape is None:
        return None
    return it.over_map(CM * it.prediction.shape, CM * it.target.shape)


def openings(it: Comparison) -> Tensor:
    """Distance between the vectors from lid to lid and lip to lip."""
    across = (points[:, list(UPPER)] - points[:, list(LOWER)] for points in it.points)
    return it.distance(*across).mean()


def concordance(it: Comparison) -> Tensor:
    """How little the openings of eyes and mouth vary as the labels' do over a batch.

    One less Lin's concordance correlation, the mean of both. Distances alone make a network play
    safe: where it isn't sure, eyes neither close nor open.
    """
    return 1 - concordance_correlation(*map(openings68, it.points)).mean()


def consistency(it: Comparison) -> Tensor | None:
    """How differently the landmarks err on the two crops of a pair, in the face's own frame."""
    target = it.target
    if not it.pairs or target.to_canonical is None or target.mirrored is None:
        return None
    predicted, true = it.points
    errors = CM * (predicted - true) @ target.to_canonical.mT
    unmirrored = errors[:, list(MIRROR68)] * errors.new_tensor([-1, 1, 1])
    errors = torch.where(target.mirrored[:, None, None], unmirrored, errors)
    return it.distance(errors[: it.pairs], errors[-it.pairs :]).mean()


class Term(NamedTuple):
    """One term.

    Attributes:
        measure: The term, unweighted; None where network or labels have no part in it.
        weight: What recipes have that say nothing; 0 leaves it out.
    """

    measure: Callable[[Comparison], Tensor | None]
    weight: float


TERMS = {
    "position_map": Term(position_map, 1.0),
    "landmarks": Term(landmarks, 1.0),
    "shape": Term(shape, 1.0),
    "openings": Term(openings, 1.0),
    "concordance": Term(concordance, 0.0),
    "consistency": Term(consistency, 0.0),
}


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
