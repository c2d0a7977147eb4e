"""A head mesh with 68 landmarks → where the atlas has its vertices: non-rigid registration.

The mesh is laid onto the mean face: by a similarity and a thin-plate spline through the landmarks,
then in rounds of pulling each vertex to the nearest point of the mean face, while neighbors move
alike, less and less stiffly.

Source: Amberg, Romdhani and Vetter 2007, "Optimal step nonrigid ICP algorithms for surface
registration", with displacements in place of affine maps.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import factorized
from scipy.spatial import cKDTree

from prnet.errors import LabelError
from prnet.files import read_json
from prnet.geometry.normals import vertex_normals
from prnet.geometry.sampling import sample_map
from prnet.geometry.similarity import fit_similarity
from prnet.uv.atlas import MAP_SIZE, NECK, Atlas
from prnet.uv.topology import ObjMesh, Topology

STIFFNESS = (30.0, 10.0, 3.0, 1.0, 0.3)  # of an edge, in pulls of a vertex; each for some rounds
ROUNDS = 4
FARTHEST_CM = 1.5  # from the mean face: what is farther is something else, as hair or a collar
LEAST_ALIKE = 0.3  # cosine between the normals of a vertex and of its place
SMOOTHING = 1e-3  # of the spline: landmarks set by hand aren't exact


def read_landmarks(path: str | os.PathLike[str], mesh: ObjMesh) -> NDArray[np.float64]:
    """Read the 68 iBUG points of a mesh: (68, 3), its own frame.

    Args:
        path: JSON, a list of 68 points x, y, z, or of 68 vertices by number, from 0.
        mesh: The mesh.

    Raises:
        LabelError: The file can't be read or isn't such a list.
    """
    try:
        content = np.array(read_json(path), np.float64)
        if content.shape == (68,):
            content = mesh.vertices[content.astype(int)]
        if content.shape != (68, 3) or not np.isfinite(content).all():
            raise ValueError(f"expected 68 points or 68 vertices, got shape {content.shape}")
    except (OSError, ValueError, TypeError, IndexError) as error:
        cause = getattr(error, "strerror", None) or error
        raise LabelError(f"{path}: not the 68 landmarks of a mesh ({cause})") from error
    return content


def wrap(mesh: ObjMesh, landmarks68: NDArray[np.floating], atlas: Atlas) -> Topology:
    """Find where the atlas has a mesh's vertices.

    Args:
        mesh: A head or face, whatever its size, place and UVs.
        landmarks68: (68, 3) float, its iBUG points, in its own frame.
        atlas: The UV space.

    Returns:
        Topology; vertices that lie on nothing of the mean face have no UV.

    Raises:
        ValueError: The landmarks don't span a face.
    """
    targets = sample_map(atlas.canonical_map, atlas.landmarks68_uv).astype(np.float64)
    similarity = fit_similarity(np.asarray(landmarks68, np.float64), targets)
    points, own = similarity.apply(mesh.vertices), similarity.apply(landmarks68)
    spline = RBFInterpolator(own, targets - own, smoothing=SMOOTHING)
    points = points + spline(points)
    face = atlas.canonical_vertices.astype(np.float64)
    normals = vertex_normals(face, atlas.triangles)
    tree = cKDTree(face)
    is_rim = np.zeros(len(face), bool)
    is_rim[_rim(atlas.triangles)] = True
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]]])
    laplacian = _laplacian(edges, len(points))
    for stiffness in STIFFNESS:
        for _ in range(ROUNDS):
            distance, nearest = tree.query(points)
            alike = (vertex_normals(points, mesh.triangles) * normals[nearest]).sum(1)
            pull = (distance < FARTHEST_CM) & (alike > LEAST_ALIKE) & ~is_rim[nearest]
            along = normals[nearest] * ((face[nearest] - points) * normals[nearest]).sum(
                1, keepdims=True
            )
            solve = factorized((diags(pull + 1e-6) + stiffness * laplacian).tocsc())
            wanted = pull[:, None] * along
            points = points + np.stack([solve(wanted[:, k]) for k in range(3)], 1)
    distance, nearest = tree.query(points)
    alike = (vertex_normals(points, mesh.triangles) * normals[nearest]).sum(1)
    known = (distance < FARTHEST_CM / 3) & (alike > LEAST_ALIKE) & ~is_rim[nearest]
    known &= atlas.region.ravel()[atlas.vertex_index[nearest]] != NECK
    uv = np.full((len(points), 2), np.nan, np.float32)
    uv[known] = _refine(points[known], atlas, nearest[known])
    return Topology(mesh.text, uv, points.astype(np.float32))


def _laplacian(edges: NDArray[np.int64], count: int) -> "coo_matrix":
    """The graph's, (V, V) sparse."""
    both = np.concatenate([edges, edges[:, ::-1]])
    ones = np.ones(len(both))
    adjacency = coo_matrix((ones, (both[:, 0], both[:, 1])), (count, count)).tocsr()
    adjacency.data[:] = 1
    return diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency


def _rim(triangles: NDArray[np.integer]) -> NDArray[np.integer]:
    """The vertices on edges that only one triangle has."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edge, count = np.unique(edges, axis=0, return_counts=True)
    return np.unique(edge[count == 1])


def _refine(
    points: NDArray[np.float64], atlas: Atlas, nearest: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The UVs of points between the map's pixels, from the nearest of those."""
    positions = atlas.canonical_map.astype(np.float64)
    along_v, along_u = np.gradient(positions, axis=(0, 1))  # cm a pixel
    index = atlas.vertex_index[nearest]
    u, v = along_u.reshape(-1, 3)[index], along_v.reshape(-1, 3)[index]
    rest = points - positions.reshape(-1, 3)[index]
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    ru, rv = (rest * u).sum(1), (rest * v).sum(1)
    area = np.maximum(uu * vv - uv * uv, 1e-9)
    step = np.stack([ru * vv - rv * uv, rv * uu - ru * uv], 1) / area[:, None]
    rows, columns = np.divmod(index, MAP_SIZE)
    places = np.stack([columns, rows], 1) + 0.5 + np.clip(step, -0.5, 0.5)
    return (places / MAP_SIZE).astype(np.float32)


def wrap_file(
    mesh: str | os.PathLike[str],
    landmarks: str | os.PathLike[str],
    atlas: Atlas,
    out: str | os.PathLike[str],
) -> Topology:
    """`wrap` of files: an OBJ and its landmarks → a topology's .npz.

    Raises:
        LabelError: A file is missing or not in its format, or the landmarks don't span a face.
        OSError: The result can't be written.
    """
    from prnet.uv.topology import read_obj

    obj = read_obj(mesh)
    points = read_landmarks(landmarks, obj)
    try:
        topology = wrap(obj, points, atlas)
    except ValueError as error:
        raise LabelError(f"{Path(mesh)}: can't be laid onto the mean face ({error})") from error
    topology.save(out)
    return topology
