"""A profile's outline in the map and in the photo."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from prnet.evaluate.heads import RenderedHead, background_texels, render_head
from prnet.face import Face
from prnet.head.layout import HeadLayout, head_layout
from prnet.uv.complete import complete_face
from prnet.uv.outline import meet_outline
from prnet.uv.position_map import decode_vertices
from prnet.uv.texture import sample_texture
from prnet.uv.visibility import MeshView

SKIN = np.full((256, 256, 3), (190, 140, 115), np.uint8)
OFF_PX = 4.0


@pytest.fixture(scope="module")
def layout() -> HeadLayout:
    return head_layout()


@pytest.fixture(scope="module")
def profile(layout: HeadLayout) -> RenderedHead:
    """Before green, and the face's map a little too far that way in which it looks."""
    rendered = render_head(SKIN, 80, layout)
    return replace(rendered, face=_shifted(rendered.face, OFF_PX))


def _shifted(face: Face, pixels: float) -> Face:
    ahead = face.pose.rotation[:2, 2] * [1, -1]
    shift = np.float32([*(pixels * ahead / np.linalg.norm(ahead)), 0])
    return replace(face, given_map=face.position_map + shift)


@pytest.mark.parametrize("pixels", [-OFF_PX, 0.0, OFF_PX])
def test_the_outline_is_moved_onto_the_photo_s(profile: RenderedHead, pixels: float) -> None:
    face = _shifted(profile.face, pixels - OFF_PX)
    moved = (face.photo_map - face.position_map)[40:90, 126:130, :2]  # the ridge of the nose
    ahead = face.pose.rotation[:2, 2] * [1, -1]
    assert np.abs(moved @ (ahead / np.linalg.norm(ahead)) + pixels).max() < 2
    cheek = (face.photo_map - face.position_map)[:, 225:230]
    assert not cheek.any()


def test_no_background_comes_onto_a_profile(profile: RenderedHead) -> None:
    face = profile.face
    completed = face.texture(256, complete=True)[..., :3]
    assert background_texels(completed, profile) == 0
    in_place = sample_texture(
        face.image, face.position_map, face.atlas.spread(face.visibility), 256
    )
    spoiled = complete_face(in_place, face.view, face.atlas, face.pose.rotation)
    assert background_texels(spoiled, profile) > 100


def test_nothing_moves_without_an_outline_or_without_contrast(
    layout: HeadLayout, profile: RenderedHead
) -> None:
    frontal = render_head(SKIN, 10, layout).face
    np.testing.assert_array_equal(frontal.photo_map, frontal.position_map)
    face = profile.face
    plain = np.full((400, 400, 3), 90, np.uint8)
    for photo in (plain, plain[:9, :9]):
        moved = meet_outline(photo, face.position_map, face.atlas, face.view, face.pose.rotation)
        np.testing.assert_allclose(moved, face.position_map, atol=1e-3)
    assert moved is not face.position_map


def test_large_photos_have_the_same_outline(profile: RenderedHead) -> None:
    face = profile.face
    large = cv2.resize(face.image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    position_map = (face.position_map + [0.5, 0.5, 0]) * np.float32(4) - np.float32([0.5, 0.5, 0])
    large_map = position_map.astype(np.float32)
    view = MeshView(decode_vertices(large_map, face.atlas), face.triangles)
    moved = meet_outline(large, large_map, face.atlas, view, face.pose.rotation)
    small = face.photo_map - face.position_map
    assert np.abs((moved - position_map) / 4 - small).max() < 1
