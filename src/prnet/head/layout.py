"""What of a head doesn't depend on whose it is: which vertices are what, and follow what."""

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.sampling import read_only, sample_map
from prnet.morphable.head_model import (
    FACE,
    LEFT_EYE,
    LEFT_LASHES,
    MOUTH,
    PARTS,
    RIGHT_EYE,
    RIGHT_LASHES,
    SKIN,
    SOCKETS,
    HeadModel,
    embedded_head,
)
from prnet.uv.atlas import MAP_SIZE, NECK, Atlas, embedded_atlas
from prnet.uv.chart import ChartSampler, rasterize_chart

# The network never learned the neck: below the jaw the head model takes over, over so many map
# pixels.
BLEND_PX = 14
UPPER_LID_SHARE = 0.2  # of a blink's largest motion of the rim: what moves more is the upper lid
NEAREST_SKIN = 6  # vertices of skin that carry a vertex of the lashes


@dataclass(frozen=True, eq=False)
class Eye:
    """One eye: indices of the head model's vertices.

    Attributes:
        side: `Left` or `Right`, the subject's.
        ball: The eyeball.
        lashes: Those of both lids.
        upper: Of the rim of the lids what a blink moves, from corner to corner.
        lower: The rest of the rim.
        lining: The skin behind the lids, without the rim.
        carriers: (N, K) vertices of the skin nearest to each of the lashes.
        carrier_weights: (N, K) float64, their shares.
    """

    side: str
    ball: NDArray[np.int64]
    lashes: NDArray[np.int64]
    upper: NDArray[np.int64]
    lower: NDArray[np.int64]
    lining: NDArray[np.int64]
    carriers: NDArray[np.int64]
    carrier_weights: NDArray[np.float64]

    @property
    def rim(self) -> NDArray[np.int64]:
        """Both lids' rims."""
        return np.concatenate([self.upper, self.lower])


Corners = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


class HeadLayout:
    """The head model's fixed relations, each worked out when first asked for.

    Args:
        model: The head model.
        atlas: The UV space of its face.

    Attributes:
        skin_triangles: (T, 3) int32, of face, back, mouth and sockets.
        skin_count: S, the skin's vertices; the model's first.
        chart_count: C, the face's vertices; the skin's first.
    """

    def __init__(self, model: HeadModel, atlas: Atlas) -> None:
        self.model = model
        self.atlas = atlas
        self.skin_triangles = model.triangles_of(*SKIN)[0]
        self.skin_count = int(self.skin_triangles.max()) + 1
        self.chart_count = len(model.chart_uv)
        self._corners: dict[tuple[int, ...], Corners] = {}

    @cached_property
    def triangles(self) -> NDArray[np.int32]:
        """(T, 3) int32, of the whole head."""
        return self.model.triangles_of(*range(len(PARTS)))[0]

    @cached_property
    def sampler(self) -> ChartSampler:
        """The face's vertices → the map's pixels."""
        triangles, rows = self.model.triangles_of(FACE)
        return rasterize_chart(self.model.uv, triangles, rows, MAP_SIZE)

    @cached_property
    def trust(self) -> NDArray[np.float64]:
        """(S,) in [0, 1]: how far the skin's vertices follow the photo; 0 where it has no map."""
        is_else = (self.atlas.region != NECK).astype(np.uint8)
        ramp = np.clip(cv2.distanceTransform(is_else, cv2.DIST_L2, 5) / BLEND_PX, 0, 1)
        trust = np.zeros(self.skin_count)
        trust[: self.chart_count] = sample_map(ramp[..., None], self.model.chart_uv)[:, 0]
        return trust

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """(S, D) the skin's vertices around each, itself where there are fewer than D."""
        edges = self.skin_triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        edges = np.unique(np.sort(edges, axis=1), axis=0).astype(np.int64)
        both = np.concatenate([edges, edges[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        degree = np.bincount(both[:, 0], minlength=self.skin_count)
        place = np.arange(len(both)) - np.repeat(np.cumsum(degree) - degree, degree)
        table = np.repeat(np.arange(self.skin_count)[:, None], int(degree.max()), axis=1)
        table[both[:, 0], place] = both[:, 1]
        return table

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """(S,) cm², of the mean head around each of the skin's vertices."""
        a, b, c = np.moveaxis(self.model.vertices.astype(np.float64)[self.skin_triangles], 1, 0)
        areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
        corners = self.skin_triangles.ravel()
        return np.bincount(corners, np.repeat(areas, 3), minlength=self.skin_count).astype(float)

    def corners_of(self, *parts: int) -> Corners:
        """What a file draws parts of the head from: a row for each pair of vertex and UV.

        Returns:
            (N,) int64, vertices; (N, 2) float32, their UVs; (T, 3) int64, triangles of these rows;
            none may be written to.
        """
        if parts not in self._corners:
            triangles, rows = self.model.triangles_of(*parts)
            count = len(self.model.uv)
            pairs = triangles.ravel().astype(np.int64) * count + rows.ravel()
            pairs, index = np.unique(pairs, return_inverse=True)
            uv = self.model.uv[pairs % count]
            self._corners[parts] = (
                read_only(pairs // count),
                read_only(uv),
                read_only(index.reshape(-1, 3)),
            )
        return self._corners[parts]

    def rim(self, lining: int) -> NDArray[np.int64]:
        """The vertices that a lining (MOUTH or SOCKETS) shares with the face: lips or lids."""
        return np.intersect1d(self.model.vertices_of(lining), self.model.vertices_of(FACE))

    @cached_property
    def lips(self) -> NDArray[np.int64]:
        """The rim of the mouth."""
        return self.rim(MOUTH)

    @cached_property
    def eyes(self) -> tuple[Eye, Eye]:
        """The subject's left and right eye."""
        rim = self.rim(SOCKETS)
        is_left = self.model.vertices[rim, 0] > 0
        left = self._eye("Left", LEFT_EYE, LEFT_LASHES, rim[is_left])
        return left, self._eye("Right", RIGHT_EYE, RIGHT_LASHES, rim[~is_left])

    def _eye(self, side: str, ball: int, lashes: int, rim: NDArray[np.int64]) -> Eye:
        """One of them."""
        blink = self.model.expression[self.shape_index(f"eyeBlink{side}")]
        moves = np.linalg.norm(blink[rim], axis=1)
        is_upper = moves > UPPER_LID_SHARE * moves.max()
        vertices_of = self.model.vertices_of
        lining = np.setdiff1d(vertices_of(SOCKETS), rim)
        is_own = (self.model.vertices[lining, 0] > 0) == (side == "Left")
        lining = lining[is_own & (lining >= self.chart_count)]
        upper, lower = rim[is_upper], rim[~is_upper]
        carriers = self._carriers(vertices_of(lashes))
        return Eye(side, vertices_of(ball), vertices_of(lashes), upper, lower, lining, *carriers)

    def shape_index(self, name: str) -> int:
        """Where an expression stands in the model."""
        return self.model.expression_names.index(name)

    def _carriers(
        self, vertices: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The skin that lies nearest to some vertices on the mean head, and its shares."""
        points = self.model.vertices[vertices]
        low, high = points.min(0) - 1, points.max(0) + 1
        skin = self.model.vertices[: self.chart_count]
        near = np.flatnonzero(((skin > low) & (skin < high)).all(1))
        distance = np.linalg.norm(points[:, None] - skin[near], axis=2)
        order = np.argsort(distance, axis=1)[:, :NEAREST_SKIN]
        weight = 1 / (np.take_along_axis(distance, order, 1) + 0.02)  # cm
        return near[order], weight / weight.sum(1, keepdims=True)


@cache
def head_layout() -> HeadLayout:
    """The layout of the head model and the atlas inside the package."""
    return HeadLayout(embedded_head(), embedded_atlas())
