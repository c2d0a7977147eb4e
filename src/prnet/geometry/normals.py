"""Triangles → which way their surface looks at its vertices."""

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled
from prnet.geometry.sampling import read_only
from prnet.geometry.surface import check_mesh


def vertex_normals(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Find the outward direction of a surface at its vertices.

    Args:
        vertices: (V, 3) float, any right-handed frame (photo vertices: y turned up first).
        triangles: (T, 3) int, counter-clockwise seen from outside.

    Returns:
        (V, 3) float32 of length 1: the mean of the triangles around a vertex by their area; (0, 0,
        1) where a vertex has none or they cancel out.

    Raises:
        ValueError: Wrong shapes, or a triangle of vertices that aren't there.
    """
    check_mesh(vertices, triangles)
    normals = np.empty((len(vertices), 3), np.float32)
    _average(
        np.ascontiguousarray(vertices, np.float64),
        # for an array that may be written to, too, it would be compiled once more
        read_only(np.ascontiguousarray(triangles, np.int32).view()),
        np.zeros((len(vertices), 3)),
        normals,
    )
    return normals


@compiled
def _average(vertices, triangles, total, normals):  # type: ignore[no-untyped-def]
    """Add the triangles' area vectors up in total, then bring each sum to length 1 in normals."""
    for t in range(triangles.shape[0]):
        # unsigned: to read by what may be negative takes longer
        a, b, c = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
        ux, uy = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1]
        uz = vertices[b, 2] - vertices[a, 2]
        vx, vy = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1]
        vz = vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            total[v, 0] += nx
            total[v, 1] += ny
            total[v, 2] += nz
    for v in range(total.shape[0]):
        length = np.sqrt(total[v, 0] ** 2 + total[v, 1] ** 2 + total[v, 2] ** 2)
        if length < 1e-30:
            normals[v, 0], normals[v, 1], normals[v, 2] = 0.0, 0.0, 1.0
        else:
            scale = 1 / length
            for axis in range(3):
                normals[v, axis] = total[v, axis] * scale
