"""Maps as cubic spline surfaces, whose rows of control points gather at the eyelids."""

import numpy as np
from numpy.typing import NDArray

from prnet.landmarks import LIDS
from prnet.uv.atlas import Atlas

FIXED_POINT = 1024  # steps per unit, so that 16 bits hold the mean face within 5 µm
# share of the rows of control points that gather at the eyelids, and how close in v
LID_ROWS, LID_REACH = 0.12, 0.016

# v of the lids in our chart. Weights know their rows, so these stay where an atlas has its points
# a little elsewhere; only another chart's lids, farther off than LID_V_NEAR, move them.
LID_V, LID_V_NEAR = 0.28221512, 0.01


def lid_row(atlas: Atlas) -> float:
    """V of the eyelids, where the rows of control points gather; see LID_V."""
    lid_v = float(atlas.landmarks68_uv[LIDS, 1].mean())
    return LID_V if abs(lid_v - LID_V) < LID_V_NEAR else lid_v


def pixel_centres(size: int) -> NDArray[np.float64]:
    """Where the pixels of a row lie in [0, 1], (size,)."""
    return (np.arange(size) + 0.5) / size


def share_of_rows(v: NDArray[np.floating], lid_v: float) -> NDArray[np.float64]:
    """Find the share of the rows of control points that lie above places in UV space.

    Args:
        v: (P,) float in [0, 1].
        lid_v: Where the eyelids are.

    Returns:
        (P,) float64 in [0, 1], growing smoothly with v and fastest at the lids.
    """
    gathered, top, bottom = (
        np.tanh((np.asarray(place, np.float64) - lid_v) / LID_REACH) for place in (v, 0, 1)
    )
    return np.asarray((1 - LID_ROWS) * v + LID_ROWS * (gathered - top) / (bottom - top))


def cubic_spline_matrix(controls: int, places: NDArray[np.floating]) -> NDArray[np.float32]:
    """Make the matrix that reads a uniform cubic B-spline off a row of control points.

    Convention: the control points lie in [0, 1] at (k + ½)/controls; the border's repeat outwards.
    A surface made with it on both axes has a continuous curvature: no facets.

    Args:
        controls: Number of control points.
        places: (P,) float in [0, 1], where to read.

    Returns:
        (P, controls) float32, rows summing to 1.
    """
    position = places * controls - 0.5
    left = np.floor(position).astype(int)
    matrix = np.zeros((len(places), controls))
    for shift in range(-1, 3):
        distance = np.abs(position - (left + shift))
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = (2 - distance) ** 3 / 6
        columns = np.clip(left + shift, 0, controls - 1)
        np.add.at(matrix, (np.arange(len(places)), columns), np.where(distance < 1, near, far))
    return matrix.astype(np.float32)


def in_steps(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Round weights (P, C) to steps of 1/FIXED_POINT; the largest of a row keeps its sum 1."""
    steps = np.rint(FIXED_POINT * np.asarray(weights, np.float64))
    steps[np.arange(len(steps)), steps.argmax(1)] += FIXED_POINT - steps.sum(1)
    return np.asarray(steps / FIXED_POINT)


def in_blocks(
    matrix: NDArray[np.floating], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cut a matrix whose rows are mostly zero, as `cubic_spline_matrix` makes it, to what isn't.

    Args:
        matrix: (P, C) float, P a multiple of `count`.
        count: Number of blocks B of following rows.

    Returns:
        (B, P / B, W) float32 and (B, W) int64, the columns that a block keeps: the matrix times a
        vector is each block times its part of the vector.
    """
    blocks = np.asarray(matrix, np.float32).reshape(count, -1, matrix.shape[1])
    used = [np.flatnonzero(block.any(0)) for block in blocks]
    width = max(int(each[-1]) - int(each[0]) + 1 for each in used)
    first = np.array([min(int(each[0]), matrix.shape[1] - width) for each in used])
    columns = first[:, None] + np.arange(width)
    return np.take_along_axis(blocks, columns[:, None], 2), columns


def bilinear_rows(uv: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Make the weights with which `sample_map` samples a map.

    Args:
        uv: (P, 2) float in [0, 1], u right, v down.
        size: Side of the map.

    Returns:
        (P, size, size) float32, each point's weights summing to 1.
    """
    x, y = np.clip(np.asarray(uv, np.float64).T * size - 0.5, 0, size - 1)
    x0, y0 = np.minimum(x.astype(int), size - 2), np.minimum(y.astype(int), size - 2)
    fx, fy = x - x0, y - y0
    rows = np.zeros((len(uv), size, size), np.float32)
    index = np.arange(len(uv))
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            rows[index, y0 + dy, x0 + dx] += wy * wx
    return rows
