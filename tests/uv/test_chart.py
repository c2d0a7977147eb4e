import numpy as np
import pytest

from prnet.geometry.rasterize import rasterize
from prnet.uv.chart import (
    boundary_edges,
    coarser_triangles,
    nearest_covered,
    rasterize_chart,
    split_quads,
)

# the unit square as two triangles, u right, v down
UV = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
TRIANGLES = np.array([[0, 2, 1], [1, 2, 3]])


def pixel_centres(size: int) -> np.ndarray:
    """(M, M, 2): u and v of every pixel."""
    steps = (np.arange(size) + 0.5) / size
    return np.stack(np.meshgrid(steps, steps), -1)


def test_a_sampled_map_holds_the_uv_of_its_pixels() -> None:
    sampler = rasterize_chart(UV, TRIANGLES, TRIANGLES, 8)
    assert sampler.is_covered.all()
    sampled = sampler.sample(UV)
    assert sampled.dtype == np.float32
    np.testing.assert_allclose(sampled, pixel_centres(8), atol=1e-6)


def test_mesh_vertices_and_uv_rows_are_told_apart() -> None:
    # the same square, its UV rows in another order than its vertices
    rows = np.array([3, 1, 0, 2])
    sampler = rasterize_chart(UV[np.argsort(rows)], TRIANGLES, rows[TRIANGLES], 8)
    np.testing.assert_allclose(sampler.sample(UV), pixel_centres(8), atol=1e-6)


def test_uncovered_pixels_carry_their_nearest_value() -> None:
    left_half = UV * [0.5, 1]
    sampler = rasterize_chart(left_half, TRIANGLES, TRIANGLES, 8)
    np.testing.assert_array_equal(sampler.is_covered, pixel_centres(8)[..., 0] < 0.5)
    sampled = sampler.sample(left_half)
    np.testing.assert_allclose(sampled[:, :4], pixel_centres(8)[:, :4], atol=1e-6)
    np.testing.assert_array_equal(sampled[:, 4:], np.repeat(sampled[:, 3:4], 4, axis=1))
    np.testing.assert_allclose(sampler.barycentric.sum(-1), 1, atol=1e-6)


def test_nearest_covered_by_hand() -> None:
    is_covered = np.zeros((5, 5), bool)
    is_covered[0, 0] = is_covered[4, 4] = True
    nearest, distance = nearest_covered(is_covered)
    assert nearest[0, 0] == nearest[1, 1] == nearest[0, 3] == 0
    assert nearest[4, 4] == nearest[3, 3] == nearest[4, 1] == 24
    assert distance[0, 0] == 0 and distance[0, 3] == pytest.approx(3, rel=0.03)


def test_nearest_covered_is_the_nearest() -> None:
    is_covered = np.random.default_rng(0).uniform(size=(30, 30)) < 0.05
    nearest, distance = nearest_covered(is_covered)
    chosen = np.stack(np.divmod(nearest, 30), -1)
    pixels = np.stack(np.mgrid[:30, :30], -1)
    candidates = np.argwhere(is_covered)
    best = np.linalg.norm(pixels[:, :, None] - candidates, axis=-1).min(-1)
    found = np.linalg.norm(pixels - chosen, axis=-1)
    assert is_covered[chosen[..., 0], chosen[..., 1]].all()
    # OpenCV's 5×5 distances are within 2% of the true ones
    assert (found <= best * 1.03 + 1e-9).all()
    np.testing.assert_allclose(distance, found, rtol=0.03)


def test_a_chart_outside_the_map_is_refused() -> None:
    with pytest.raises(ValueError, match="covers no pixel"):
        rasterize_chart(UV + 5, TRIANGLES, TRIANGLES, 8)


def test_split_quads() -> None:
    quads = np.array([[0, 1, 2, 3], [4, 5, 6, 6]])  # the second is a triangle
    triangles = split_quads(quads)
    assert triangles.dtype == np.int32
    assert triangles.tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6]]


def test_boundary_of_a_square() -> None:
    edges = boundary_edges(TRIANGLES, TRIANGLES)
    assert {frozenset(e) for e in edges.tolist()} == {
        frozenset(e) for e in [(0, 1), (1, 3), (3, 2), (2, 0)]
    }


def test_a_seam_stored_twice_is_no_boundary() -> None:
    # the diagonal's two vertices have one UV row in each triangle
    edges = boundary_edges(TRIANGLES, np.array([[0, 2, 1], [4, 5, 3]]))
    assert len(edges) == 4
    assert (1, 2) not in {tuple(sorted(e)) for e in edges.tolist()}


def test_a_closed_mesh_has_no_boundary() -> None:
    tetrahedron = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]])
    assert boundary_edges(tetrahedron, tetrahedron).shape == (0, 2)


def test_coarser_triangles_cover_what_the_fine_ones_cover() -> None:
    side = 17
    index = np.arange(side * side).reshape(side, side)
    corners = [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]]
    quads = np.stack(corners, -1).reshape(-1, 4)
    fine = split_quads(np.delete(quads, 40, 0))  # of row 2 and column 8
    vertex_index = np.random.default_rng(0).permutation(side * side)
    vertex_at = np.argsort(vertex_index)
    surface = np.zeros((side, side, 3))
    surface[..., :2] = np.stack(np.divmod(index, side), -1)
    surface[9, 10, 2] = 0.3  # at the edge between two blocks
    lifted = coarser_triangles(vertex_at[fine], vertex_index, surface, 0.2)
    coarse = vertex_index[coarser_triangles(vertex_at[fine], vertex_index, surface, 0.4)]

    def covers(triangles: np.ndarray) -> np.ndarray:
        y, x = np.divmod(np.arange(side * side), side)
        flat = np.column_stack([x * 3 + 0.5, y * 3 + 0.5, np.zeros(side * side)])
        return rasterize(flat, triangles, (side * 3, side * 3)).is_covered

    assert not covers(fine).all()
    np.testing.assert_array_equal(covers(coarse), covers(fine))
    # 63 blocks are whole; of the 64 the 28 at the rim stay as they are, too, and the 9 about the
    # one that isn't, of which 3 lie at the rim
    assert len(coarse) == 2 * 63 + 8 * (28 + 6) - 2
    # two more bend, and with the 10 about them stay
    assert len(lifted) == len(coarse) - 2 * 2 + 8 * 12
