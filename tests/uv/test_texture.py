from collections.abc import Callable

import numpy as np
import pytest

from prnet.face import Face
from prnet.uv.complete import complete_texture
from prnet.uv.texture import sample_photo, sample_texture

FRONT = np.ones(
    (256, 256), np.float32
)  # a facing map of a surface that faces the viewer everywhere


def flat_map(size_px: float = 255.0) -> np.ndarray:
    """A position map whose pixel (i, j) lies at x = j, y = i of a photo, scaled to a width."""
    y, x = np.mgrid[:256, :256].astype(np.float32) * np.float32(size_px / 255)
    return np.dstack([x, y, np.zeros_like(x)])


@pytest.mark.parametrize("width", [1535, 1536, 2047])
def test_a_halved_photo_shows_all_that_it_showed(width: int) -> None:
    photo = np.full((width, width, 3), 90, np.uint8)
    seen = np.ones((256, 256), bool)
    texture = sample_texture(photo, flat_map(width - 1), seen, 256)
    assert (texture == [90, 90, 90, 255]).all()


def test_sample_photo_by_hand() -> None:
    photo = np.array([[[0, 0, 0], [100, 0, 0]], [[0, 200, 0], [100, 200, 40]]], np.uint8)
    points = np.array([[0, 0], [0.25, 0], [0.5, 0.5], [1, 1]], np.float32)
    expected = [[0, 0, 0], [25, 0, 0], [50, 100, 10], [100, 200, 40]]
    np.testing.assert_array_equal(sample_photo(photo, points), expected)


def test_sample_photo_takes_the_edge_beyond_it() -> None:
    """PRNet's script clamped the caller's own vertices here, which squashed the saved mesh."""
    photo = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    points = np.array([[-5, 1, 7], [9, -1, 7], [2, 99, 7]], np.float32)
    before = points.copy()
    np.testing.assert_array_equal(sample_photo(photo, points), photo[[1, 0, 2], [0, 2, 2]])
    np.testing.assert_array_equal(points, before)


def test_sample_photo_of_one_pixel() -> None:
    photo = np.full((1, 1, 3), 77, np.uint8)
    np.testing.assert_array_equal(sample_photo(photo, np.zeros((2, 3))), np.full((2, 3), 77))


def test_texture_of_a_flat_map_is_the_photo() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    texture = sample_texture(photo, flat_map(), np.ones((256, 256), bool), 256)
    assert texture.shape == (256, 256, 4) and texture.dtype == np.uint8
    np.testing.assert_array_equal(texture[..., :3], photo)
    np.testing.assert_array_equal(texture[..., 3], 255)


@pytest.mark.parametrize("size", [100, 256, 500, 1024])
def test_texels_lie_where_uv_says(size: int) -> None:
    """A ramp over the photo is a ramp over the texture, from half a texel on, at any size."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (256, 256, 3))
    texture = sample_texture(ramp, flat_map(), np.ones((256, 256), bool), size)
    u = (np.arange(size) + 0.5) / size
    expected = np.clip(u * 256 - 0.5, 0, 255)
    assert np.abs(texture[..., 0] - expected).max() <= 1


def test_alpha_is_0_where_nothing_is_seen() -> None:
    is_seen = np.zeros((256, 256), bool)
    is_seen[64:192, 64:128] = True
    photo = np.full((256, 256, 3), 90, np.uint8)
    texture = sample_texture(photo, flat_map(), is_seen, 1024)
    alpha = texture[..., 3]
    # the border rises inside what is seen, over a step of the map, which is four texels here
    assert (alpha[272:752, 272:496] == 255).all()
    outside = np.ones((1024, 1024), bool)
    outside[256:768, 256:512] = False
    assert not alpha[outside].any()
    assert not texture[alpha == 0].any()
    assert (texture[alpha > 0, :3] == 90).all()
    steps = np.diff(alpha[500, 250:280].astype(int))
    assert (steps >= 0).all() and (steps > 0).sum() >= 2  # smooth, and only once


def test_alpha_is_0_outside_the_photo() -> None:
    photo = np.full((100, 150, 3), 90, np.uint8)
    texture = sample_texture(photo, flat_map(), np.ones((256, 256), bool), 256)
    inside = np.zeros((256, 256), bool)
    inside[:100, :150] = True
    np.testing.assert_array_equal(texture[..., 3] == 255, inside)
    elsewhere = flat_map() + np.float32(1000)
    assert not sample_texture(photo, elsewhere, np.ones((256, 256), bool), 64).any()


def test_large_photos_are_averaged_not_skipped_through() -> None:
    """A texel of ten pixels shows their mean: a fine checkerboard is gray, not noise."""
    y, x = np.mgrid[:2560, :2560]
    board = np.repeat((255 * ((x + y) % 2)).astype(np.uint8)[..., None], 3, 2)
    texture = sample_texture(board, flat_map(2550), np.ones((256, 256), bool), 256)
    assert np.abs(texture[8:-8, 8:-8, :3].astype(int) - 127).max() < 12


def test_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        sample_texture(np.zeros((9, 9, 3), np.uint8), flat_map(), np.ones((256, 256), bool), 0)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (35, 10), (-75, 0)])
def test_texture_of_a_face_has_its_own_colors(
    make_face: Callable[..., Face], yaw: float, pitch: float
) -> None:
    """The painted photo says in red and green where in UV each of its pixels lies."""
    face = make_face(yaw, pitch)
    texture = face.texture(512)
    v, u = (np.mgrid[:512, :512] + 0.5) / 512 * 255
    shown = texture[..., 3] == 255
    error = np.hypot(texture[..., 0] - u, texture[..., 1] - v)[shown]
    assert shown.mean() > 0.3
    assert np.median(error) < 1.5 and np.percentile(error, 95) < 8
    assert (texture[shown, 2] > 200).mean() > 0.98  # blue: next to no background


def test_holes_and_border_of_the_chart_are_never_shown(make_face: Callable[..., Face]) -> None:
    face = make_face()
    assert not face.texture(256)[~face.atlas.mask].any()
    mouth = np.rint(face.atlas.landmarks68_uv[[62, 66]].mean(0) * 1024).astype(int)
    assert face.texture(1024)[mouth[1], mouth[0], 3] == 0


def test_completed_texture_keeps_what_is_shown(make_face: Callable[..., Face]) -> None:
    texture = make_face(20).texture(256)
    completed = complete_texture(texture, FRONT)
    assert completed.shape == (256, 256, 3) and completed.dtype == np.uint8
    mirrored_is_shown = texture[:, ::-1, 3] == 255
    both = (texture[..., 3] == 255) & mirrored_is_shown
    np.testing.assert_allclose(completed[both], texture[both, :3], atol=1)


def test_hidden_skin_takes_the_other_half_s_colors() -> None:
    """A stripe pattern that is symmetric, the right third of it hidden, comes back whole."""
    u = (np.arange(256) + 0.5) / 256
    stripes = (128 + 100 * np.sin(40 * np.abs(u - 0.5))).astype(np.uint8)
    whole = np.broadcast_to(stripes[None, :, None], (256, 256, 3))
    texture = np.dstack([whole, np.full((256, 256), 255, np.uint8)])
    texture[:, 170:] = 0
    completed = complete_texture(texture, FRONT)
    assert np.abs(completed.astype(int) - whole).max() <= 3


def test_borrowed_skin_is_relit() -> None:
    """Where the light makes the right half brighter, what is hidden there becomes brighter too."""
    texture = np.full((256, 256, 4), 255, np.uint8)
    texture[..., :3] = 100
    texture[:, 128:, :3] = 140
    texture[:, 180:] = 0
    completed = complete_texture(texture, FRONT).astype(int)
    assert np.abs(completed[:, 190:] - 140).max() <= 6
    assert np.abs(completed[:, :120] - 100).max() <= 6


def test_what_neither_half_shows_is_filled() -> None:
    texture = np.full((64, 64, 4), 255, np.uint8)
    texture[..., :3] = (200, 150, 100)
    texture[20:40, 10:54] = 0
    completed = complete_texture(texture, FRONT)
    np.testing.assert_allclose(completed, np.full((64, 64, 3), (200, 150, 100)), atol=1)
    assert (complete_texture(np.zeros_like(texture), FRONT) == 128).all()


def test_grazed_skin_gives_way_to_the_other_half() -> None:
    """Toward the silhouette a photo shows background; the other half knows better."""
    texture = np.full((256, 256, 4), 255, np.uint8)
    texture[..., :3] = 100
    texture[:, 200:, :3] = 250
    facing = np.ones((256, 256), np.float32)
    facing[:, 190:] = 0.3
    completed = complete_texture(texture, facing)
    assert np.abs(completed[:, 205:].astype(int) - 100).max() < 40
