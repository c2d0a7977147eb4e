"""Photos with their reliefs → the same, drawn in another pose and as another person.

The photo's pixels move with the face's mesh, so the label stays exact: face profiling (Zhu et al.
2016, "Face Alignment Across Large Poses", section 4), and along with it a change of identity.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from prnet.synthesis.grids import blur, pixel_grid, push_pull, read_at
from prnet.synthesis.relief import RELIEF_SIZE, Relief, nearest_point

FADE_CELLS = 4.5  # how softly a change of identity ends past the face, cells of the relief
FINE = 2  # points along each side, for each pixel of the picture
CELLS = 2, 4  # pixels, sides of the cells that stretched parts of a photo are drawn by
TORN = 6.0  # a part stretched more than this isn't drawn, pixels a point
IN_FRONT_PX = 2.0  # depth by which a stretched part hides what is behind it
FOLDED = 0.08  # a part of the photo smaller than this share of its size is seen edge-on
SEAM_PX = 4.0  # width of the transition to a foreign background


class Pose(NamedTuple):
    """N weak-perspective poses: canonical frame (cm) → a picture with y up.

    Attributes:
        scale: (N,) float32.
        rotation: (N, 3, 3) float32.
        translation: (N, 3) float32.
    """

    scale: Tensor
    rotation: Tensor
    translation: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Canonical (N, P, 3) → picture (N, P, 3), y up."""
        return self.scale[:, None, None] * (points @ self.rotation.mT) + self.translation[:, None]

    def undo(self, points: Tensor) -> Tensor:
        """Picture (N, P, 3), y up → canonical (N, P, 3)."""
        return (points - self.translation[:, None]) @ self.rotation / self.scale[:, None, None]


class Drawing(NamedTuple):
    """N pictures and what is known in them.

    Attributes:
        pictures: (N, 3, S, S) float32, RGB in [0, 255]; black where nothing is known.
        known: (N, 1, S, S) float32, 1 where the photo shows, else 0.
    """

    pictures: Tensor
    known: Tensor


def draw(
    pixels: Tensor,
    bounds: Tensor,
    relief: Relief,
    pose: Pose,
    new_pose: Pose,
    change: Tensor,
    size: int,
) -> Drawing:
    """Draw photos anew.

    Args:
        pixels: (N, 3, P, P) uint8 RGB.
        bounds: (N, 4) float32 x0 y0 x1 y1: where `pixels` hold photo; black past it.
        relief: Of these photos.
        pose: The faces' poses in photo pixels, y up.
        new_pose: Those wanted in the picture, in units of half its side, 0 its middle, y up.
        change: (N, V, 3) float32, cm: how the face model's vertices move; what surrounds the face
            follows them less and less.
        size: Side S of the pictures.

    Returns:
        Drawing. What lies behind other parts stays hidden; what no part of the photo comes to lie
        on isn't known.
    """
    photo_size, fine = pixels.shape[2], FINE * size
    nodes = _nodes(relief, photo_size)
    moved = new_pose.apply(pose.undo(nodes) + _around(change, relief))
    unit = size / 2
    moved = moved * moved.new_tensor([unit, -unit, unit]) + moved.new_tensor(
        [unit - 0.5, unit - 0.5, 0]
    )
    side = (len(pixels), 3, RELIEF_SIZE, RELIEF_SIZE)
    points = functional.interpolate(
        moved.mT.reshape(side), size=fine, mode="bilinear", align_corners=True
    ).flatten(2)
    winner = _front(points, fine, size)
    source, known = _source_of(points[:, :2], winner, fine, size)
    source, known = _close(source, known)
    places = source.permute(0, 2, 3, 1) * ((photo_size - 1) / (fine - 1))
    inside = torch.minimum(places - bounds[:, None, None, :2], bounds[:, None, None, 2:] - places)
    known = known * (inside.amin(-1)[:, None] > -0.5)
    return Drawing(read_at(pixels.float(), places) * known, known)


def _front(points: Tensor, fine: int, size: int) -> Tensor:
    """Which point of the fine grid each pixel shows, (N, size²) int64, −1 for none.

    Where the photo is stretched, its points lie apart, and what is behind would show between them:
    there a point stands for all pixels of a larger cell.
    """
    grid = points.view(len(points), 3, fine, fine)
    along = functional.pad((grid[:, :2, :, 1:] - grid[:, :2, :, :-1]).norm(dim=1), (0, 1))
    across = functional.pad((grid[:, :2, 1:] - grid[:, :2, :-1]).norm(dim=1), (0, 0, 0, 1))
    stretch = torch.maximum(along, across).flatten(1)
    places, depth = points[:, :2].mT, points[:, 2]
    winner = nearest_point(places, depth, size, stretch < TORN)
    for cell in CELLS:
        is_wide = (stretch > cell / 2) & (stretch < min(2 * cell, TORN))
        coarse = nearest_point((places + 0.5) / cell - 0.5, depth, size // cell, is_wide)
        side = (len(points), 1, size // cell, size // cell)
        coarse = functional.interpolate(coarse.double().view(side), size=size).long().flatten(1)
        front, behind = (depth.gather(1, index.clamp_min(0)) for index in (coarse, winner))
        is_front = (coarse >= 0) & ((winner < 0) | (front > behind + IN_FRONT_PX))
        winner = torch.where(is_front, coarse, winner)
    return winner


def _nodes(relief: Relief, photo_size: int) -> Tensor:
    """The relief's cells as points of the photo, (N, G², 3), y up."""
    spread = (photo_size - 1) / (RELIEF_SIZE - 1)
    grid = pixel_grid(RELIEF_SIZE, relief.depth.device).flatten(0, 1) * spread
    x, y = grid.expand(len(relief.depth), -1, -1).unbind(-1)
    return torch.stack([x, -y, relief.depth.float().flatten(1)], -1)


def _around(change: Tensor, relief: Relief) -> Tensor:
    """The change of the vertices at the relief's cells, fading past the face: (N, G², 3)."""
    vertex = relief.vertex.long().flatten(1)
    count, size = len(vertex), RELIEF_SIZE
    at_cell = change.gather(1, vertex.clamp_min(0)[..., None].expand(-1, -1, 3))
    on_face = (vertex >= 0).float().view(count, 1, size, size)
    spread = push_pull(at_cell.mT.reshape(count, 3, size, size), on_face)
    sigma = change.new_full((count,), FADE_CELLS)
    soft = blur(torch.cat([spread, on_face], 1), sigma, sigma, round(2.5 * FADE_CELLS))
    # blurring the mask makes a half at the face's edge
    fading = soft[:, :3] * (2 * soft[:, 3:]).clamp(0, 1)
    return torch.where(on_face > 0, spread, fading).flatten(2).mT


def _source_of(points: Tensor, winner: Tensor, fine: int, size: int) -> tuple[Tensor, Tensor]:
    """Which place of the fine grid each pixel shows, to first order, and whether it shows any.

    Args:
        points: (N, 2, fine²) float, where the grid's points lie in the picture.
        winner: (N, size²) int64, see `nearest_point`.
        fine: Side of the fine grid.
        size: Side of the picture.

    Returns:
        (N, 2, S, S) float: column and row of the grid; (N, 1, S, S) float, 1 or 0.
    """
    known = winner >= 0
    first = winner.clamp_min(0)
    row, column = (first // fine).clamp_max(fine - 2), (first % fine).clamp_max(fine - 2)
    first = row * fine + column

    def at(index: Tensor) -> Tensor:
        return points.gather(2, index[:, None].expand(-1, 2, -1))

    here = at(first)
    (ax, ay), (bx, by) = ((at(first + step) - here).unbind(1) for step in (1, fine))
    pixel = pixel_grid(size, points.device).flatten(0, 1).T
    dx, dy = (pixel - here).unbind(1)
    area = ax * by - ay * bx
    smallest = FOLDED / FINE**2
    area = torch.where(area.abs() < smallest, area.sign() * smallest + 1e-9, area)
    along = ((dx * by - dy * bx) / area).clamp(-1, 2)
    across = ((ax * dy - ay * dx) / area).clamp(-1, 2)
    source = torch.stack([column + along, row + across], 1).clamp(0, fine - 1)
    shape = (len(points), -1, size, size)
    return source.view(shape), known.float().view(shape)


def _close(source: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Fill pixels that fell between the grid's points from their neighbours."""
    for _ in range(2):
        share = functional.avg_pool2d(known, 3, 1, 1)
        mean = functional.avg_pool2d(source * known, 3, 1, 1) / share.clamp_min(1e-6)
        is_gap = (known == 0) & (share > 0.4)
        source = torch.where(is_gap, mean, source)
        known = torch.where(is_gap, torch.ones_like(known), known)
    return source, known


def complete(drawing: Drawing, background: Tensor, is_foreign: Tensor) -> Tensor:
    """Complete pictures where nothing is known.

    Args:
        drawing: N pictures.
        background: (N, 3, S, S) float, other pictures.
        is_foreign: (N,) bool: those to complete with the other picture, behind a soft seam; the
            rest continues its own surroundings smoothly.

    Returns:
        (N, 3, S, S) float.
    """
    filled = push_pull(drawing.pictures, drawing.known)
    sigma = drawing.known.new_full((len(background),), SEAM_PX)
    unknown = 1 - drawing.known
    seam = (2 * blur(unknown, sigma, sigma, round(2.5 * SEAM_PX)) - 0.5).clamp(0, 1)
    share = seam * unknown * is_foreign[:, None, None, None]
    return filled + share * (background - filled)
