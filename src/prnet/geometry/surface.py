"""Triangles → how their surface lies and bends in space, and which of them face the viewer."""

import numpy as np
from numpy.typing import NDArray


def check_mesh(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> None:
    """Refuse arrays that aren't (V, 3), and triangles (T, 3) of vertices that aren't there.

    Raises:
        ValueError: It says which.
    """
    for name, array in (("vertices", vertices), ("triangles", triangles)):
        if array.ndim != 2 or array.shape[1] != 3:
            raise ValueError(f"{name} must be ({name[0].upper()}, 3), got {array.shape}")
    count = len(vertices)
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < count:
        raise ValueError(f"triangles must index the {count} vertices")


def front_triangles(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Leave out the triangles that show the viewer their inner side.

    A face's mesh is open at the eyes, the mouth and the neck; without this one looks through them
    at the inside of its far half.

    Args:
        vertices: (V, 3) float, x right, y down, z toward the viewer.
        triangles: (T, 3) int, counter-clockwise seen from outside with y up.

    Returns:
        (F, 3) int, those of the triangles that turn their outer side to the viewer, in order.
    """
    a, b, c = np.moveaxis(vertices[:, :2].astype(np.float64)[triangles], 1, 0)
    (bx, by), (cx, cy) = (b - a).T, (c - a).T
    return triangles[bx * cy - by * cx < 0]


def neighbouring_triangles(triangles: NDArray[np.integer]) -> NDArray[np.int64]:
    """Find the triangles that share an edge.

    Args:
        triangles: (T, 3) int, indices of vertices.

    Returns:
        (N, 2) int64, indices of two triangles for each edge that two have; a mesh's rim has none.
    """
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    order = np.lexsort(edges.T)
    is_shared = (edges[order[1:]] == edges[order[:-1]]).all(1)
    return np.stack([order[:-1], order[1:]], 1)[is_shared] // 3


def mean_bend_deg(
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    neighbours: NDArray[np.integer],
) -> float:
    """Mean angle between the normals of neighbouring triangles: how rough a surface is.

    Args:
        vertices: (V, 3) float, any frame and unit.
        triangles: (T, 3) int, all wound the same way.
        neighbours: (N, 2) int, as `neighbouring_triangles` finds them.

    Returns:
        Degrees in [0, 180], 0 for a plane; pairs with a triangle of no area don't count, and of no
        pairs it is NaN.
    """
    areas = _area_vectors(vertices, triangles)
    length = np.linalg.norm(areas, axis=1)
    first, second = neighbours[(length[neighbours] > 0).all(1)].T
    if not len(first):
        return float("nan")
    cosine = (areas[first] * areas[second]).sum(1) / (length[first] * length[second])
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def _area_vectors(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(T, 3) float64: the triangles' normals, twice their area long."""
    a, b, c = np.moveaxis(vertices.astype(np.float64)[triangles], 1, 0)
    return np.cross(b - a, c - a)
