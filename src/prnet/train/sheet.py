"""A recipe's samples → one picture to look at before training on them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.train.batches import TrainingBatches
from prnet.train.targets import CoefficientTargets, MapTargets

TILE_PX = 224  # side of a crop in the picture
WIRE_STEPS = 24  # wires of the mesh along each side of the map


def draw_sheet(
    batches: TrainingBatches, targets: CoefficientTargets | MapTargets, columns: int = 8
) -> NDArray[np.uint8]:
    """Draw the first batch of a run: every crop with its landmarks and a wireframe of its map.

    Args:
        batches: Of the recipe.
        targets: Of the recipe.
        columns: Crops side by side.

    Returns:
        (H, W, 3) uint8 RGB, rows of 224-pixel tiles; those after the last crop are black.
    """
    batch = batches[0]
    target = targets(batch)
    crops = batch.crops.permute(0, 2, 3, 1).numpy()
    tiles = [
        _tile(crop, maps, landmarks)
        for crop, maps, landmarks in zip(
            crops, target.position_map.numpy(), target.landmarks68.numpy(), strict=True
        )
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _tile(
    crop: NDArray[np.uint8], position_map: NDArray[np.float32], landmarks: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """One crop with what its label says."""
    tile = cv2.resize(crop, (TILE_PX, TILE_PX), interpolation=cv2.INTER_CUBIC)
    chosen = np.linspace(0, len(position_map) - 1, WIRE_STEPS).astype(int)
    wires = (position_map[np.ix_(chosen, chosen)][..., :2] + 1) / 2 * TILE_PX - 0.5
    fixed = np.rint(wires * 16).astype(np.int32)  # four binary digits after the point
    lines = [*fixed, *np.ascontiguousarray(fixed.transpose(1, 0, 2))]
    cv2.polylines(tile, lines, False, (90, 200, 255), 1, cv2.LINE_AA, shift=4)
    for x, y in (landmarks[:, :2] + 1) / 2 * TILE_PX - 0.5:
        cv2.circle(tile, (round(x * 16), round(y * 16)), 28, (60, 255, 60), -1, cv2.LINE_AA, 4)
    return tile.astype(np.uint8)
