import shutil
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prnet.data.face_crops import FACE_CROP_SIZE, FaceCrop, crop_record
from prnet.data.facekit import FACE_MODEL_FILE, Facekit
from prnet.data.identities import LARGEST, Backgrounds, HeadRenderer, Population, warp
from prnet.errors import LabelError
from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.geometry.similarity import fit_similarity
from prnet.morphable.linear import FaceModel

BLUE = np.full((FACE_CROP_SIZE, FACE_CROP_SIZE, 3), (0, 0, 120), np.uint8)


@pytest.fixture(scope="module")
def source(tiny_facekit: Path) -> tuple[FaceCrop, np.ndarray]:
    """A painted face, and where there is photo."""
    kit = Facekit(tiny_facekit, "val", ("lfw",))
    return crop_record(kit.photo(kit.records[0]), kit.records[0])


# people


def test_people_differ_in_shape_alone(face_model: FaceModel) -> None:
    """A small difference neither shifts, turns nor scales the mean face."""
    population = Population(face_model)
    assert population.directions.shape == (7, 100)
    rng = np.random.default_rng(0)
    mean = face_model.mesh.vertices.astype(np.float64)
    for _ in range(3):
        somebody = 1e-3 * population.draw(np.zeros(100), 1, rng)
        shape = mean + np.einsum("k,kvd->vd", somebody, face_model.identity.astype(np.float64))
        found = fit_similarity(mean, shape)
        moved = found.apply(mean) - mean
        assert np.abs(moved).max() < 0.01 * np.abs(shape - mean).max()


def test_people_are_as_different_as_asked(tiny_face_model: FaceModel) -> None:
    population = Population(tiny_face_model)
    rng = np.random.default_rng(0)
    around = np.linspace(-1, 1, 100)
    drawn = np.stack([population.draw(around, 0.5, rng) for _ in range(500)])
    assert drawn.dtype == np.float32
    assert np.abs(drawn - around).mean(0).max() < 0.5
    # 7 of the 100 directions are taken out
    assert (drawn - around).var(0).mean() == pytest.approx(0.25 * 0.93, rel=0.03)
    far = population.draw(np.zeros(100), 50, rng)
    assert np.abs(far).max() == LARGEST


# warped photos


@pytest.mark.parametrize("yaw", [0.0, 35.0])
def test_a_warped_photo_shows_the_new_shape(
    source: tuple[FaceCrop, np.ndarray],
    tiny_face_model: FaceModel,
    painted_offsets: Any,
    yaw: float,
) -> None:
    """Every pixel that says which point of the face it shows is where the new mesh has it."""
    face_crop, is_photo = source
    rng = np.random.default_rng(1)
    identity = Population(tiny_face_model).draw(face_crop.identity, 1.0, rng)
    warped = warp(face_crop, is_photo, tiny_face_model, identity, yaw)
    new = tiny_face_model.shape(identity, face_crop.expression)
    old = tiny_face_model.shape(face_crop.identity, face_crop.expression)
    offsets = painted_offsets(warped.pixels, warped.pose, new)
    assert len(offsets) > 2000
    assert np.percentile(np.linalg.norm(offsets, axis=1), 75) < 0.7
    unmoved = painted_offsets(warped.pixels, warped.pose, old)
    assert np.percentile(np.linalg.norm(unmoved, axis=1), 75) > 1.2  # it does move something
    np.testing.assert_array_equal(warped.identity, identity)
    np.testing.assert_array_equal(warped.expression, face_crop.expression)
    before, after = (each.pose.yaw for each in (face_crop, warped))
    assert abs(after) - abs(before) == pytest.approx(yaw, abs=4)


# rendered heads


def middle(model: FaceModel, yaw: float) -> Pose:
    """The mean face in the middle of a picture."""
    rotation = rotation_from_angles(yaw, 0, 0)
    centre = np.array([(FACE_CROP_SIZE - 1) / 2, -(FACE_CROP_SIZE - 1) / 2, 0])
    return Pose(6.0, rotation, centre - 6 * rotation @ model.mesh.vertices.mean(0))


def test_a_rendered_face_shows_its_shape(
    source: tuple[FaceCrop, np.ndarray],
    tiny_facekit: Path,
    tiny_face_model: FaceModel,
    painted_offsets: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without light and grain the skin says which point of the face it is."""
    monkeypatch.setattr("prnet.data.identities.AMBIENT", (1.0, 1.0))
    monkeypatch.setattr("prnet.data.identities.TINT", 0.0)
    monkeypatch.setattr("prnet.data.identities.GRAIN", 0.0)
    rng = np.random.default_rng(2)
    renderer = HeadRenderer(tiny_facekit / FACE_MODEL_FILE, tiny_face_model)
    skin = renderer.skin(*source)
    identity = Population(tiny_face_model).draw(np.zeros(100), 1.0, rng)
    pose = middle(tiny_face_model, 20)
    picture = renderer.render(skin, identity, pose, BLUE, rng)
    assert picture.pixels.shape == (FACE_CROP_SIZE, FACE_CROP_SIZE, 3)
    assert (picture.pixels[:8] == BLUE[:8]).all()
    shape = tiny_face_model.shape(identity, source[0].expression)
    offsets = painted_offsets(picture.pixels, pose, shape)
    assert len(offsets) > 4000
    assert np.median(np.linalg.norm(offsets, axis=1)) < 0.8
    assert np.abs(np.median(offsets, axis=0)).max() < 0.3
    np.testing.assert_array_equal(picture.identity, identity)
    np.testing.assert_array_equal(picture.expression, source[0].expression)


def test_light_and_grain_are_the_generators(
    source: tuple[FaceCrop, np.ndarray], tiny_facekit: Path, tiny_face_model: FaceModel
) -> None:
    renderer = HeadRenderer(tiny_facekit / FACE_MODEL_FILE, tiny_face_model)
    skin, pose = renderer.skin(*source), middle(tiny_face_model, 0)
    first, second, other = (
        renderer.render(skin, np.zeros(100, np.float32), pose, BLUE, np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert (first.pixels != other.pixels).mean() > 0.5


def test_a_head_has_a_back_and_no_holes(facekit: Path, face_model: FaceModel) -> None:
    """From all sides the silhouette is filled; before a green wall no green shows through."""
    kit = Facekit(facekit, "val", ("lfw",))
    record = kit.records[3]
    renderer = HeadRenderer(facekit / FACE_MODEL_FILE, face_model)
    skin = renderer.skin(*crop_record(kit.photo(record), record))
    wall = np.zeros_like(BLUE)
    wall[..., 1] = 255
    for yaw in (0.0, 45.0, -80.0):
        pose = middle(face_model, yaw)
        rng = np.random.default_rng(0)
        picture = renderer.render(skin, np.zeros(100, np.float32), pose, wall, rng).pixels
        is_wall = (picture[..., 1] > 200) & (picture[..., 0] < 60) & (picture[..., 2] < 60)
        _, parts = cv2.connectedComponents(is_wall.astype(np.uint8), connectivity=4)
        assert len(np.unique(parts[is_wall])) <= 3  # what is left of the neck may be cut in two
        nose = pose.apply(face_model.mesh.vertices.astype(np.float64))[:, :2].mean(0)
        assert not is_wall[round(nose[1]), round(nose[0])]
        assert 0.2 < is_wall.mean() < 0.8


# what is wrong is said with the file's path


def test_backgrounds_are_drawn_from_the_kits(facekit: Path) -> None:
    backgrounds = Backgrounds(facekit / "backgrounds/bsds.tar")
    one, two = (backgrounds.draw(np.random.default_rng(seed)) for seed in (0, 1))
    assert one.shape == two.shape == (FACE_CROP_SIZE, FACE_CROP_SIZE, 3) and one.dtype == np.uint8
    assert (one != two).any() and one.std() > 5


@pytest.mark.parametrize("damage", ["missing", "text", "empty", "no photo"])
def test_damaged_backgrounds_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bsds.tar"
    if damage == "text":
        path.write_bytes(b"hello")
    elif damage != "missing":
        with tarfile.open(path, "w") as tar:
            if damage == "no photo":
                (tmp_path / "a.jpg").write_bytes(b"hello")
                tar.add(tmp_path / "a.jpg", "a.jpg")
    with pytest.raises(LabelError, match=r"bsds\.tar: "):
        Backgrounds(path).draw(np.random.default_rng(0))


def test_a_damaged_face_model_is_named(
    tiny_facekit: Path, tiny_face_model: FaceModel, tmp_path: Path
) -> None:
    path = shutil.copy(tiny_facekit / FACE_MODEL_FILE, tmp_path)
    Path(path).write_bytes(b"hello")
    with pytest.raises(LabelError, match=r"npz: not the ICT face model"):
        HeadRenderer(path, tiny_face_model)
