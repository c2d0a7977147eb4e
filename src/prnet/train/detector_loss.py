"""What the detector's cells should say of a scene, and how far they are from it."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from prnet.networks.detector import decode

# √(w·h) of the faces in strides that a level's cells may answer for; neighbours share some
LEVEL_REACH = {8: (0.0, 8.0), 16: (1.5, 10.0), 32: (2.0, 1e9)}
# how far from a face's center its cells lie at most: in units of its size, and in strides
CENTER_REACH, CENTER_STRIDES = 0.3, 0.8
TOP_CELLS = 9  # of the best-fitting cells become the face's own
SCORE_POWER, FIT_POWER = 0.5, 4.0  # how the fit weighs score against overlap
FOCUS = 2.0  # easy background cells count less by this power of their score
BACKGROUND_WEIGHT = 0.75
BOX_WEIGHT, SIZE_WEIGHT, ANGLE_WEIGHT = 2.0, 1.0, 1.0


class Truth(NamedTuple):
    """Batched scenes' labels, padded to M rows.

    Attributes:
        boxes: (N, M, 5) float32 center x, y, width, height, angle; pixels, radians.
        is_face: (N, M) bool, false for padding.
        ignored: (N, K, 4) float32 x0 y0 x1 y1, all 0 for padding.
    """

    boxes: Tensor
    is_face: Tensor
    ignored: Tensor


class Losses(NamedTuple):
    """The loss's parts, each a scalar; the total is their sum."""

    score: Tensor
    box: Tensor
    angle: Tensor


def detector_loss(cells: Tensor, centers: Tensor, truth: Truth) -> Losses:
    """Compare cells with the truth.

    Args:
        cells: (N, C, 7) float32, see `Detector.forward`.
        centers: (C, 3), see `prnet.detect.cells.cell_centers`.
        truth: Of the same scenes.

    Returns:
        The parts, weighted.

    Source: the assignment is TOOD's (Feng et al. 2021), without the overlap in its scores; the
    score's loss is VarifocalNet's (Zhang et al. 2021), the box's CIoU's (Zheng et al. 2020).
    """
    logits, boxes, directions = decode(cells, centers)
    with torch.no_grad():
        target, face = assign(logits, boxes, centers, truth)
        ignored = _within(centers, truth.ignored) & (target == 0)
    score = logits.sigmoid().detach()
    weight = torch.where(target > 0, target, BACKGROUND_WEIGHT * score**FOCUS)
    weight = weight.masked_fill(ignored, 0)
    count = target.sum().clamp(min=1)
    bce = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    score_loss = (bce * weight).sum() / count

    scene, cell = (target > 0).nonzero(as_tuple=True)
    own, own_face = target[scene, cell], truth.boxes[scene, face[scene, cell]]
    found, direction = boxes[scene, cell], directions[scene, cell]
    fit, penalty = _upright_overlap(found, own_face)
    size = (found[:, 2:].log() - own_face[:, 2:4].log()).abs().sum(1)
    box_loss = BOX_WEIGHT * (1 - fit + penalty) + SIZE_WEIGHT * size
    aim = torch.stack([own_face[:, 4].cos(), own_face[:, 4].sin()], -1)
    angle_loss = ANGLE_WEIGHT * functional.smooth_l1_loss(
        direction, aim, beta=0.2, reduction="none"
    ).sum(1)
    return Losses(score_loss, (box_loss * own).sum() / count, (angle_loss * own).sum() / count)


def assign(logits: Tensor, boxes: Tensor, centers: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Choose each face's cells.

    Args:
        logits: (N, C) float.
        boxes: (N, C, 4) float, see `decode`.
        centers: (C, 3).
        truth: Of the same scenes.

    Returns:
        (N, C) float32 what the score should be: 1 for each face's best cell, less for the next
        ones, 0 for background; and (N, C) int64, whose face it is.
    """
    faces = truth.boxes
    size = (faces[..., 2] * faces[..., 3]).clamp(min=1e-6).sqrt()
    xy, stride = centers[:, :2], centers[:, 2]
    away = (faces[:, :, None, :2] - xy).norm(dim=-1)  # (N, M, C)
    reach = torch.maximum(CENTER_REACH * size[..., None], CENTER_STRIDES * stride)
    relative = size[..., None] / stride
    bounds = torch.tensor([LEVEL_REACH[int(s)] for s in (8, 16, 32)], device=centers.device)
    low, high = bounds[(stride.log2() - 3).long()].unbind(-1)
    may = (away <= reach) & (relative >= low) & (relative < high) & truth.is_face[..., None]
    fit = _pairwise_overlap(faces, boxes)
    quality = logits.sigmoid()[:, None] ** SCORE_POWER * fit**FIT_POWER + 1e-9
    quality = quality.masked_fill(~may, 0)
    least = quality.topk(min(TOP_CELLS, quality.shape[-1]), -1).values[..., -1:]
    quality = quality.masked_fill(quality < least.clamp(min=1e-12), 0)
    best = quality.amax(-1, keepdim=True).clamp(min=1e-12)
    # a cell in reach of two faces belongs to the one that it fits better
    owner = (quality > 0).float().mul(fit + 1e-6).argmax(1)
    share = (quality / best).gather(1, owner[:, None])[:, 0]
    return share, owner


def _pairwise_overlap(faces: Tensor, boxes: Tensor) -> Tensor:
    """Faces (N, M, 5) and boxes (N, C, 4) → (N, M, C) overlap, upright with the face."""
    cos, sin = faces[..., 4].cos()[..., None], faces[..., 4].sin()[..., None]
    dx = boxes[:, None, :, 0] - faces[:, :, None, 0]
    dy = boxes[:, None, :, 1] - faces[:, :, None, 1]
    shared = torch.ones_like(dx)
    for axis, along in enumerate((cos * dx + sin * dy, cos * dy - sin * dx)):
        half, other = faces[:, :, None, 2 + axis] / 2, boxes[:, None, :, 2 + axis] / 2
        shared = shared * (
            torch.minimum(half, along + other) - torch.maximum(-half, along - other)
        ).clamp(min=0)
    area = (faces[..., 2] * faces[..., 3])[..., None] + (boxes[..., 2] * boxes[..., 3])[:, None]
    return shared / (area - shared).clamp(min=1e-6)


def _upright_overlap(boxes: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (P, 4) and their faces (P, 5) → overlap and CIoU's distance of centers, (P,) each."""
    cos, sin = faces[:, 4].cos(), faces[:, 4].sin()
    dx, dy = (boxes[:, :2] - faces[:, :2]).unbind(-1)
    along = torch.stack([cos * dx + sin * dy, cos * dy - sin * dx], -1)
    half, other = faces[:, 2:4] / 2, boxes[:, 2:] / 2
    shared = torch.minimum(half, along + other) - torch.maximum(-half, along - other)
    shared = shared.clamp(min=0).prod(-1)
    union = 4 * (half.prod(-1) + other.prod(-1)) - shared
    around = torch.maximum(half, along + other) - torch.minimum(-half, along - other)
    return shared / union, along.square().sum(-1) / around.square().sum(-1)


def _within(centers: Tensor, regions: Tensor) -> Tensor:
    """Which cells (C, 3) lie in any of the regions (N, K, 4): (N, C) bool."""
    x, y = centers[:, 0], centers[:, 1]
    x0, y0, x1, y1 = regions[..., None].unbind(2)
    return ((x > x0) & (x < x1) & (y > y0) & (y < y1)).any(1)
