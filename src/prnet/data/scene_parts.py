"""Regions of photos that are pasted into scenes, and what is left of a face that is cut up."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.scene_canvas import similarity_matrix


def jittered(
    region: tuple[float, ...], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A region with each side moved outward a little."""
    x0, y0, x1, y1 = region
    a, b, c, d = rng.uniform(0, 0.3, 4) * (x1 - x0)
    return x0 - a, y0 - b, x1 + c, y1 + d


def shared_part(region: tuple[float, ...], box: NDArray[np.floating]) -> float:
    """The part of the smaller of two boxes that both cover."""
    width = min(region[2], box[2]) - max(region[0], box[0])
    height = min(region[3], box[3]) - max(region[1], box[1])
    smaller = min(
        (region[2] - region[0]) * (region[3] - region[1]), (box[2] - box[0]) * (box[3] - box[1])
    )
    return float(max(width, 0) * max(height, 0) / smaller)


def shuffled(
    photo: NDArray[np.uint8], face: NDArray[np.floating], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """A face cut into 3 × 3 or 4 × 4 parts that change places and turn: skin and parts, no face."""
    parts = int(rng.integers(3, 5))
    step = 24
    side = parts * step
    half = face[2:4].max() * 0.5
    matrix = similarity_matrix(0.0, side / (2 * half))
    matrix[:, 2] = side / 2 - matrix[:, :2] @ face[:2]
    square = cv2.warpAffine(photo, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    blocks = square.reshape(parts, step, parts, step, 3).swapaxes(1, 2).reshape(-1, step, step, 3)
    # no part stays where it was: a derangement by rotation of a random order
    order = rng.permutation(len(blocks))
    mixed = np.empty_like(blocks)
    mixed[order] = blocks[np.roll(order, 1)]
    mixed = np.stack([np.rot90(block, int(rng.integers(4))) for block in mixed])
    grid = mixed.reshape(parts, parts, step, step, 3).swapaxes(1, 2).reshape(side, side, 3)
    return np.ascontiguousarray(grid, np.uint8), (0.0, 0.0, side - 1.0, side - 1.0)
