from collections.abc import Callable

import numpy as np
import pytest

from prnet.apps.align import ARCFACE_POINTS, TEMPLATES, align_face
from prnet.face import Face

MakeFace = Callable[..., Face]


@pytest.mark.parametrize("template", TEMPLATES)
def test_place_size_and_roll_do_not_matter(make_face: MakeFace, template: str) -> None:
    one = align_face(make_face(), template, 128)
    large = make_face(0, 0, 25, scale=9, centre=(150, 130), shape_hw=(280, 300))
    other = align_face(large, template, 128)
    np.testing.assert_allclose(one.points68, other.points68, atol=0.01)
    difference = np.abs(one.crop[20:90, 30:100].astype(int) - other.crop[20:90, 30:100])
    assert np.median(difference) <= 2


def test_arcface_at_its_own_size(make_face: MakeFace) -> None:
    aligned = align_face(make_face(), "arcface", 112)
    offsets = aligned.points5 - ARCFACE_POINTS
    assert np.abs(offsets.mean(0)).max() < 0.01 and np.abs(offsets).max() < 4
    moved = aligned.image_to_crop.matrix() @ np.append(make_face().landmarks68[30, :2], 1)
    np.testing.assert_allclose(moved, aligned.points5[2], atol=1e-4)


def test_ffhq_by_its_corners(make_face: MakeFace) -> None:
    """The square of FFHQ's description, by its centre and its half axes, becomes the crop."""
    face = make_face(10, 0, 20)
    points = face.landmarks68[:, :2].astype(float)
    left, right, mouth = points[36:42].mean(0), points[42:48].mean(0), points[[48, 54]].mean(0)
    eyes, across = (left + right) / 2, right - left
    down = mouth - eyes
    x = across - down[::-1] * [-1, 1]
    x *= max(np.hypot(*across) * 2, np.hypot(*down) * 1.8) / np.hypot(*x)
    y = x[::-1] * [-1, 1]
    centre = eyes + down * 0.1
    corners = np.array([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    size = 200
    expected = np.array([[0, 0], [0, size], [size, size], [size, 0]]) - 0.5
    move = align_face(face, "ffhq", size).image_to_crop
    np.testing.assert_allclose(move.apply(corners), expected, atol=1e-6)


def test_the_crop_shows_what_the_points_say(make_face: MakeFace) -> None:
    """The photo's red and green are u and v: at each point the crop shows the point's own place."""
    face = make_face()
    aligned = align_face(face, "2d", 240)
    inner = slice(17, 68)
    x, y = np.rint(aligned.points68[inner]).astype(int).T
    shown = aligned.crop[y, x, :2] / 255
    assert np.median(np.abs(shown - face.atlas.landmarks68_uv[inner])) < 0.01


def test_wrong_arguments(make_face: MakeFace) -> None:
    with pytest.raises(ValueError, match="template must be one of arcface, ffhq, 2d, got 'x'"):
        align_face(make_face(), "x")
    with pytest.raises(ValueError, match="size must be at least 1"):
        align_face(make_face(), size=0)
    with pytest.raises(ValueError, match="needs its photo"):
        align_face(make_face().without_image())
