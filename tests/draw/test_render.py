from collections.abc import Callable

import cv2
import numpy as np
import pytest

from prnet.draw.render import render_pncc, render_shaded
from prnet.face import Face

SHAPE = (256, 256)


def at_vertices(picture: np.ndarray, face: Face) -> np.ndarray:
    columns, rows = np.rint(face.vertices[:, :2]).astype(int).T
    return picture[rows, columns]


def test_pncc_says_which_point_of_the_mean_face_is_seen(make_face: Callable[..., Face]) -> None:
    face = make_face(-30, 10, 5)
    picture = render_pncc([face], SHAPE)
    assert picture.shape == (*SHAPE, 3) and picture.dtype == np.uint8
    canonical = face.atlas.canonical_vertices
    code = (canonical - canonical.min(0)) / np.ptp(canonical, axis=0) * 255
    error = np.abs(at_vertices(picture, face) - code)[face.visibility].max(1)
    assert np.median(error) < 2 and np.percentile(error, 95) < 8


def test_shading_goes_from_photo_to_clay(make_face: Callable[..., Face]) -> None:
    face = make_face(10)
    before = face.image.copy()
    clear, half, clay = (render_shaded([face], face.image, share) for share in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(clear, face.image)
    np.testing.assert_array_equal(face.image, before)
    assert np.abs((clear.astype(int) + clay) / 2 - half).max() <= 1
    skin = clay[face.image[..., 2] == 255].astype(int)
    assert np.median(np.ptp(skin, axis=1)) < 15  # gray
    assert np.ptp(skin[:, 0]) > 80  # with light and shadow
    np.testing.assert_array_equal(clay[:20, :20], before[:20, :20])


def test_smoothed_edges_lie_where_the_others_do(make_face: Callable[..., Face]) -> None:
    face = make_face(15)
    clay = render_shaded([face], np.zeros((*SHAPE, 3), np.uint8)) > 40
    flat = render_pncc([face], SHAPE) > 0
    middles = [np.argwhere(picture.any(2)).mean(0) for picture in (clay, flat)]
    np.testing.assert_allclose(*middles, atol=0.15)


def test_light_comes_from_the_upper_left(make_face: Callable[..., Face]) -> None:
    face = make_face()
    picture = render_shaded([face], np.zeros((*SHAPE, 3), np.uint8))
    cheeks = face.landmarks68[[2, 14], :2].mean(0)
    row, middle = int(cheeks[1]), int(cheeks[0])
    left, right = picture[row, middle - 45 : middle], picture[row, middle + 1 : middle + 46]
    assert left.mean() > right.mean() + 5


def test_the_inside_of_the_far_half_is_not_drawn(make_face: Callable[..., Face]) -> None:
    """One looks through the eye openings at the background, in profile too."""
    face = make_face(70)
    picture = render_pncc([face], SHAPE).any(2)
    seen = face.image[..., 2] == 255  # the photo was painted with both sides of the mesh
    assert not picture[~seen].any()
    assert 0 < (seen & ~picture).sum() < 0.02 * seen.sum()


def test_the_larger_face_hides_the_smaller(make_face: Callable[..., Face]) -> None:
    small, large = make_face(scale=5.0), make_face(20, scale=8.0)
    alone = render_pncc([large], SHAPE)
    both = render_pncc([large, small], SHAPE)
    covered = alone.any(2)
    np.testing.assert_array_equal(both[covered], alone[covered])
    np.testing.assert_array_equal(both, render_pncc([small, large], SHAPE))


@pytest.mark.parametrize("centre", [(-900.0, 50.0), (0.0, 0.0), (255.0, 300.0)])
def test_faces_at_and_beyond_the_edge(
    make_face: Callable[..., Face], centre: tuple[float, float]
) -> None:
    face = make_face(centre=centre)
    assert render_pncc([face], SHAPE).any() == (centre[0] >= 0)
    np.testing.assert_array_equal(
        render_pncc([face], SHAPE).any(2), render_pncc([face], (300, 300))[:256, :256].any(2)
    )
    shaded = render_shaded([face], face.image)
    outside = ~cv2.dilate(render_pncc([face], SHAPE), np.ones((3, 3))).any(2)
    np.testing.assert_array_equal(shaded[outside], face.image[outside])
    assert (shaded != face.image).any() == (centre[0] >= 0)


def test_no_faces() -> None:
    assert render_pncc([], (4, 6)).shape == (4, 6, 3)
    photo = np.full((4, 6, 3), 9, np.uint8)
    np.testing.assert_array_equal(render_shaded([], photo), photo)
