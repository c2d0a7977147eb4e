"""How well a network does on photos that it doesn't learn from, while it learns."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from prnet.geometry.sampling import spread_evenly
from prnet.networks.prediction import Prediction
from prnet.train.loss import nme68
from prnet.train.samples import Batch
from prnet.train.sources import Source
from prnet.train.targets import CoefficientTargets, MapTargets

EVALUATED_PHOTOS = 256  # of the validation split, with their rotated copies
EVALUATED_BATCH = 32

# batches, each with (N, 2): |yaw| in degrees and whether rotated
PlainBatches = list[tuple[Batch, NDArray[np.float64]]]


def plain_batches(source: Source) -> PlainBatches:
    """What `validate` wants, of photos spread over a source, without augmentation."""
    photos = spread_evenly(source.photos, EVALUATED_PHOTOS)
    rows = [row for photo in photos for row in source.plain(photo)]
    parts = [rows[k : k + EVALUATED_BATCH] for k in range(0, len(rows), EVALUATED_BATCH)]
    return [
        (
            source.stack([sample for sample, _, _ in part]),
            np.array([[yaw, rotated] for _, yaw, rotated in part], np.float64),
        )
        for part in parts
    ]


@torch.no_grad()
def validate(
    predict: Callable[[Batch], Prediction],
    targets: CoefficientTargets | MapTargets,
    batches: Iterable[tuple[Batch, NDArray[np.float64]]],
) -> dict[str, float]:
    """Measure a network's errors.

    Args:
        predict: The network.
        targets: Batch → Target.
        batches: See `plain_batches`; on the network's device.

    Returns:
        68-point NME in % of original photos and of rotated copies by yaw, and the error of the
        pose-free shape as a share of the mean face's; NaN for what data or network haven't got.
    """
    errors, kinds, shape_error, mean_error = [], [], [], []
    for batch, kind in batches:
        prediction, target = predict(batch), targets(batch)
        errors.append(100 * nme68(prediction.landmarks68, target.landmarks68))
        kinds.append(kind)
        if prediction.shape is not None and isinstance(targets, CoefficientTargets):
            face = targets.is_face
            truth = target.shape.flatten(1, 2)[:, face]
            predicted = prediction.shape.flatten(1, 2)[:, face]
            shape_error.append((predicted - truth).norm(dim=2).mean(1))
            mean_error.append((targets.mean[face] - truth).norm(dim=2).mean(1))
    nme, (yaw, rotated) = torch.cat(errors).cpu().numpy(), np.concatenate(kinds).T
    is_rotated = rotated > 0

    def mean(chosen: NDArray[np.bool_]) -> float:
        return float(nme[chosen].mean()) if chosen.any() else float("nan")

    ratio = float("nan")
    if shape_error:
        ratio = float(torch.cat(shape_error).mean() / torch.cat(mean_error).mean())
    return {
        "nme": mean(~is_rotated),
        "nme_rotated_30_60": mean(is_rotated & (yaw > 30) & (yaw <= 60)),
        "nme_rotated_60_90": mean(is_rotated & (yaw > 60)),
        "shape_ratio": ratio,
    }
