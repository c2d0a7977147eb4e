"""Position maps before they are drawn: control points of a cubic spline surface on the mean face.

A map is the mean face, turned, plus a surface. To draw its 65,536 points takes as long as a third
of the network; the 68 points and the pose are read off the 4,096 control points in a fiftieth.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.sampling import read_only
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.spline import (
    FIXED_POINT,
    cubic_spline_matrix,
    in_blocks,
    in_steps,
    lid_row,
    pixel_centres,
    share_of_rows,
)

CONTROL_SIZE = 64  # side of the map of control points
MEANS = [0, 4]  # of the moments, which move along; the others only turn
ROW_BLOCKS = 8  # in which maps are read off the control points


class Spline:
    """How maps, and what is read off them, come from control points: see `spline_of`.

    Attributes:
        atlas: Whose maps they are.
        rows: (256, 64) float32, how much each row of control points counts for each row of a map.
        columns: (256, 64) float32, the same of columns.
        row_blocks: (8, 32, W) float32, and
        row_controls: (8, W) int64: `rows` without most of its zeros, see `in_blocks`.
        canonical: (256, 256, 3) float32, canonical frame: the atlas's mean face, in steps of
            1/FIXED_POINT cm.
    """

    def __init__(self, atlas: Atlas) -> None:
        """Work out the weights."""
        even = pixel_centres(MAP_SIZE)
        rows = cubic_spline_matrix(CONTROL_SIZE, share_of_rows(even, lid_row(atlas)))
        self.rows = in_steps(rows).astype(np.float32)
        self.columns = in_steps(cubic_spline_matrix(CONTROL_SIZE, even)).astype(np.float32)
        self.row_blocks, self.row_controls = in_blocks(self.rows, ROW_BLOCKS)
        self.canonical = np.rint(FIXED_POINT * atlas.canonical_map) / np.float32(FIXED_POINT)
        self.atlas = atlas

    @cached_property
    def landmark_reads(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """How the 68 points are read off control points.

        (68, K) int64 flat indices of control points, (68, 1, K) float64 how much each of these
        counts, and (68, 3) float64 the points on the mean face.
        """
        pixels, shares = self.atlas.landmark_reads
        y, x = np.divmod(pixels, MAP_SIZE)
        rows, columns = self.rows[y].astype(np.float64), self.columns[x].astype(np.float64)
        weights = np.einsum("pk,pka,pkb->pab", shares[:, 0], rows, columns).reshape(len(pixels), -1)
        most = int(np.count_nonzero(weights, 1).max())
        controls = np.argsort(-weights, 1)[:, :most]
        counted = np.take_along_axis(weights, controls, 1)[:, None]
        mean_face = self.canonical.reshape(-1, 3)[pixels].astype(np.float64)
        return controls, counted, (shares @ mean_face)[:, 0]

    @cached_property
    def moment_reads(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """How a pose's moments, see `Atlas.pose_weights`, and the vertices' mean are read off.

        (5, 4096) float32, how much each control point counts for each of the four and the mean, and
        (5, 3) float64 those of the mean face.
        """
        span, moments = self.atlas.pose_weights
        weights = np.zeros((5, MAP_SIZE**2))
        weights[:4, span], weights[4] = moments, self.atlas.vertex_shares
        maps = weights.reshape(5, MAP_SIZE, MAP_SIZE)
        controls = (self.rows.T @ maps @ self.columns).reshape(5, -1)
        return controls.astype(np.float32), weights @ self.canonical.reshape(-1, 3)


@lru_cache(maxsize=8)
def spline_of(atlas: Atlas) -> Spline:
    """The atlas's spline, worked out once."""
    return Spline(atlas)


class SplineMap:
    """A position map that isn't drawn yet.

    Attributes:
        spline: How it is drawn.
        controls: (64, 64, 3) float32, any frame: the surface's control points.
        turn: (3, 3) float, canonical frame → that frame, without the translation: turns and scales
            the mean face, to which the surface is added.
    """

    def __init__(
        self,
        spline: Spline,
        controls: NDArray[np.float32],
        turn: NDArray[np.floating],
        moments: NDArray[np.float64] | None = None,
    ) -> None:
        """Take the parts; the moments, if they are known, are those of `Spline.moment_reads`."""
        self.spline, self.controls, self.turn = spline, controls, turn
        if moments is None:
            weights, mean_face = spline.moment_reads
            moments = weights @ controls.reshape(-1, 3) + mean_face @ turn.T
        self._moments = moments

    def __reduce__(self) -> tuple[Callable[..., "SplineMap"], tuple[object, ...]]:
        """It pickles as its numbers and the atlas."""
        return _again, (self.spline.atlas, self.controls, self.turn, self._moments)

    def draw(self) -> NDArray[np.float32]:
        """The position map: (256, 256, 3) float32, a new array, read-only."""
        spline, size = self.spline, CONTROL_SIZE
        # in blocks so small that NumPy's library doesn't start threads for them
        rows = self.controls.transpose(0, 2, 1).reshape(ROW_BLOCKS, -1, size)
        across = rows @ spline.columns.T
        across = across.reshape(size, 3, MAP_SIZE).transpose(0, 2, 1).reshape(size, -1)
        surface = (spline.row_blocks @ across[spline.row_controls]).reshape(spline.canonical.shape)
        mean_face = cv2.transform(spline.canonical, self.turn)
        return read_only(np.asarray(cv2.add(surface, mean_face, dst=surface), np.float32))

    def moved(self, matrix: NDArray[np.float64]) -> "SplineMap":
        """The map in another frame, where an affine (3, 4) matrix takes its points to."""
        controls = np.asarray(cv2.transform(self.controls, matrix), np.float32)
        linear = matrix[:, :3]
        moments = self._moments @ linear.T
        moments[MEANS] += matrix[:, 3]
        return SplineMap(self.spline, controls, linear @ self.turn, moments)

    def landmarks68(self) -> NDArray[np.float32]:
        """The 68 points, (68, 3) float32."""
        controls, counted, mean_face = self.spline.landmark_reads
        surface = (counted @ self.controls.reshape(-1, 3)[controls])[:, 0]
        return np.asarray(surface + mean_face @ self.turn.T, np.float32)

    @property
    def moments(self) -> NDArray[np.float64]:
        """(4, 3) float64: see `Atlas.pose_weights`."""
        return self._moments[:4]

    @property
    def mean_depth(self) -> float:
        """Mean z of the vertices."""
        return float(self._moments[4, 2])


def _again(atlas: Atlas, *parts: Any) -> SplineMap:  # noqa: ANN401
    """What was pickled."""
    return SplineMap(spline_of(atlas), *parts)
