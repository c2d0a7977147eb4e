from collections.abc import Callable

import numpy as np
import pytest

from prnet.apps.edit import apply_texture
from prnet.face import Face

MakeFace = Callable[..., Face]


def test_an_unchanged_texture_changes_nothing(make_face: MakeFace) -> None:
    face = make_face(20, 0, 10)
    noisy = face.texture(512)
    noisy[::2, :, :3] = np.minimum(noisy[::2, :, :3], 253) + 2  # as an editor's JPEG would
    for texture in (face.texture(512), face.texture(512)[..., :3], noisy):
        np.testing.assert_array_equal(apply_texture(face, texture), face.image)


def test_a_changed_patch_changes_only_that_patch(make_face: MakeFace) -> None:
    """The photo's red and green say which texel each pixel shows."""
    face = make_face(10, 0, 10)
    texture = face.texture(512)
    texture[250:290, 310:350, :3] = (0, 0, 255)
    edited = apply_texture(face, texture)
    is_changed = (edited != face.image).any(2)
    u, v = np.moveaxis(face.image[..., :2] / 255 * 512, 2, 0)
    is_inside = (u > 313) & (u < 347) & (v > 253) & (v < 287) & (face.image[..., 2] > 0)
    is_near = (u > 305) & (u < 355) & (v > 245) & (v < 295)
    assert is_inside.sum() > 100
    assert is_changed[is_inside].all() and not is_changed[~is_near].any()
    np.testing.assert_allclose(edited[is_inside][:, 2], 255, atol=1)
    assert edited[is_inside][:, :2].max() <= 3


def test_alpha_is_the_edits_opacity(make_face: MakeFace) -> None:
    face = make_face()
    texture = face.texture(256)
    texture[120:160, 150:180] = (0, 0, 0, 0)
    np.testing.assert_array_equal(apply_texture(face, texture), face.image)


def test_what_is_hidden_is_not_painted_through(make_face: MakeFace) -> None:
    """All of the face's far half is edited; nothing shows that isn't there."""
    face = make_face(60, 0, 0)
    texture = face.texture(256)
    hidden = texture[..., 3] == 0
    texture[hidden] = 255
    np.testing.assert_array_equal(apply_texture(face, texture), face.image)


@pytest.mark.parametrize("texture", [np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8, 3))])
def test_what_is_no_texture(make_face: MakeFace, texture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a square RGB or RGBA picture"):
        apply_texture(make_face(), texture)
