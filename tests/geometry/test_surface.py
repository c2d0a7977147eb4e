import numpy as np
import pytest

from prnet.geometry.normals import vertex_normals
from prnet.geometry.surface import (
    front_triangles,
    mean_bend_deg,
    neighbouring_triangles,
)

# a square in the xy plane, seen counter-clockwise from +z with y up
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def sphere(rings: int = 40, radius: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A sphere about the origin: vertices (V, 3), y up, and triangles."""
    polar, around = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, rings),
        np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False),
        indexing="ij",
    )
    points = np.stack(
        [np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1
    )
    index = np.arange(points[..., 0].size).reshape(polar.shape)
    a, b = index[:-1], index[1:]
    c, d = np.roll(a, -1, 1), np.roll(b, -1, 1)
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
    return points.reshape(-1, 3) * radius, triangles


def test_flat_square_faces_along_z() -> None:
    np.testing.assert_allclose(vertex_normals(SQUARE, HALVES), np.tile([0, 0, 1], (4, 1)))
    np.testing.assert_allclose(vertex_normals(SQUARE, HALVES[:, ::-1]), np.tile([0, 0, -1], (4, 1)))


def test_sphere_normals_point_outward() -> None:
    vertices, triangles = sphere(60, radius=3.0)
    normals = vertex_normals(vertices, triangles)
    assert normals.dtype == np.float32
    inner = np.abs(vertices[:, 1]) < 2.9  # at the poles' rims the triangles are of one side only
    assert (normals * vertices / 3).sum(1)[inner].min() > 0.998


def test_vertices_without_triangles_have_a_normal_too() -> None:
    lonely = np.vstack([SQUARE, [[5, 5, 5]]])
    folded = np.array([[0, 1, 2], [0, 2, 1]])  # up and down cancel out
    np.testing.assert_allclose(vertex_normals(lonely, folded), np.tile([0, 0, 1], (5, 1)))


def test_front_triangles_by_hand() -> None:
    photo = SQUARE * [1, -1, 1]  # y down
    np.testing.assert_array_equal(front_triangles(photo, HALVES), HALVES)
    assert len(front_triangles(photo, HALVES[:, ::-1])) == 0
    edge_on = photo[:, [2, 1, 0]]
    assert len(front_triangles(edge_on, HALVES)) == 0


def test_half_of_a_sphere_is_in_front() -> None:
    vertices, triangles = sphere()
    front = front_triangles(vertices * [1, -1, 1], triangles)
    assert len(front) == pytest.approx(len(triangles) / 2, rel=0.02)
    assert vertices[front].mean(1)[:, 2].min() > -0.05


@pytest.mark.parametrize(
    ("vertices", "triangles"), [(SQUARE[:, :2], HALVES), (SQUARE, HALVES[0])], ids=["2D", "flat"]
)
def test_wrong_shapes(vertices: np.ndarray, triangles: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be"):
        vertex_normals(vertices, triangles)


def test_neighbours_share_an_edge() -> None:
    """A strip of three triangles, and a fourth that touches the last only at a corner."""
    triangles = np.array([[0, 1, 2], [2, 1, 3], [3, 4, 2], [4, 5, 6]])
    assert sorted(map(sorted, neighbouring_triangles(triangles).tolist())) == [[0, 1], [1, 2]]
    assert neighbouring_triangles(triangles[:1]).shape == (0, 2)


def test_a_cube_bends_at_its_edges_and_not_at_its_diagonals() -> None:
    """18 edges, 12 of them 90° and 6 diagonals 0°: 60° on average, however large and turned."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    sides = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6]])
    sides = np.vstack([sides, [[0, 2, 6, 4], [1, 5, 7, 3]]])
    cube = np.vstack([sides[:, [0, 1, 2]], sides[:, [0, 2, 3]]])
    neighbours = neighbouring_triangles(cube)
    assert len(neighbours) == 18
    assert mean_bend_deg(corners, cube, neighbours) == pytest.approx(60)
    assert mean_bend_deg(7 * corners * [1, -1, 1] + 5, cube, neighbours) == pytest.approx(60)


def test_what_has_no_area_has_no_bend() -> None:
    neighbours = neighbouring_triangles(HALVES)
    assert mean_bend_deg(SQUARE, HALVES, neighbours) == pytest.approx(0, abs=1e-5)
    folded = SQUARE + np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]], np.float32)
    # normals (0, 0, 1) and (−1, 1, 1)… turned by arccos(1/√3)
    assert mean_bend_deg(folded, HALVES, neighbours) == pytest.approx(
        np.degrees(np.arccos(3**-0.5))
    )
    flat = SQUARE[[0, 0, 2, 3]]  # the first half is a line
    assert np.isnan(mean_bend_deg(flat, HALVES, neighbours))
