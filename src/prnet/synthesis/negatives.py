"""Crops without a face: landscapes, corners of photos, faces in pieces, and blotches."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from prnet.synthesis.grids import pixel_grid, read_at

TILES = 4  # along each side of a shuffled crop
SHARES = (0.45, 0.25, 0.15)  # backgrounds, corners of photos, shuffled faces; blotches the rest
CORNER = 0.19  # side of a photo's corner that its face's box stays out of, in photo sides


def draw_negatives(
    backgrounds: Tensor, photos: Tensor, crops: Tensor, count: int, dice: torch.Generator
) -> Tensor:
    """Draw K = count crops.

    Args:
        backgrounds: (B, 3, H, W) uint8 RGB, pictures without a face.
        photos: (P, 3, S, S) uint8 RGB, each with a face in its middle (see `prnet.data.pack`).
        crops: (N, 3, C, C) float, crops with a face, N ≥ K.
        count: How many.
        dice: On their device.

    Returns:
        (K, 3, C, C) float32 in [0, 255].
    """
    size, device = crops.shape[2], crops.device
    first, second, third = (round(share * count) for share in SHARES)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=dice)

    def windows(pictures: Tensor, number: int, side: Tensor, low: Tensor) -> Tensor:
        """Squares of random pictures, `side` and `low` (corner) in shares of the picture."""
        pick = (uniform(number) * len(pictures)).long()
        extent = pictures.shape[2]
        share = (pixel_grid(size, device) + 0.5) / size
        centred = (share - 0.5) * side[:, None, None, None]
        turn = (uniform(number) - 0.5) * math.pi / 2
        c, s = turn.cos()[:, None, None], turn.sin()[:, None, None]
        x, y = centred.unbind(-1)
        turned = torch.stack([c * x - s * y, s * x + c * y], -1)
        places = (turned + (low + side[:, None] / 2)[:, None, None]) * extent - 0.5
        return read_at(pictures[pick].float(), places)

    side = torch.exp(math.log(0.15) + (0 - math.log(0.15)) * uniform(first))
    low = uniform(first, 2) * (1 - side[:, None])
    landscapes = windows(backgrounds, first, side, low)
    side = CORNER * (0.6 + 0.4 * uniform(second))
    low = uniform(second, 2).round() * (1 - side[:, None])
    corners = windows(photos, second, side, low)
    tile = size // TILES
    pieces = crops[:third].reshape(third, 3, TILES, tile, TILES, tile)
    pieces = pieces.permute(0, 2, 4, 1, 3, 5).reshape(third, TILES**2, 3, tile, tile)
    order = uniform(third, TILES**2).argsort(1)
    pieces = pieces.gather(1, order[:, :, None, None, None].expand_as(pieces))
    pieces = pieces.view(third, TILES, TILES, 3, tile, tile).permute(0, 3, 1, 4, 2, 5)
    rest = count - first - second - third
    blotches = 255 * uniform(rest, 3, 1, 1)
    for grain in (3, 9, 40):
        layer = torch.randn(rest, 3, grain, grain, device=device, generator=dice)
        strength = 60 * uniform(rest, 1, 1, 1)
        blotches = blotches + strength * functional.interpolate(layer, size=size, mode="bilinear")
    shuffled = pieces.reshape(third, 3, size, size)
    return torch.cat([landscapes, corners, shuffled, blotches.clamp(0, 255)])
