"""Photo and label → relief: the depth of every part of the photo, and which part is which vertex.

A photo with its relief can be drawn from elsewhere, and as another person (`warp`). The relief is a
grid much coarser than the photo: faces are smooth.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from prnet.synthesis.grids import push_pull

RELIEF_SIZE = 64  # side of the grid; at 224 photo pixels a cell is 3.5 of them
ASIDE = 4096
DEPTH_STEPS = 64  # steps of depth per pixel in the z-buffer


class Relief(NamedTuple):
    """The shape of N photos' contents on a grid whose corners are the photos' corner pixels.

    Attributes:
        depth: (N, G, G) float16, photo pixels, z toward the viewer; smooth past the face.
        vertex: (N, G, G) int16, the face model's vertex seen there, −1 past the face.
    """

    depth: Tensor
    vertex: Tensor


def build_relief(points: Tensor, photo_size: int) -> Relief:
    """Find the relief of photos.

    Args:
        points: (N, V, 3) float32, the faces' vertices in the photo frame, pixels, y down.
        photo_size: Side of the photos in pixels.

    Returns:
        Relief of N photos. A cell shows the vertex nearest to the viewer of those in it.
    """
    count, size = len(points), RELIEF_SIZE
    scale = (size - 1) / (photo_size - 1)
    winner = nearest_point(points[..., :2] * scale, points[..., 2], size)
    known = winner >= 0
    index = winner.clamp_min(0)
    depth = points[..., 2].gather(1, index).view(count, 1, size, size)
    mask = known.view(count, 1, size, size).to(depth.dtype)
    # a cell that no vertex fell into, between cells of the face, belongs to the face
    closed = -functional.max_pool2d(-functional.max_pool2d(mask, 3, 1, 1), 3, 1, 1)
    spread = functional.max_pool2d((winner.view(count, 1, size, size) + 1).float(), 3, 1, 1) - 1
    vertex = torch.where(mask > 0, winner.view(count, 1, size, size).float(), spread)
    vertex = torch.where(torch.maximum(closed, mask) > 0, vertex, -1.0)
    filled = push_pull(depth, mask)[:, 0]
    return Relief(filled.half(), vertex[:, 0].short())


def nearest_point(places: Tensor, depth: Tensor, size: int, chosen: Tensor | None = None) -> Tensor:
    """Find, for each pixel, the point nearest to the viewer of those that fall into it.

    Args:
        places: (N, P, 2) float, x and y in pixels.
        depth: (N, P) float, pixels, larger is nearer; within ±250 of 0.
        size: Side of the picture.
        chosen: (N, P) bool, the points that count; None for all.

    Returns:
        (N, size²) int64, the point's number, −1 where none fell.
    """
    count, points = depth.shape
    bits = max(points - 1, 1).bit_length()
    column, row = places.round().long().unbind(-1)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    if chosen is not None:
        inside = inside & chosen
    number = torch.arange(points, device=depth.device)
    # points that don't count go to places of their own: one for all would make them queue
    pixel = torch.where(inside, row * size + column, size * size + number % ASIDE)
    steps = ((depth + 256) * DEPTH_STEPS).long().clamp(0, (1 << 15) - 1)
    key = (steps << bits) | number
    nearest = key.new_full((count, size * size + ASIDE), -1)
    nearest.scatter_reduce_(1, pixel, key, "amax")
    nearest = nearest[:, : size * size]
    return torch.where(nearest >= 0, nearest & ((1 << bits) - 1), nearest)
