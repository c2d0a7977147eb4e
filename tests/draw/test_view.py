from collections.abc import Callable

import cv2
import numpy as np
import pytest

from prnet.draw.view import STYLES, view_face
from prnet.face import Face
from prnet.uv.openings import film_triangles

MakeFace = Callable[..., Face]


def test_the_photos_own_pose_is_the_photo(make_face: MakeFace) -> None:
    face = make_face(20, 5, 10)
    view = view_face(face, 20, 5, 10)
    is_face = cv2.erode((face.image[..., 2] > 0).astype(np.uint8), np.ones((7, 7))) > 0
    assert (view[..., 3][is_face] == 255).all()
    error = np.abs(view[..., :3].astype(int) - face.image)[is_face]
    assert np.median(error) <= 2 and np.percentile(error, 95) < 12
    assert (view[..., 3][cv2.dilate(face.image[..., 2], np.ones((9, 9))) == 0] == 0).all()


def test_it_turns(make_face: MakeFace) -> None:
    """A point of the photo's colors, at its place in the other pose."""
    face, other = make_face(0, 0, 0), make_face(-30, 10, 0)
    view = view_face(face, -30, 10)
    shift = (face.vertices.min(0) + face.vertices.max(0)) - (
        other.vertices.min(0) + other.vertices.max(0)
    )
    expected = np.rint(other.landmarks68[30] + shift / 2).astype(int)
    u, v = view[expected[1], expected[0], :2] / 255
    np.testing.assert_allclose([u, v], face.atlas.landmarks68_uv[30], atol=0.02)


def test_normals_are_those_of_normal_maps(make_face: MakeFace) -> None:
    face = make_face()
    view = view_face(face, style="normals")
    seen = view[view[..., 3] == 255].astype(int)
    assert (seen[:, 2] > 120).all()  # nothing turns away
    rows, columns = np.nonzero(view[..., 3])
    left, right = columns < np.quantile(columns, 0.1), columns > np.quantile(columns, 0.9)
    red = view[rows, columns, 0].astype(int)
    assert red[left].mean() < 90 and red[right].mean() > 165


@pytest.mark.parametrize("style", STYLES)
def test_every_style_over_the_photo(make_face: MakeFace, style: str) -> None:
    face = make_face()
    view = view_face(face, 30, 0, style=style, light=(1, 0.5, 0.5), on_photo=True)
    assert view.shape == (256, 256, 4) and (view[..., 3] == 255).all()
    assert view[..., :3].std() > 10
    without = view_face(face, 30, 0, style=style, light=(-1, 0.5, 0.5), on_photo=True)
    assert style == "normals" or np.abs(view.astype(int) - without).mean() > 2


def test_without_a_photo(make_face: MakeFace) -> None:
    bare = make_face().without_image()
    view = view_face(bare, 20, style="shaded")
    assert view.shape == (512, 512, 4) and 0.15 < (view[..., 3] > 0).mean() < 0.8
    with pytest.raises(ValueError, match="needs the face's photo"):
        view_face(bare)


def test_wrong_arguments(make_face: MakeFace) -> None:
    with pytest.raises(ValueError, match="style must be one of textured, shaded"):
        view_face(make_face(), style="x")
    with pytest.raises(ValueError, match="light must have a direction"):
        view_face(make_face(), light=(0, 0, 0))


def test_films_close_what_they_name(make_face: MakeFace) -> None:
    face = make_face()
    everything, eyes, mouth = (film_triangles(face.atlas, of) for of in ("all", "eyes", "mouth"))
    points = face.position_map.reshape(-1, 3)
    low, high = face.landmarks68[36:48].min(0), face.landmarks68[36:48].max(0)
    assert (points[eyes][..., 1] > low[1] - 2).all() and (points[eyes][..., 1] < high[1] + 2).all()
    assert (points[mouth][..., 1] > face.landmarks68[33, 1]).all()
    whole = {tuple(each) for each in everything.tolist()}
    assert whole > {tuple(each) for each in eyes.tolist()} | {tuple(e) for e in mouth.tolist()}
