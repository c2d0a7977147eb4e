"""A face model's UV chart → the atlas."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.landmarks import FEATURES
from prnet.uv.atlas import EARS, EYE_NOSE_MOUTH, FACE, KEYPOINT, MAP_SIZE, NECK, Atlas
from prnet.uv.chart import boundary_edges, rasterize_chart

# Where the ICT chart keeps the ears: columns this near to the left or right edge, between two rows.
EAR_WIDTH_UV, EAR_TOP_UV, EAR_BOTTOM_UV = 0.09, 0.30, 0.62
# the jaw points lie on the cheek outline; the face ends a little under them
NECK_BELOW_JAW_UV = 0.03
# a nostril narrows to one map pixel, 2 cm inside the nose; elsewhere neighbours are 0.2 cm apart
MAX_EDGE_CM = 0.6
FEATURE_MARGIN_PX = 6  # map pixels around the hulls of eyes with brows, nose and mouth


@dataclass(frozen=True, eq=False)
class ChartMesh:
    """The part of a face model that the chart shows.

    Attributes:
        vertices: (V, 3) float, canonical frame, cm: the mean face.
        uv: (U, 2) float in [0, 1], u right, v down.
        triangles: (T, 3) int32, corners as vertices.
        triangles_uv: (T, 3) int32, the same corners as rows of `uv`.
        landmarks68_vertices: (68, 3) int, three vertices around each iBUG point.
        landmarks68_barycentric: (68, 3) float, their weights.
    """

    vertices: NDArray[np.floating]
    uv: NDArray[np.floating]
    triangles: NDArray[np.int32]
    triangles_uv: NDArray[np.int32]
    landmarks68_vertices: NDArray[np.integer]
    landmarks68_barycentric: NDArray[np.floating]


def build_atlas(mesh: ChartMesh) -> Atlas:
    """Resample a face model's chart into the 256×256 atlas.

    Args:
        mesh: The model's mean face with its chart.

    Returns:
        Atlas whose triangles join neighbouring map pixels, never across a rim of the chart (lips,
        eye openings, outline) nor down a nostril.

    Raises:
        ValueError: The chart covers no pixel.
    """
    sampler = rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MAP_SIZE)
    landmarks_uv = _landmarks_uv(mesh)
    rims = mesh.uv[boundary_edges(mesh.triangles, mesh.triangles_uv)]
    canonical_map = sampler.sample(mesh.vertices.astype(np.float64))
    pixels = _grid_triangles(sampler.is_covered, rims)
    corners = canonical_map.reshape(-1, 3)[pixels]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    vertex_index, triangles = np.unique(pixels[(edges < MAX_EDGE_CM).all(1)], return_inverse=True)
    region = _regions(landmarks_uv)
    region[~np.isin(np.arange(MAP_SIZE**2), vertex_index).reshape(region.shape)] = 0
    return Atlas(
        region=region,
        vertex_index=vertex_index.astype(np.int32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        landmarks68_uv=landmarks_uv.astype(np.float32),
        canonical_map=canonical_map,
    )


def _landmarks_uv(mesh: ChartMesh) -> NDArray[np.float64]:
    """The (68, 2) UVs of the iBUG points."""
    uv_of_vertex = np.zeros((len(mesh.vertices), 2))
    uv_of_vertex[mesh.triangles.ravel()] = mesh.uv[mesh.triangles_uv.ravel()]
    corners = uv_of_vertex[mesh.landmarks68_vertices]
    return (mesh.landmarks68_barycentric[..., None].astype(np.float64) * corners).sum(1)


def _grid_triangles(is_covered: NDArray[np.bool_], rims: NDArray[np.floating]) -> NDArray[np.int64]:
    """Two triangles per square of covered pixels, (T, 3) flat indices, none across a rim."""
    size = len(is_covered)
    index = np.arange(size * size).reshape(size, size)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
    triangles = triangles[is_covered.ravel()[triangles].all(1)]
    centres = np.stack([index % size, index // size], -1).reshape(-1, 2).astype(np.float64)
    # only triangles near a rim can cross it
    near = np.zeros((size, size), np.uint8)
    rims_px = rims.astype(np.float64) * size - 0.5
    for start, end in np.rint(rims_px).astype(int):
        cv2.line(near, start.tolist(), end.tolist(), 1, thickness=3)
    suspects = np.flatnonzero(near.ravel()[triangles].any(1))
    corners = centres[triangles[suspects]]
    crosses = np.zeros(len(suspects), bool)
    for k in range(3):
        crosses |= _crosses_any(corners[:, k], corners[:, (k + 1) % 3], rims_px)
    keep = np.ones(len(triangles), bool)
    keep[suspects[crosses]] = False
    return triangles[keep]


def _crosses_any(
    start: NDArray[np.float64], end: NDArray[np.float64], segments: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether each of N segments start–end properly crosses any of the (E, 2, 2) segments."""

    def side(
        p: NDArray[np.float64], q: NDArray[np.float64], r: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (
            r[..., 0] - p[..., 0]
        )

    p, q = start[:, None], end[:, None]
    r, s = segments[None, :, 0], segments[None, :, 1]
    crosses = (side(p, q, r) * side(p, q, s) < 0) & (side(r, s, p) * side(r, s, q) < 0)
    return np.any(crosses, axis=1)


def _regions(landmarks_uv: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Region of every pixel, (M, M) uint8, as if the whole square were face; mirror-symmetric."""
    size = MAP_SIZE
    u, v = np.meshgrid(*(2 * [(np.arange(size) + 0.5) / size]))
    region = np.full((size, size), FACE, np.uint8)
    jaw = np.interp(u, landmarks_uv[3:14, 0], landmarks_uv[3:14, 1]) + NECK_BELOW_JAW_UV
    region[v > jaw] = NECK
    beside = np.minimum(u, 1 - u) < EAR_WIDTH_UV
    region[beside & (v > EAR_TOP_UV) & (v < EAR_BOTTOM_UV)] = EARS
    features: NDArray[np.uint8] = np.zeros((size, size), np.uint8)
    for feature in FEATURES:
        hull = cv2.convexHull((landmarks_uv[list(feature)] * size - 0.5).astype(np.float32))
        cv2.fillConvexPoly(features, np.rint(hull).astype(np.int32), 1)
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * FEATURE_MARGIN_PX + 1,) * 2)
    features = cv2.dilate(features, ball).astype(np.uint8, copy=False)
    region[(features | features[:, ::-1]) > 0] = EYE_NOSE_MOUTH
    columns, rows = np.floor(landmarks_uv * size).astype(int).T
    region[rows, columns] = KEYPOINT
    return region
