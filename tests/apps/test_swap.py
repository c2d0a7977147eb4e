from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from prnet.apps.swap import swap_face
from prnet.face import Face

MakeFace = Callable[..., Face]
CHEEK_UV = (0.64, 0.5)  # of the subject's left cheek


def cheek(face: Face) -> int:
    """The vertex there."""
    return int(np.argmin(np.linalg.norm(face.atlas.vertices_uv - CHEEK_UV, axis=1)))


def spotted(face: Face, radius: float = 4.0) -> Face:
    """The face with a dark spot on its cheek."""
    photo = np.array(face.image)
    x, y = face.vertices[cheek(face), :2]
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    photo[np.hypot(columns - x, rows - y) < radius] = 0
    return replace(face, image=photo)


@pytest.mark.parametrize("centre", [(128.0, 120.0), (30.0, 120.0), (128.0, 235.0)])
def test_a_face_with_itself_stays(make_face: MakeFace, centre: tuple[float, float]) -> None:
    """Also where the photo's border cuts it."""
    face = make_face(15, 5, 10, centre=centre)
    error = np.abs(swap_face(face, face).astype(int) - face.image)
    assert error.mean() < 0.5
    assert np.percentile(error, 99.8) <= 6  # but for a few pixels of the outline


def test_features_come_along(make_face: MakeFace) -> None:
    """A spot of the source's cheek is where the target's cheek is, in another pose."""
    source, target = spotted(make_face(-10, 0, 0)), make_face(20, 5, -15, scale=9)
    swapped, plain = (swap_face(each, target) for each in (source, make_face(-10, 0, 0)))
    darker = plain.astype(int).sum(2) - swapped.astype(int).sum(2) > 150
    rows, columns = np.nonzero(darker)
    x, y = target.vertices[cheek(target), :2]
    assert np.hypot(columns.mean() - x, rows.mean() - y) < 1.5
    assert 20 < len(rows) < 120


def test_what_is_not_the_face_stays(make_face: MakeFace) -> None:
    """The background, ears and neck; and both faces themselves."""
    source, target = make_face(0, 0, 0), make_face(20, 0, 0)
    before = np.array(target.image)
    brighter = replace(source, image=255 - np.asarray(source.image))
    is_changed = (swap_face(brighter, target) != before).any(2)
    np.testing.assert_array_equal(target.image, before)
    around = cv2.connectedComponents((target.image[..., 2] == 0).astype(np.uint8))[1] == 1
    assert around[0, 0] and not is_changed[around].any()
    low, high = target.landmarks68[:, :2].min(0), target.landmarks68[:, :2].max(0)
    rows, columns = np.nonzero(is_changed)
    assert columns.min() > low[0] - 8 and columns.max() < high[0] + 8 and rows.max() < high[1] + 8


def test_colors_become_the_targets(make_face: MakeFace) -> None:
    source, target = make_face(0, 0, 0), make_face(0, 0, 0)
    dark = replace(source, image=(np.asarray(source.image) // 3).astype(np.uint8))
    swapped = swap_face(dark, target)
    x0, y0, x1, y1 = target.box.astype(int)
    inner = slice(y0 + 30, y1 - 30), slice(x0 + 30, x1 - 30)
    error = swapped[inner].astype(int) - target.image[inner]
    assert np.abs(error.mean((0, 1))).max() < 20  # where it was 100 off


def test_a_photo_is_needed(make_face: MakeFace) -> None:
    face = make_face()
    with pytest.raises(ValueError, match="needs its photo"):
        swap_face(face.without_image(), face)
