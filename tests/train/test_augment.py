import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.data.face_crops import FaceCrop, crop_record
from prnet.data.facekit import Facekit
from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.geometry.similarity import Similarity
from prnet.image.crop import crop_face
from prnet.morphable.linear import FaceModel
from prnet.train.augment import augmented_crop, choose_crop, crop_units, degrade, mirror_pose
from prnet.train.config import AugmentConfig

SIZE = 128
PLAIN = AugmentConfig(
    color=(1.0, 1.0),
    **dict.fromkeys(
        ["p_occluder", "p_blur", "p_low_resolution", "p_noise", "p_jpeg", "p_gray", "p_light"], 0.0
    ),
)


@pytest.fixture(scope="module")
def kit(tiny_facekit: Path) -> Facekit:
    return Facekit(tiny_facekit, "train")


@pytest.fixture(scope="module")
def face_crops(kit: Facekit) -> list[FaceCrop]:
    return [crop_record(kit.photo(record), record)[0] for record in kit.records]


@pytest.fixture(scope="module")
def shapes(face_crops: list[FaceCrop], tiny_face_model: FaceModel) -> list[NDArray[np.float32]]:
    return [
        tiny_face_model.shape(face_crop.identity, face_crop.expression) for face_crop in face_crops
    ]


@pytest.fixture(scope="module")
def landmarks(
    shapes: list[NDArray[np.float32]], tiny_face_model: FaceModel
) -> list[NDArray[np.float32]]:
    mesh = tiny_face_model.mesh
    weights = mesh.landmarks68_barycentric[..., None]
    return [(weights * shape[mesh.landmarks68_vertices]).sum(1) for shape in shapes]


def in_pixels(pose: Pose) -> Pose:
    """From crop units to crop pixels."""
    return crop_units(SIZE).inverse() @ pose


@pytest.mark.parametrize("wide_share", [0.0, 1.0])
def test_pixels_and_pose_move_together(
    face_crops: list[FaceCrop],
    shapes: list[NDArray[np.float32]],
    landmarks: list[NDArray[np.float32]],
    painted_offsets: Any,
    wide_share: float,
) -> None:
    settings = AugmentConfig(wide_share=wide_share)
    poses = []
    for seed in range(16):
        jitter = np.random.default_rng(seed) if seed % 4 == 3 else None
        k = seed % len(face_crops)
        crop, pose = augmented_crop(
            face_crops[k].pixels,
            face_crops[k].pose,
            landmarks[k],
            SIZE,
            settings,
            np.random.default_rng(seed),
            jitter,
        )
        assert crop.shape == (SIZE, SIZE, 3) and crop.dtype == np.uint8
        poses.append(pose)
        for mirrored in (False, True):
            shape = shapes[k]
            if mirrored:
                crop, pose, shape = crop[:, ::-1], mirror_pose(pose), shape * [-1, 1, 1]
            offsets = painted_offsets(crop, in_pixels(pose), shape)
            assert len(offsets) > 3000
            assert np.abs(offsets.mean(0)).max() < 0.1
            assert np.median(np.linalg.norm(offsets, axis=1)) < 0.5
    # it does move
    turns = [
        pose.rotation @ face_crops[k % len(face_crops)].pose.rotation.T
        for k, pose in enumerate(poses)
    ]
    angles = np.degrees([np.arctan2(turn[1, 0], turn[0, 0]) for turn in turns])
    assert np.ptp(angles) > (40 if wide_share else 5) and np.abs(angles).max() <= 45
    scales = [
        pose.scale / face_crops[k % len(face_crops)].pose.scale for k, pose in enumerate(poses)
    ]
    assert max(scales) / min(scales) > 1.1
    assert np.std([pose.translation[:2] for pose in poses], axis=0).min() > 0.02


def test_a_nudge_moves_the_crop_by_up_to_four_per_cent() -> None:
    low, high, settings = np.array([100.0, 80]), np.array([180.0, 200]), AugmentConfig()

    def choose(jitter: np.random.Generator | None) -> Similarity:
        return choose_crop(low, high, SIZE, settings, np.random.default_rng(1), jitter)

    still = choose(None)
    moved = [choose(np.random.default_rng(seed)) for seed in range(200)]
    middle = np.full(2, (SIZE - 1) / 2)
    centres = np.array([each.inverse().apply(middle) for each in moved])
    shift = np.abs(centres - still.inverse().apply(middle)).max(0) / (high - low)
    scale = np.array([still.scale / each.scale for each in moved])
    assert shift.min() > 0.035 and shift.max() <= 0.04
    assert 0.96 <= scale.min() < 0.965 and 1.035 < scale.max() <= 1.04
    assert all(np.array_equal(each.rotation, still.rotation) for each in moved)


def test_without_chance_the_crop_is_the_reconstructors(
    kit: Facekit, face_crops: list[FaceCrop], landmarks: list[NDArray[np.float32]]
) -> None:
    for record, face_crop, points in zip(kit.records, face_crops, landmarks, strict=True):
        photo = kit.photo(record)
        expected, image_to_crop = crop_face(photo, record.box, SIZE, 1.5)
        crop, pose = augmented_crop(
            face_crop.pixels, face_crop.pose, points, SIZE, AugmentConfig(), None
        )
        np.testing.assert_allclose(
            in_pixels(pose).apply(points)[:, :2],
            image_to_crop.apply(record.landmarks68[:, :2]),
            atol=0.02,
        )
        difference = np.abs(crop.astype(int) - expected)
        assert difference.mean() < 3  # resampled twice against once


def test_a_mirrored_pose_is_a_pose() -> None:
    pose = Pose(0.08, rotation_from_angles(20, -10, 30), np.array([0.1, -0.2, 0.3]))
    mirrored = mirror_pose(pose)
    expected = rotation_from_angles(-20, -10, -30)
    np.testing.assert_allclose(mirrored.rotation, expected, atol=1e-12)
    np.testing.assert_array_equal(mirrored.translation, [-0.1, -0.2, 0.3])
    points = np.random.default_rng(0).normal(size=(5, 3))
    flip = [-1, 1, 1]
    np.testing.assert_allclose(mirrored.apply(points * flip), pose.apply(points) * flip)
    again = mirror_pose(mirrored)
    np.testing.assert_array_equal(again.rotation, pose.rotation)
    np.testing.assert_array_equal(again.translation, pose.translation)


# degrading


@pytest.fixture
def photos() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A crop and another photo, write-protected."""
    rng = np.random.default_rng(0)
    crop = rng.integers(60, 200, (SIZE, SIZE, 3), np.uint8)
    other = rng.integers(0, 256, (192, 192, 3), np.uint8)
    crop.flags.writeable = other.flags.writeable = False
    return crop, other


@pytest.mark.parametrize("chance", [None, 1.0])
def test_degrading_is_repeatable_and_leaves_its_input(
    photos: tuple[NDArray[np.uint8], NDArray[np.uint8]], chance: float | None
) -> None:
    settings = AugmentConfig()
    if chance:
        names = [f.name for f in dataclasses.fields(settings) if f.name.startswith("p_")]
        settings = dataclasses.replace(settings, **dict.fromkeys(names, chance))
    for seed in range(25):
        first, second = (degrade(*photos, settings, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert first.shape == photos[0].shape and first.dtype == np.uint8
        assert first.flags.writeable and (first != photos[0]).any()


def test_nothing_asked_for_changes_nothing(
    photos: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    plain = degrade(*photos, PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(plain, photos[0])
    assert not np.shares_memory(plain, photos[0])


def test_grey_photos_are_grey_and_occluders_cover_a_part(
    photos: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    settings = dataclasses.replace(PLAIN, p_gray=1.0)
    gray = degrade(*photos, settings, np.random.default_rng(0))
    np.testing.assert_array_equal(gray, gray[..., :1].repeat(3, 2))
    settings = dataclasses.replace(PLAIN, p_occluder=1.0)
    covered = [
        (degrade(*photos, settings, np.random.default_rng(seed)) != photos[0]).any(2).mean()
        for seed in range(40)
    ]
    assert 0.005 < min(covered) < 0.1 and 0.4 < max(covered) < 0.95
