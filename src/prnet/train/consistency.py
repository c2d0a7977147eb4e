"""Two predictions of one face → how much they contradict each other."""

import torch
from torch import Tensor

from prnet.landmarks import MIRROR68
from prnet.networks.lite import Prediction
from prnet.train.loss import CM
from prnet.train.targets import Target


def pair_consistency(
    prediction: Prediction, target: Target, first: Tensor, mirrored: Tensor
) -> Tensor:
    """How differently the landmarks err on one face's two crops, in its own frame.

    Args:
        prediction: Of N + P crops, the last P showing again what others show, with the crop moved
            or mirrored.
        target: Theirs, with `to_canonical`.
        first: (P,) int64, the crops that come again.
        mirrored: (N + P,) bool.

    Returns:
        Mean distance, half crop sides.
    """
    assert target.to_canonical is not None  # labels are a face model's
    errors = CM * (prediction.landmarks68 - target.landmarks68) @ target.to_canonical.mT
    flipped = errors[:, list(MIRROR68)] * errors.new_tensor([-1, 1, 1])
    errors = torch.where(mirrored[:, None, None], flipped, errors)
    difference = errors[first] - errors[len(errors) - len(first) :]
    return (difference.square().sum(-1) + 1e-10).sqrt().mean()


def distillation(student: Prediction, teacher: Prediction, weight: Tensor) -> Tensor:
    """How far a network's faces lie from another's.

    Args:
        student: Of N crops.
        teacher: Of the same crops, without gradient; map and shape of the same UV places.
        weight: (M, M) float, of the map's pixels, summing to 1.

    Returns:
        Mean distance of maps, landmarks and shapes, each as the loss weighs it, half crop sides.
    """

    def distance(first: Tensor, second: Tensor) -> Tensor:
        return ((first - second).square().sum(-1) + 1e-10).sqrt()

    maps = (weight * distance(student.position_map, teacher.position_map)).sum((1, 2)).mean()
    landmarks = distance(student.landmarks68, teacher.landmarks68).mean()
    assert student.shape is not None and teacher.shape is not None  # both separate the pose
    shape = (weight * distance(CM * student.shape, CM * teacher.shape)).sum((1, 2)).mean()
    return maps + landmarks + shape
