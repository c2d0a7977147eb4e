from collections.abc import Callable

import numpy as np
import pytest

from prnet.draw.overlay import (
    AXES,
    COLORS,
    draw_landmarks,
    draw_overlay,
    draw_pose,
    draw_wireframe,
)
from prnet.face import Face
from prnet.landmarks import PARTS

DRAW = [draw_landmarks, draw_pose, draw_wireframe, lambda image, face: draw_overlay(image, [face])]


def black(face: Face) -> np.ndarray:
    return np.zeros_like(face.image)


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("centre", [(128.0, 120.0), (10.0, 200.0), (-900.0, 9000.0)])
def test_draws_into_a_new_picture(
    make_face: Callable[..., Face],
    draw: Callable[[np.ndarray, Face], np.ndarray],
    centre: tuple[float, float],
) -> None:
    """Also at the photo's edge and beyond it, and where the photo may not be written into."""
    face = make_face(20, -10, 5, centre=centre)
    before = face.image.copy()
    picture = draw(face.image, face)
    assert picture.shape == before.shape and picture.dtype == np.uint8
    np.testing.assert_array_equal(face.image, before)
    is_inside = centre[0] >= 0
    assert (picture != before).any() == is_inside


def test_landmarks_have_their_part_s_color(make_face: Callable[..., Face]) -> None:
    face = make_face()
    picture = draw_landmarks(black(face), face)
    points = np.rint(face.landmarks68[:, :2]).astype(int)
    for name in ("jaw", "left brow", "nose bridge", "right eye"):
        x, y = points[PARTS[name].points[1]]
        np.testing.assert_array_equal(picture[y, x], COLORS[name])


def test_axes_point_where_the_head_does(make_face: Callable[..., Face]) -> None:
    """Frontal: red to the right, green up; looking to the left of the photo: blue to the left."""
    large = {"scale": 32.0, "centre": (512.0, 480.0), "shape_hw": (1024, 1024)}
    face = make_face(**large)
    nose = face.landmarks68[30]
    picture = draw_pose(black(face), face)
    red, green = (np.argwhere((picture == AXES[k]).all(2)) for k in (0, 1))
    assert red[:, 1].mean() > nose[0] + 40 and abs(red[:, 0].mean() - nose[1]) < 12
    assert green[:, 0].mean() < nose[1] - 40 and abs(green[:, 1].mean() - nose[0]) < 12
    face = make_face(60, **large)
    picture = draw_pose(black(face), face)
    blue = np.argwhere((picture == AXES[2]).all(2))
    assert blue[:, 1].mean() < face.landmarks68[30, 0] - 40


def test_wires_are_drawn_where_the_face_is_seen(make_face: Callable[..., Face]) -> None:
    face = make_face(50)
    picture = draw_wireframe(black(face), face)
    drawn = picture.any(2)
    on_face = face.image[..., 2] == 255
    assert 0.2 < drawn[on_face].mean() < 0.8
    assert (drawn & ~on_face).sum() < 0.03 * drawn.sum()


def test_lines_grow_with_the_face(make_face: Callable[..., Face]) -> None:
    small = make_face(scale=16.0, centre=(256.0, 240.0), shape_hw=(512, 512))
    large = make_face(scale=64.0, centre=(1024.0, 960.0), shape_hw=(2048, 2048))
    shares = [(draw_landmarks(black(face), face).max(2) > 128).mean() for face in (small, large)]
    assert shares[1] == pytest.approx(shares[0], rel=0.35)


def test_several_faces_on_one_photo(make_face: Callable[..., Face]) -> None:
    left = make_face(scale=4.0, centre=(64.0, 120.0))
    right = make_face(scale=4.0, centre=(192.0, 120.0))
    photo = np.zeros((256, 256, 3), np.uint8)
    both = draw_overlay(photo, [left, right])
    np.testing.assert_array_equal(both[:, :128], draw_overlay(photo, [left])[:, :128])
    np.testing.assert_array_equal(both[:, 128:], draw_overlay(photo, [right])[:, 128:])
    np.testing.assert_array_equal(draw_overlay(photo, []), photo)
