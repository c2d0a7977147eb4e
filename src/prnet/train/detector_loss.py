"""What the detector's cells should say of a scene, and how far they are from it."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from prnet.detect.cells import STRIDES
from prnet.networks.detector import decode

# √(w·h) of the faces in strides that a level's cells may answer for; neighbours share some
LEVEL_REACH = {8: (0.0, 8.0), 16: (1.5, 10.0), 32: (2.0, 1e9)}
# how far from a face's center its cells lie at most: in units of its size, and in strides
CENTER_REACH, CENTER_STRIDES = 0.3, 0.8
TOP_CELLS = 9  # of the best-fitting cells become the face's own
SCORE_POWER, FIT_POWER = 0.5, 4.0  # how the fit weighs score against overlap
# What a cell's score should be is this power of its fit over that of the face's best cell: nearly 1
# for all that fit well, so that a clear face scores high whichever cell happens to be the best.
SOFTNESS, LEAST_SHARE = 0.3, 0.1  # cells that fit less well than the latter are background
FOCUS = 2.0  # easy background cells count less by this power of their score
BACKGROUND_WEIGHT = 4.0
# of the box's overlap, of its width and height, of the sum of both (by which faces are cropped), of
# the face's direction
BOX_WEIGHT, SIZE_WEIGHT, SIDE_WEIGHT, ANGLE_WEIGHT = 3.0, 1.5, 2.0, 1.5
IMITATED_BOX_WEIGHT = 2.0  # of a teacher's box and direction, against its score
# A face counts by the square root of its size over this, within bounds: a blob of 15 pixels can't
# be told from a face as surely as large faces can, and mustn't score as high.
USUAL_PX, IMPORTANCE = 48.0, (0.6, 1.6)


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
        target, faces = assign(logits, boxes, centers, truth)
        ignored = _within(centers, truth.ignored) & (target == 0)
    size = (faces[..., 2] * faces[..., 3]).sqrt()
    counting = target * (size / USUAL_PX).sqrt().clamp(*IMPORTANCE)
    score = logits.sigmoid().detach()
    weight = torch.where(target > 0, counting, BACKGROUND_WEIGHT * score**FOCUS)
    weight = weight.masked_fill(ignored, 0)
    count = counting.sum().clamp(min=1)
    bce = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    score_loss = (bce * weight).sum() / count

    scene, cell = (target > 0).nonzero(as_tuple=True)
    own, own_face = counting[scene, cell], faces[scene, cell]
    found, direction = boxes[scene, cell], directions[scene, cell]
    fit, penalty = upright_overlap(found, own_face)
    size = (found[:, 2:].log() - own_face[:, 2:4].log()).abs().sum(1)
    side = (found[:, 2:].sum(1) / own_face[:, 2:4].sum(1)).log().abs()
    box_loss = BOX_WEIGHT * (1 - fit + penalty) + SIZE_WEIGHT * size + SIDE_WEIGHT * side
    aim = torch.stack([own_face[:, 4].cos(), own_face[:, 4].sin()], -1)
    angle_loss = ANGLE_WEIGHT * functional.smooth_l1_loss(
        direction, aim, beta=0.2, reduction="none"
    ).sum(1)
    return Losses(score_loss, (box_loss * own).sum() / count, (angle_loss * own).sum() / count)


def imitation_loss(cells: Tensor, wanted: Tensor) -> Tensor:
    """How far cells are from what a teacher's say, (N, C, 7) each: a scalar."""
    aim, score = wanted[..., 0].sigmoid(), cells[..., 0].sigmoid().detach()
    bce = functional.binary_cross_entropy_with_logits(cells[..., 0], aim, reduction="none")
    # where both agree there is nothing to learn; elsewhere faces and what looks like them count
    score_loss = (bce * torch.maximum(aim, BACKGROUND_WEIGHT * score**FOCUS)).sum()
    rest = functional.smooth_l1_loss(cells[..., 1:], wanted[..., 1:], beta=0.1, reduction="none")
    return (score_loss + IMITATED_BOX_WEIGHT * (rest.sum(-1) * aim).sum()) / aim.sum().clamp(min=1)


def assign(logits: Tensor, boxes: Tensor, centers: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Choose each face's cells.

    Args:
        logits: (N, C) float.
        boxes: (N, C, 4) float, see `decode`.
        centers: (C, 3).
        truth: Of the same scenes.

    Returns:
        (N, C) float32 what the score should be: 1 for each face's best cell, less for the next
        ones, 0 for background; and (N, C, 5) float32, the box of the face that the cell belongs to.
    """
    scene, _ = truth.is_face.nonzero(as_tuple=True)
    faces = truth.boxes[truth.is_face]  # (F, 5), of all scenes
    share = torch.zeros_like(logits)
    own = torch.ones((*logits.shape, 5), dtype=boxes.dtype, device=boxes.device)
    if not len(faces):
        return share, own
    size = (faces[:, 2] * faces[:, 3]).sqrt()
    xy, stride = centers[:, :2], centers[:, 2]
    away = (faces[:, None, :2] - xy).norm(dim=-1)  # (F, C)
    reach = torch.maximum(CENTER_REACH * size[:, None], CENTER_STRIDES * stride)
    relative = size[:, None] / stride
    bounds = torch.tensor([LEVEL_REACH[int(s)] for s in STRIDES], device=centers.device)
    low, high = bounds[(stride.log2() - 3).long()].unbind(-1)
    may = (away <= reach) & (relative >= low) & (relative < high)
    # the few cells in reach of each face: pairs of both
    face, cell = may.nonzero(as_tuple=True)
    fit, _ = upright_overlap(boxes[scene[face], cell], faces[face])
    quality = logits[scene[face], cell].sigmoid() ** SCORE_POWER * fit**FIT_POWER + 1e-9
    table = torch.zeros_like(away)
    table[face, cell] = quality
    best = table.topk(min(TOP_CELLS, table.shape[-1]), -1).values
    kept = quality >= torch.maximum(best[face, -1], LEAST_SHARE * best[face, 0])
    face, cell, fit = face[kept], cell[kept], fit[kept]
    value = (quality[kept] / best[face, 0]) ** SOFTNESS
    # a cell in reach of two faces belongs to the one that it fits better: that comes last
    order = fit.argsort()
    face, cell, value = face[order], cell[order], value[order]
    face, cell, value = _last_of_each(face, cell, value, scene, len(centers))
    share[scene[face], cell] = value
    own[scene[face], cell] = faces[face]
    return share, own


def _last_of_each(
    face: Tensor, cell: Tensor, value: Tensor, scene: Tensor, cells: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Of pairs of one cell keep the last."""
    place = scene[face] * cells + cell
    last = torch.full((int(place.max()) + 1,), -1, device=place.device)
    last.scatter_reduce_(0, place, torch.arange(len(place), device=place.device), "amax")
    kept = last[place] == torch.arange(len(place), device=place.device)
    return face[kept], cell[kept], value[kept]


def upright_overlap(boxes: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
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
