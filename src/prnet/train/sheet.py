"""A recipe's samples → one picture to look at before training on them."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError
from prnet.train.dataset import TrainingBatches
from prnet.train.targets import CoefficientTargets, MapTargets

TILE_PX = 224
WIRE_STEPS = 24  # wires of the mesh along each side of the map


def draw_sheet(
    batches: TrainingBatches,
    targets: CoefficientTargets | MapTargets,
    out: str | os.PathLike[str],
    columns: int = 8,
) -> None:
    """Draw the first batch of a run: every crop with its landmarks and a wireframe of its map.

    Args:
        batches: Of the recipe.
        targets: Of the recipe.
        out: Picture to write; its ending says the format.
        columns: Crops side by side.

    Raises:
        OutputError: The picture can't be written.
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
    out = Path(out)
    is_encoded, encoded = cv2.imencode(
        out.suffix or ".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    )
    if not is_encoded:
        raise OutputError(f"{out}: can't be written as a picture of that kind")
    try:
        temporary = out.with_name(out.name + ".partial")
        temporary.write_bytes(encoded.tobytes())
        temporary.replace(out)
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error})") from error


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
