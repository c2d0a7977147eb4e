import numpy as np
import pytest

from prnet.geometry.rasterize import depth_buffer, rasterize

# a right triangle with legs of 4 px whose corners are pixel centres
VERTICES = np.array([[0.0, 0.0, 1.0], [4.0, 0.0, 5.0], [0.0, 4.0, 9.0]])
TRIANGLE = np.array([[0, 1, 2]])


def test_covers_the_centres_inside_and_on_edges() -> None:
    raster = rasterize(VERTICES, TRIANGLE, (6, 7))
    y, x = np.mgrid[:6, :7]
    np.testing.assert_array_equal(raster.is_covered, x + y <= 4)
    assert raster.triangle.dtype == np.int32
    assert raster.barycentric.shape == (6, 7, 3)


def test_depth_and_weights_are_linear() -> None:
    raster = rasterize(VERTICES, TRIANGLE, (6, 7))
    y, x = np.mgrid[:6, :7]
    inside = raster.is_covered
    np.testing.assert_allclose(raster.depth[inside], (1 + x + 2 * y)[inside], atol=1e-6)
    np.testing.assert_allclose(raster.barycentric[1, 2], [0.25, 0.5, 0.25], atol=1e-7)
    np.testing.assert_allclose(raster.barycentric.sum(-1), inside, atol=1e-6)


def test_empty_pixels_are_marked() -> None:
    raster = rasterize(VERTICES, TRIANGLE, (6, 7))
    assert raster.triangle[5, 6] == -1
    assert raster.depth[5, 6] == -np.inf
    np.testing.assert_array_equal(raster.barycentric[5, 6], 0)


def test_interpolate_spreads_vertex_values() -> None:
    raster = rasterize(VERTICES, TRIANGLE, (6, 7))
    spread = raster.interpolate(VERTICES, TRIANGLE)
    y, x = np.mgrid[:6, :7]
    expected = np.stack([x, y, 1 + x + 2 * y], -1) * raster.is_covered[..., None]
    np.testing.assert_allclose(spread, expected, atol=1e-5)
    assert spread.dtype == np.float32


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearest_triangle_wins(order: list[int]) -> None:
    near = VERTICES * [1, 1, 0] + [0, 0, 20]
    far = VERTICES * [1, 1, 0] + [0, 0, 10]
    triangles = np.array([[0, 1, 2], [3, 4, 5]])[order]
    raster = rasterize(np.vstack([near, far]), triangles, (6, 7))
    np.testing.assert_array_equal(raster.depth[raster.is_covered], 20)
    assert set(raster.triangle[raster.is_covered]) == {order.index(0)}
    np.testing.assert_array_equal(
        depth_buffer(np.vstack([near, far]), triangles, (6, 7)), raster.depth
    )


def test_of_equally_near_triangles_the_first_wins() -> None:
    raster = rasterize(VERTICES, np.vstack([TRIANGLE, TRIANGLE]), (6, 7))
    assert set(raster.triangle[raster.is_covered]) == {0}


def test_winding_does_not_matter() -> None:
    one = rasterize(VERTICES, TRIANGLE, (6, 7))
    other = rasterize(VERTICES, TRIANGLE[:, ::-1], (6, 7))
    np.testing.assert_array_equal(one.depth, other.depth)


def test_two_triangles_of_a_square_leave_no_gap() -> None:
    corners = np.array([[0.3, 0.2, 0], [8.7, 0.4, 0], [0.1, 7.9, 0], [8.8, 8.6, 0]])
    raster = rasterize(corners, np.array([[0, 1, 2], [2, 1, 3]]), (10, 10))
    assert raster.is_covered[1:8, 1:9].all()


def test_triangles_may_leave_the_picture() -> None:
    vertices = np.array([[-50.0, -50, 0], [100, -50, 0], [-50, 100, 0]])
    assert rasterize(vertices, TRIANGLE, (5, 5)).is_covered.all()
    assert not rasterize(vertices + [500, 0, 0], TRIANGLE, (5, 5)).is_covered.any()


@pytest.mark.parametrize(
    "vertices",
    [
        np.zeros((3, 3)),  # a point
        np.array([[0.0, 0, 0], [2, 2, 0], [4, 4, 0]]),  # a line
        VERTICES * np.nan,
        VERTICES + [np.nan, 0, 0],
    ],
)
def test_degenerate_and_nan_triangles_draw_nothing(vertices: np.ndarray) -> None:
    assert not rasterize(vertices, TRIANGLE, (6, 6)).is_covered.any()


def test_arguments_stay_as_they_are() -> None:
    vertices, triangles = VERTICES.copy(), TRIANGLE.copy()
    rasterize(vertices, triangles, (6, 7)).interpolate(vertices, triangles)
    np.testing.assert_array_equal(vertices, VERTICES)
    np.testing.assert_array_equal(triangles, TRIANGLE)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vertices must be \(V, 3\), got \(3, 2\)"):
        rasterize(VERTICES[:, :2], TRIANGLE, (4, 4))
    with pytest.raises(ValueError, match=r"triangles must be \(T, 3\), got \(1, 4\)"):
        rasterize(VERTICES, np.zeros((1, 4), int), (4, 4))
    for index in (-1, 3):
        with pytest.raises(ValueError, match="index the 3 vertices"):
            rasterize(VERTICES, np.array([[0, 1, index]]), (6, 7))
