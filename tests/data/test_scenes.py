"""Scenes composed of made-up photos, in which every face has a colored top."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from prnet.data import scenes as scenes_module
from prnet.data.drawn import KINDS, draw_texture
from prnet.data.scene_canvas import LABELLED_VISIBLE
from prnet.data.scene_mix import LEARNED
from prnet.data.scene_photos import (
    BACKGROUND,
    SOURCES,
    LabelledPhoto,
    ScenePhotos,
    gather_photos,
    load_photos,
    pack_photos,
)
from prnet.data.scenes import Scene, SceneComposer
from prnet.errors import LabelError

NONE = np.empty((0, 4), np.float32)


def make_photo(index: int, held_out: bool = False) -> LabelledPhoto:
    """A face of 80 × 100 pixels about (100, 110) on grey, red above and blue below."""
    pixels = np.full((220, 200, 3), 128, np.uint8)
    cv2.ellipse(pixels, (100, 110), (40, 50), 0, 0, 360, (0, 0, 255), -1)
    cv2.ellipse(pixels, (100, 110), (40, 50), 0, 180, 360, (255, 0, 0), -1)
    face = np.array([100, 110, 80, 100, 0], np.float32)
    ignored = np.array([[0, 0, 20, 20]], np.float32) if index % 2 else NONE
    return LabelledPhoto(pixels, "lfw", face, 10.0 * index, held_out, ignored)


def make_background(held_out: bool) -> LabelledPhoto:
    pixels = np.full((120, 160, 3), (20, 90, 20), np.uint8)
    nobody = np.full(5, np.nan, np.float32)
    return LabelledPhoto(pixels, BACKGROUND, nobody, np.nan, held_out, NONE)


@pytest.fixture(scope="module")
def photos() -> ScenePhotos:
    faces = [make_photo(i, held_out=i == 3) for i in range(4)]
    return gather_photos([*faces, make_background(False), make_background(True)])


@pytest.fixture(scope="module")
def scenes(photos: ScenePhotos) -> list[Scene]:
    composer = SceneComposer(photos, held_out=False)
    rng = np.random.default_rng(0)
    return [composer.compose(rng) for _ in range(90)]


def test_gathered(photos: ScenePhotos) -> None:
    assert len(photos) == 6
    np.testing.assert_array_equal(photos.photo(1), make_photo(1).pixels)
    assert photos.photo(4).shape == (120, 160, 3)
    assert photos.ignored[:, 0].tolist() == [1, 3]
    assert SOURCES[photos.source[5]] == BACKGROUND
    assert photos.held_out.tolist() == [False, False, False, True, False, True]


def test_packed_photos_come_back(photos: ScenePhotos, tmp_path: Path) -> None:
    path = tmp_path / "photos.npz"
    pack_photos([*(make_photo(i, i == 3) for i in range(4)), make_background(False)], path)
    loaded, pixels = load_photos(path, tmp_path)
    assert pixels.is_file()
    assert len(loaded) == 5
    np.testing.assert_array_equal(loaded.faces, photos.faces[:5])
    np.testing.assert_array_equal(loaded.ignored, photos.ignored)
    difference = loaded.photo(2).astype(int) - photos.photo(2)
    assert np.abs(difference).mean() < 4  # what WebP loses


def test_no_packed_photos(tmp_path: Path) -> None:
    path = tmp_path / "photos.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(LabelError, match=r"photos.npz: not packed photos"):
        load_photos(path, tmp_path)


def test_the_same_seed_gives_the_same_scene(photos: ScenePhotos) -> None:
    first, second = (
        SceneComposer(photos, held_out=False, seed=3).compose(np.random.default_rng(9))
        for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scenes_hold_what_they_promise(scenes: list[Scene]) -> None:
    counts = [len(scene.faces) for scene in scenes]
    assert min(counts) == 0 and max(counts) > 7
    faces = np.concatenate([scene.faces for scene in scenes])
    sizes = np.sqrt(faces[:, 2] * faces[:, 3])
    assert sizes.min() < 16 and sizes.max() > 200
    turned = np.abs(np.degrees(np.angle(np.exp(1j * faces[:, 4]))))
    assert (turned > 120).mean() > 0.1 and (turned < 20).mean() > 0.2
    visible = np.concatenate([scene.visible for scene in scenes])
    assert visible.min() >= LABELLED_VISIBLE and visible.max() == 1 and (visible < 0.8).any()
    assert sum(len(scene.ignored) for scene in scenes) > 20
    for scene in scenes:
        assert scene.image.shape == (320, 320, 3) and scene.image.dtype == np.uint8


def test_boxes_and_angles_are_where_the_faces_are(
    photos: ScenePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    composer = SceneComposer(photos, held_out=False)
    monkeypatch.setattr(scenes_module, "degrade", lambda image, rng, noise: image)
    rng = np.random.default_rng(4)
    checked = 0
    for _ in range(100):
        scene = composer.compose(rng)
        for face, visible in zip(scene.faces, scene.visible, strict=True):
            x, y, width, height, angle = face
            up = np.array([np.sin(angle), -np.cos(angle)])
            reach = 0.25 * height
            above, below = np.array([x, y]) + up * reach, np.array([x, y]) - up * reach
            inside = ((above > 1) & (above < 318) & (below > 1) & (below < 318)).all()
            if visible < 0.97 or min(width, height) < 30 or not inside:
                continue
            red = scene.image[int(above[1] + 0.5), int(above[0] + 0.5)].astype(int)
            blue = scene.image[int(below[1] + 0.5), int(below[0] + 0.5)].astype(int)
            assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50
            checked += 1
    assert checked > 30


def test_only_the_split_s_photos_are_used(photos: ScenePhotos) -> None:
    composer = SceneComposer(photos, held_out=True)
    rng = np.random.default_rng(1)
    yaws = np.concatenate([composer.compose(rng).yaw for _ in range(20)])
    assert set(yaws) == {30.0}


@pytest.mark.parametrize("kind", sorted({kind.__name__ for kind in KINDS}))
def test_drawings(kind: str) -> None:
    draw = next(each for each in KINDS if each.__name__ == kind)
    rng = np.random.default_rng(2)
    pictures = [draw(rng, 64) for _ in range(5)]
    assert all(p.shape == (64, 64, 3) and p.dtype == np.uint8 for p in pictures)
    assert any(picture.std() > 10 for picture in pictures)


def test_a_drawing_is_one_of_the_kinds() -> None:
    assert draw_texture(np.random.default_rng(0), 32).shape == (32, 32, 3)


def test_hard_negatives_are_no_faces(photos: ScenePhotos) -> None:
    hard = np.full((2, 8, 8, 3), (255, 0, 255), np.uint8)
    mix = LEARNED._replace(photos=0.0, empty=1.0)
    composer = SceneComposer(photos, held_out=False, mix=mix, hard=hard)
    rng = np.random.default_rng(0)
    with_them = 0
    for _ in range(20):
        scene = composer.compose(rng)
        assert not len(scene.faces)
        with_them += bool((np.abs(scene.image.astype(int) - hard[0, 0, 0]) < 40).all(-1).any())
    assert with_them > 5


def test_faceless_scenes(photos: ScenePhotos) -> None:
    composer = SceneComposer(photos, held_out=False, size=64)
    scene = composer.compose_faceless(np.random.default_rng(1))
    assert scene.shape == (64, 64, 3) and scene.dtype == np.uint8
