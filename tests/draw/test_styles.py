from collections.abc import Callable

import numpy as np
import pytest

from prnet.draw.styles import STYLES, draw_number
from prnet.face import Face


@pytest.mark.parametrize("name", STYLES)
def test_each_style_draws_the_face_and_leaves_the_frame_alone(
    name: str, make_face: Callable[..., Face]
) -> None:
    face = make_face(20, 0, 0, scale=5.0)
    assert face.image is not None
    frame = np.full_like(face.image, 128)
    drawn = STYLES[name](frame, [face])
    assert drawn.shape == frame.shape and drawn.dtype == np.uint8
    assert (frame == 128).all()
    x0, y0, x1, y1 = np.rint(face.box).astype(int)
    assert (drawn[y0:y1, x0:x1] != drawn[0, 0]).any(2).mean() > 0.02
    assert (drawn[:20, :20] == drawn[0, 0]).all()


@pytest.mark.parametrize("name", STYLES)
def test_no_face_no_drawing(name: str) -> None:
    frame = np.full((40, 60, 3), 100, np.uint8)
    assert np.ptp(STYLES[name](frame, [])) == 0


def test_near_is_red_and_far_is_blue(make_face: Callable[..., Face]) -> None:
    face = make_face(scale=5.0)
    assert face.image is not None
    drawn = STYLES["depth"](face.image, [face])
    column, row = np.rint(face.landmarks68[30, :2]).astype(int)  # the tip of the nose
    red, _, blue = drawn[row, column].astype(int)
    assert red > 100 and blue < 60
    seen = face.vertices[face.visibility]
    column, row = np.rint(seen[np.argmin(seen[:, 2]), :2]).astype(int)
    red, _, blue = drawn[row, column].astype(int)
    assert blue > red


def test_a_number_stands_above_the_face(make_face: Callable[..., Face]) -> None:
    face = make_face(scale=5.0)
    frame = np.full((256, 256, 3), 128, np.uint8)
    changed = (draw_number(frame, face, 7) != 128).any(2)
    rows, columns = np.nonzero(changed)
    x0, y0, x1, _ = face.box
    assert rows.max() < y0 and x0 < columns.min() < columns.max() < x1
    assert (frame == 128).all()
