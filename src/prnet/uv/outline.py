"""Photo + position map → the map moved so that its profile's outline meets the photo's.

A network's profile lies a few hundredths of the face beside the photo's. Read off there, the ridge
of the nose, lips and chin would get the background's colors.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.uv.atlas import Atlas
from prnet.uv.visibility import MeshView

MIN_TURN = 0.5  # sine of the angle to the viewer under which the midline is no outline
# all in shares of the face's size, along the outline's normal: how far from the map's outline the
# photo's is looked for, in which steps, and from where to where skin and background are learned
REACH, STEP = 0.045, 0.003
SKIN_ZONE, BACKGROUND_ZONE = (-0.11, -0.03), (0.05, 0.11)
BEYOND = 0.012  # so far outside an outline there is nothing of the face
MIN_ACROSS = 0.7  # of an outline's unit normals, least length across the view
HOLE_ROWS, HOLE_COLUMNS = 17, 5  # map pixels around openings, whose rims are no outlines
NORMAL_ROWS, LEARNED_ROWS, MOVED_ROWS = 2.5, 10, 4.0  # map rows: sigma; each way; sigma
LEAST_ROWS = 20  # of an outline that can be trusted
LUMA_SHARE = 0.3  # light changes along a face, hue hardly
CONTRAST = 25.0  # distance of background from skin, in levels of that space, that is plain
BORDER_SHARE = 0.35  # of background in a pixel from which it counts as such
STRAIGHTNESS, NEARNESS = 0.1, 0.6  # what steps along and away from the map's outline cost
MIDLINE = (0.1, 0.2)  # distances from u = ½ between which an outline ceases to be the midline's
GAP_ROWS = (8, 24)  # map rows from the nearest known outline over which the move fades
RADIUS = 0.15  # share of the face's size from the outline inward over which the move fades


def meet_outline(
    image: NDArray[np.uint8],
    position_map: NDArray[np.float32],
    atlas: Atlas,
    view: MeshView,
    rotation: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Move a position map across the photo so that its profile's outline meets the photo's.

    Along the outline's normals the border between skin and background is the one that parts their
    colors best, by dynamic programming from row to row of the map; contrast that isn't there moves
    nothing.

    Args:
        image: (H, W, 3) uint8 RGB.
        position_map: (M, M, 3) float32, photo frame.
        atlas: The UV space.
        view: The map's mesh.
        rotation: (3, 3) float, canonical frame → photo frame with y up.

    Returns:
        (M, M, 3) float32, photo frame, a new array; unmoved if the midline is no outline.
    """
    size = view.extent
    outline = _find_outline(position_map, atlas, view, rotation)
    if outline is None:
        return position_map.copy()
    rows, columns, across = outline
    points = position_map[rows, columns, :2]
    profiles = _read_profiles(image, points, across, size)
    offsets = _place_border(profiles, points, size)
    moves = _spread_rows(offsets[:, None] * across * size, rows, columns, len(position_map))
    every = np.arange(len(position_map))
    places = [np.interp(every, rows, points[:, axis]) for axis in (0, 1)]
    apart = np.linalg.norm(position_map[..., :2] - np.stack(places, 1)[:, None], axis=2) / size
    share = np.clip(1 - apart / RADIUS, 0, 1)
    share *= share * (3 - 2 * share)
    moved = position_map.copy()
    moved[..., :2] += moves[:, None] * share[..., None]
    return moved


def _find_outline(
    position_map: NDArray[np.float32],
    atlas: Atlas,
    view: MeshView,
    rotation: NDArray[np.floating],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]] | None:
    """The map's rows and columns (K,) that are a face's outline, and its normals (K, 2).

    In each row that is the point furthest where the face looks.
    """
    ahead = rotation[:2, 2] * [1, -1]
    turn = float(np.linalg.norm(ahead))
    if turn < MIN_TURN or not view.extent > 0:
        return None
    reach = np.where(atlas.mask, position_map[..., :2] @ (ahead / turn), -np.inf)
    rows = np.flatnonzero(atlas.mask.any(1))
    columns = reach.argmax(1)[rows]
    across = atlas.spread(view.normals)[rows, columns, :2] * [1.0, -1.0]
    around = np.ones((HOLE_ROWS, HOLE_COLUMNS), np.uint8)
    near_hole = cv2.dilate((~atlas.mask).astype(np.uint8), around)[rows, columns] > 0
    is_outline = ~near_hole & (np.linalg.norm(across, axis=1) > MIN_ACROSS)
    across = _blur_rows(across * is_outline[:, None], NORMAL_ROWS)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    is_outline &= ~view.covers(position_map[rows, columns, :2] + across * BEYOND * view.extent)
    if is_outline.sum() < LEAST_ROWS:
        return None
    return rows[is_outline], columns[is_outline], across[is_outline]


def _read_profiles(
    image: NDArray[np.uint8],
    points: NDArray[np.floating],
    normals: NDArray[np.floating],
    size: float,
) -> NDArray[np.float64]:
    """How much of the background the photo shows along the normals, (K, 2 · steps), outward.

    From BORDER_SHARE less than 0 for skin to positive for background, less where they look alike.
    """
    count = round(BACKGROUND_ZONE[1] / STEP)
    offsets = (np.arange(-count, count) + 0.5) * STEP
    places = points[:, None] + normals[:, None] * (offsets[:, None] * size)
    low = np.maximum(np.floor(places.min((0, 1))), 0).astype(int)
    high = np.maximum(np.ceil(places.max((0, 1))) + 1, 0).astype(int)
    cut = image[low[1] : high[1], low[0] : high[0]]
    middle = slice(count - round(REACH / STEP), count + round(REACH / STEP))
    if cut.size == 0:
        return np.zeros((len(points), offsets[middle].size))
    places = places - low
    height, width = cut.shape[:2]
    is_photo = ((places > -0.5) & (places < [width - 0.5, height - 0.5])).all(2)
    if STEP * size > 1.5:  # pixels: average over a step
        small = max(round(width / (STEP * size)), 1), max(round(height / (STEP * size)), 1)
        places = (places + 0.5) * (np.array(small) / [width, height]) - 0.5
        cut = np.asarray(cv2.resize(cut, small, interpolation=cv2.INTER_AREA), np.uint8)
    x, y = cv2.split(places.astype(np.float32))
    luma_chroma = cv2.cvtColor(cut.astype(np.float32), cv2.COLOR_RGB2YCrCb)
    read = cv2.remap(luma_chroma, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weighted = np.asarray(read * [LUMA_SHARE, 1.0, 1.0], np.float64)
    colors = np.where(is_photo[..., None], weighted, np.nan)
    skin, background = (
        _learn(colors[:, (offsets > zone[0]) & (offsets < zone[1])])
        for zone in (SKIN_ZONE, BACKGROUND_ZONE)
    )
    apart = background - skin
    contrast = np.linalg.norm(apart, axis=1)[:, None]
    along = ((colors[:, middle] - skin[:, None]) * apart[:, None]).sum(2)
    share = along / np.maximum(contrast**2, 1e-6) - BORDER_SHARE
    return np.nan_to_num(np.clip(share, -0.5, 0.5) * np.minimum(contrast / CONTRAST, 1))


def _learn(colors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Usual colors of a zone around each row, (K, steps, 3) → (K, 3); NaN where none is known."""
    known = ~np.isnan(colors[..., 0])
    channels = np.ascontiguousarray(np.moveaxis(colors, 2, 0))
    learned = np.full((len(colors), 3), np.nan)
    for row in range(len(colors)):
        near = slice(max(row - LEARNED_ROWS, 0), row + LEARNED_ROWS + 1)
        values = channels[:, near].reshape(3, -1).compress(known[near].ravel(), 1)
        count = values.shape[1]
        if count:  # the median; NumPy's own takes several times as long
            middle = [(count - 1) // 2, count // 2]
            learned[row] = np.partition(values, middle)[:, middle].mean(1)
    return learned


def _place_border(
    profiles: NDArray[np.floating], points: NDArray[np.floating], size: float
) -> NDArray[np.float64]:
    """Where on each normal skin ends, (K,), in shares of the face's size, positive outward."""
    inner = np.pad(np.cumsum(profiles, 1), ((0, 0), (1, 0)))  # background on the skin's side
    costs = 2 * inner - inner[:, -1:]  # and skin on the background's
    borders = (np.arange(costs.shape[1]) - costs.shape[1] // 2) * STEP
    costs = costs + NEARNESS * (borders / REACH) ** 2
    bends = STRAIGHTNESS * (np.subtract.outer(borders, borders) / STEP) ** 2
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1) / (STEP * size)
    total, origins = costs[0], []
    for cost, step in zip(costs[1:], steps, strict=True):
        ways = total[:, None] + bends / max(step, 0.7)
        origins.append(ways.argmin(0))
        total = ways.min(0) + cost
    path = [int(total.argmin())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.asarray(borders[path[::-1]], np.float64)


def _spread_rows(
    moves: NDArray[np.floating], rows: NDArray[np.intp], columns: NDArray[np.intp], side: int
) -> NDArray[np.float64]:
    """The outline's moves, (K, 2), for all rows of the map, (M, 2), where it is the midline's."""
    every = np.arange(side)
    spread = np.stack([np.interp(every, rows, moves[:, axis]) for axis in (0, 1)], 1)
    off = np.abs((np.interp(every, rows, columns) + 0.5) / side - 0.5)
    gap = np.abs(np.subtract.outer(every, rows)).min(1)
    for values, (low, high) in ((off, MIDLINE), (gap, GAP_ROWS)):
        spread *= np.clip((high - values) / (high - low), 0, 1)[:, None]
    return _blur_rows(spread, MOVED_ROWS)


def _blur_rows(values: NDArray[np.floating], sigma: float) -> NDArray[np.float64]:
    """Smooth (K, 2) along its first axis, rows; the ends repeated."""
    kernel = cv2.getGaussianKernel(2 * round(3 * sigma) + 1, sigma)
    blurred = cv2.sepFilter2D(
        np.asarray(values, np.float64), -1, np.ones(1), kernel, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(blurred, np.float64)
