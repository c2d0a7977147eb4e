"""A larger network's answers as a smaller one's goal."""

from torch import Tensor

from prnet.networks.prediction import Prediction
from prnet.train.terms import CM


def distillation(student: Prediction, teacher: Prediction, map_weight: Tensor) -> Tensor:
    """How far a network's faces lie from another's.

    Args:
        student: Of N crops.
        teacher: Of the same crops, without gradient; maps and shapes at the same UV places.
        map_weight: (M, M), of the map's pixels; sums to 1.

    Returns:
        Mean distance of the maps, the landmarks and the shapes, added, in units of half the crop's
        side.

    Raises:
        ValueError: One of them doesn't separate the pose.
    """
    if student.shape is None or teacher.shape is None:
        raise ValueError("student and teacher must both separate pose and shape")

    def distance(first: Tensor, second: Tensor) -> Tensor:
        return ((first - second).square().sum(-1) + 1e-10).sqrt()

    def over_map(first: Tensor, second: Tensor) -> Tensor:
        return (map_weight * distance(first, second)).sum((1, 2)).mean()

    maps = over_map(student.position_map, teacher.position_map)
    landmarks = distance(student.landmarks68, teacher.landmarks68).mean()
    return maps + landmarks + over_map(CM * student.shape, CM * teacher.shape)
