import numpy as np
import pytest

from prnet.geometry.mesh import front_triangles, vertex_normals

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
