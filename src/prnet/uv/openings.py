"""What closes the mesh's openings: eyes, mouth and nostrils have no skin, and so no triangles."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.landmarks import EYES, MOUTH
from prnet.uv.atlas import Atlas


@cache
def film_triangles(atlas: Atlas, of: str = "all") -> NDArray[np.int64]:
    """Span the openings with triangles of map pixels, whose points are the nearest skin's.

    The position map is complete, so the film has a place in every photo: what shows there, eyeballs
    or teeth, can be taken from the photo at its points.

    Args:
        atlas: The UV space.
        of: "all", "eyes" or "mouth".

    Returns:
        (F, 3) int64, flat map indices, counter-clockwise seen from outside with y up.
    """
    mask = atlas.mask
    side = len(mask)
    gaps = np.asarray(cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)[1], int)
    rim = np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]])
    is_open = ~mask & ~np.isin(gaps, rim)
    inside = mask | is_open
    if of != "all":
        wanted = [_opening_at(gaps, is_open, atlas, part) for part in _PARTS[of]]
        chosen = (is_open & np.isin(gaps, wanted)).astype(np.uint8)
        inside &= cv2.dilate(chosen, np.ones((3, 3))) > 0
    squares = inside[:-1, :-1] & inside[:-1, 1:] & inside[1:, :-1] & inside[1:, 1:]
    rows, columns = np.divmod(atlas.vertex_index[atlas.triangles], side)
    squares[rows.min(1), columns.min(1)] = False  # the mesh has these
    rows, columns = np.nonzero(squares)
    a = rows * side + columns
    b, c, d = a + 1, a + side, a + side + 1
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int64)


_PARTS = {"eyes": EYES, "mouth": (MOUTH,)}


def _opening_at(
    gaps: NDArray[np.integer],
    is_open: NDArray[np.bool_],
    atlas: Atlas,
    part: tuple[tuple[tuple[int, int], ...], tuple[int, int]],
) -> int:
    """The number of the opening that lies amid these landmarks."""
    across, along = part
    points = [point for pair in (*across, along) for point in pair]
    middle = atlas.landmarks68_uv[points].mean(0) * len(gaps) - 0.5
    rows, columns = np.nonzero(is_open)
    nearest = np.argmin((columns - middle[0]) ** 2 + (rows - middle[1]) ** 2)
    return int(gaps[rows[nearest], columns[nearest]])
