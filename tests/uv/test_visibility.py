from collections.abc import Callable

import numpy as np
import pytest

from prnet.face import Face
from prnet.uv.visibility import MIN_FACING, MeshView


def grid(size: int, step: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """A square sheet about the origin that faces the viewer: photo vertices and triangles."""
    ramp = (np.arange(size) - (size - 1) / 2) * step
    x, y = np.meshgrid(ramp, ramp)
    vertices = np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3)
    index = np.arange(size * size).reshape(size, size)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)])
    return vertices, triangles.reshape(-1, 3)


def ball(steps: int = 200, radius: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    """A ball about the origin: photo vertices and triangles."""
    polar, around = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, steps),
        np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False),
        indexing="ij",
    )
    points = np.stack(
        [np.sin(polar) * np.sin(around), -np.cos(polar), np.sin(polar) * np.cos(around)], -1
    )
    index = np.arange(points[..., 0].size).reshape(polar.shape)
    a, b = index[:-1], index[1:]
    c, d = np.roll(a, -1, 1), np.roll(b, -1, 1)
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)])
    return points.reshape(-1, 3) * radius, triangles.reshape(-1, 3)


def test_of_a_ball_the_near_half_is_seen() -> None:
    vertices, triangles = ball()
    facing = vertices[:, 2] / 100
    view = MeshView(vertices, triangles)
    is_visible = view.is_visible
    assert is_visible.dtype == bool
    clear = np.abs(facing - MIN_FACING) > 0.02
    np.testing.assert_array_equal(is_visible[clear], facing[clear] > MIN_FACING)
    inner = np.abs(vertices[:, 1]) < 99
    np.testing.assert_allclose(view.normals[inner, 2], facing[inner], atol=0.03)
    # of a disk the middle is half its width from the outline
    distance = view.distance_from_edges()
    expected = 0.5 - np.hypot(vertices[:, 0], vertices[:, 1]) / 200
    np.testing.assert_allclose(distance[is_visible], expected[is_visible], atol=0.02)
    x, y = np.linspace(-300, 300, 61), np.full(61, 30.0)
    np.testing.assert_array_equal(view.covers(np.stack([x, y], 1)), np.hypot(x, y) < 100)


def test_a_sheet_in_front_hides_what_is_behind_it() -> None:
    """The front sheet is 21 px wide and hides 10.5 px about the middle of one 41 px wide."""
    back, back_triangles = grid(41, 1.0, 0.0)
    front, front_triangles = grid(21, 1.0, 5.0)
    is_visible = MeshView(
        np.concatenate([back, front]), np.concatenate([back_triangles, front_triangles + len(back)])
    ).is_visible
    assert is_visible[len(back) :].all()
    reach = np.abs(back[:, :2]).max(1)
    assert not is_visible[: len(back)][reach < 9.9].any()
    assert is_visible[: len(back)][reach > 10.1].all()


def test_touching_sheets_do_not_hide_each_other() -> None:
    back, back_triangles = grid(41, 1.0, 0.0)
    front, front_triangles = grid(21, 1.0, 0.1)  # a quarter of a per cent of the size
    triangles = np.concatenate([back_triangles, front_triangles + len(back)])
    assert MeshView(np.concatenate([back, front]), triangles).is_visible.all()


def test_scale_and_place_do_not_matter(make_face: Callable[..., Face]) -> None:
    face = make_face(35, 10, 5)
    for moved in (face.vertices * 20 + [5000, -300, 70], face.vertices / 50 - [90, 0, 0]):
        view = MeshView(moved.astype(np.float32), face.triangles)
        same = view.is_visible == face.visibility
        assert same.mean() > 0.999


@pytest.mark.parametrize("place", [5e5, 1e9, 3e9])
def test_float64_may_lie_far_off(place: float) -> None:
    vertices, triangles = grid(41, 0.25, 0.0)
    near, far = MeshView(vertices, triangles), MeshView(vertices + place, triangles)
    assert far.is_visible.all()
    np.testing.assert_array_equal(far.distance_from_edges(), near.distance_from_edges())


def test_rays_agree(make_face: Callable[..., Face]) -> None:
    """Brute force: of a facing vertex, does any triangle cover it and lie nearer?"""
    face = make_face(40, -10, 8)
    vertices, triangles = face.vertices.astype(np.float64), face.triangles
    rng = np.random.default_rng(0)
    is_facing = face.view.normals[:, 2] > MIN_FACING
    asked = rng.choice(np.flatnonzero(is_facing), 150, replace=False)
    a, b, c = np.moveaxis(vertices[triangles], 1, 0)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    solid = np.abs(area) > 1e-9
    a, b, c, area = a[solid], b[solid], c[solid], area[solid]
    agreed = 0
    for index in asked:
        x, y, z = vertices[index]
        wb = ((x - a[:, 0]) * (c - a)[:, 1] - (y - a[:, 1]) * (c - a)[:, 0]) / area
        wc = ((b - a)[:, 0] * (y - a[:, 1]) - (b - a)[:, 1] * (x - a[:, 0])) / area
        inside = (wb >= 0) & (wc >= 0) & (wb + wc <= 1)
        depth = a[:, 2] + wb * (b - a)[:, 2] + wc * (c - a)[:, 2]
        is_hidden = (depth[inside] > z + 0.005 * np.ptp(vertices[:, 1])).any()
        agreed += face.visibility[index] == (not is_hidden)
    assert agreed >= 148


@pytest.mark.parametrize(
    ("yaw", "left_share", "right_share"),
    [(0, (0.6, 0.9), (0.6, 0.9)), (80, (0, 0.12), (0.8, 1)), (-80, (0.8, 1), (0, 0.12))],
)
def test_the_far_side_of_a_face_is_hidden(
    make_face: Callable[..., Face],
    yaw: float,
    left_share: tuple[float, float],
    right_share: tuple[float, float],
) -> None:
    """u < ½ is the subject's right, on the left of a frontal photo, hidden when it looks left."""
    face = make_face(yaw)
    is_left = face.atlas.vertices_uv[:, 0] < 0.5
    assert left_share[0] <= face.visibility[is_left].mean() <= left_share[1]
    assert right_share[0] <= face.visibility[~is_left].mean() <= right_share[1]


@pytest.mark.parametrize("y", [1, np.nan, np.inf, -np.inf])
def test_nothing_of_a_collapsed_face_is_seen(y: float) -> None:
    vertices = np.ones((3, 3), np.float32)
    vertices[0, 1] = y
    view = MeshView(vertices, np.array([[0, 1, 2]]))
    assert not view.is_visible.any() and not view.distance_from_edges().any()


@pytest.mark.parametrize("yaw", [0, 50])
def test_fewer_triangles_show_the_same(make_face: Callable[..., Face], yaw: float) -> None:
    face = make_face(yaw)
    atlas = face.atlas
    fine = MeshView(face.vertices, atlas.triangles)
    coarse = MeshView(face.vertices, atlas.triangles, atlas.coarse_triangles)
    assert len(atlas.coarse_triangles) < 0.4 * len(atlas.triangles)
    for triangles in (atlas.triangles, atlas.coarse_triangles):
        one, other = np.diff(atlas.vertices_uv[triangles], axis=1).transpose(1, 0, 2)
        assert (one[:, 0] * other[:, 1] < one[:, 1] * other[:, 0]).all()
    assert (fine.is_visible == coarse.is_visible).mean() > 0.999
    seen = fine.is_visible
    apart = np.abs(fine.distance_from_edges() - coarse.distance_from_edges())[seen]
    assert apart.mean() < 0.001 and np.quantile(apart, 0.98) < 0.01
