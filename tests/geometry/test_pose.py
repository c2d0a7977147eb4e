import itertools
from pathlib import Path

import numpy as np
import pytest

from prnet.geometry.pose import (
    Pose,
    PoseFit,
    angles_from_rotation,
    in_plane_angle,
    rotation_from_angles,
)
from prnet.geometry.similarity import Similarity
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import decode_landmarks68

AHEAD, UP = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])  # x right in the photo, y up


def test_signs_by_hand() -> None:
    """The matrices of 300W-LP at a quarter turn about each axis."""
    np.testing.assert_allclose(rotation_from_angles(90, 0, 0) @ AHEAD, [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_from_angles(0, 90, 0) @ AHEAD, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_from_angles(0, 0, 90) @ UP, [1, 0, 0], atol=1e-12)


def test_order_is_pitch_of_yaw_of_roll() -> None:
    whole = rotation_from_angles(20, 30, 40)
    parts = [rotation_from_angles(*angles) for angles in ((0, 30, 0), (20, 0, 0), (0, 0, 40))]
    np.testing.assert_allclose(whole, parts[0] @ parts[1] @ parts[2], atol=1e-12)
    np.testing.assert_allclose(whole @ whole.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(whole) == pytest.approx(1)


@pytest.mark.parametrize(
    "angles",
    [
        *itertools.product(
            (-120, -89.99, -30, 0, 45, 89.9, 91, 175), (-89, -20, 0, 60), (-170, 0, 5)
        ),
        (12.345678, -23.456789, 34.567891),
    ],
)
def test_angles_round_trip(angles: tuple[float, float, float]) -> None:
    found = angles_from_rotation(rotation_from_angles(*angles))
    np.testing.assert_allclose(found, angles, atol=1e-6)


@pytest.mark.parametrize("yaw", [-90.0, 90.0, 89.9999999, -90.0000001])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (25, 0), (10, -35), (-70, 100)])
def test_gimbal_lock(yaw: float, pitch: float, roll: float) -> None:
    """Pitch and roll turn about one axis: roll is 0, and the rotation is still the same."""
    rotation = rotation_from_angles(yaw, pitch, roll)
    found = angles_from_rotation(rotation)
    assert found.yaw == pytest.approx(yaw, abs=1e-6)
    assert found.roll == 0
    np.testing.assert_allclose(rotation_from_angles(*found), rotation, atol=1e-6)


def test_any_rotation_round_trips() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotation = q * np.linalg.det(q)
        found = angles_from_rotation(rotation)
        assert abs(found.pitch) <= 90
        np.testing.assert_allclose(rotation_from_angles(*found), rotation, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [np.eye(2), np.diag([1.0, 1, -1]), 2 * np.eye(3), np.full((3, 3), np.nan)],
    ids=["size", "mirror", "scale", "nan"],
)
def test_angles_refuse_what_is_no_rotation(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rotation"):
        angles_from_rotation(wrong)


def test_apply_by_hand() -> None:
    pose = Pose(2.0, np.eye(3), np.array([100.0, -50.0, 3.0]))
    # x grows to the right, the photo's y grows down, z comes nearer
    np.testing.assert_allclose(pose.apply(np.array([[1.0, 4.0, 0.5]])), [[102, 42, 4]])
    np.testing.assert_allclose(pose.remove(np.array([[102.0, 42.0, 4.0]])), [[1, 4, 0.5]])


def test_fit_finds_the_pose() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32) * 5
    pose = Pose(7.5, rotation_from_angles(-40, 10, 25), np.array([120.0, -80.0, 6.0]))
    photo = pose.apply(points)
    assert photo.dtype == np.float32
    found = PoseFit(points)(photo)
    assert found.scale == pytest.approx(7.5, rel=1e-5)
    np.testing.assert_allclose(found.translation, pose.translation, atol=1e-3)
    np.testing.assert_allclose((found.yaw, found.pitch, found.roll), (-40, 10, 25), atol=1e-3)
    np.testing.assert_allclose(found.remove(photo), points, atol=1e-4)


@pytest.mark.parametrize(
    ("canonical", "photo", "message"),
    [
        (np.zeros((4, 3)), np.zeros((5, 3)), "one shape"),
        (np.zeros((4, 2)), np.zeros((4, 2)), "photo_points"),
        (np.arange(4)[:, None] * np.ones(3), np.eye(4, 3), "span"),
    ],
    ids=["count", "flat", "line"],
)
def test_fit_refuses(canonical: np.ndarray, photo: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseFit(canonical)(photo)


@pytest.mark.parametrize("name", ["image00050", "image00251"])
def test_agrees_with_pose_para(facekit: Path, atlas: Atlas, name: str) -> None:
    """On AFLW2000-3D's own points our angles are its Pose_Para's, signs and all.

    The two mean faces hold their heads differently by some three degrees of pitch.
    """
    scipy_io = pytest.importorskip("scipy.io")
    label = scipy_io.loadmat(facekit / f"samples/{name}.mat")
    pitch, yaw, roll = np.degrees(label["Pose_Para"][0, :3])
    canonical = decode_landmarks68(atlas.canonical_map, atlas)
    pose = PoseFit(canonical)(label["pt3d_68"].T)
    assert pose.yaw == pytest.approx(yaw, abs=2)
    assert pose.pitch == pytest.approx(pitch, abs=4)
    assert pose.roll == pytest.approx(roll, abs=3)
    # f is in pixels per µm of BFM's face, which is life-size as well
    assert pose.scale == pytest.approx(label["Pose_Para"][0, 6] * 1e4, rel=0.06)


def test_samples_show_every_sign(facekit: Path) -> None:
    """The two samples between them have clear angles of each kind, so a flipped sign would fail."""
    scipy_io = pytest.importorskip("scipy.io")
    label = scipy_io.loadmat(facekit / "samples/image00251.mat")
    assert (np.abs(np.degrees(label["Pose_Para"][0, :3])) > (5, 40, 10)).all()


def test_a_pose_moves_with_its_picture() -> None:
    """Shifted, scaled and rotated in the picture plane; z takes the scale."""
    rng = np.random.default_rng(0)
    pose = Pose(3.0, rotation_from_angles(20, -10, 30), np.array([50.0, -40.0, 7.0]))
    c, s = np.cos(0.7), np.sin(0.7)
    move = Similarity(1.7, np.array([[c, -s], [s, c]]), np.array([5.0, -9.0]))
    points = rng.normal(size=(6, 3))
    found, photo = (move @ pose).apply(points), pose.apply(points)
    np.testing.assert_allclose(found[:, :2], move.apply(photo[:, :2]), atol=1e-9)
    np.testing.assert_allclose(found[:, 2], 1.7 * photo[:, 2], atol=1e-9)
    again = move.inverse() @ (move @ pose)
    np.testing.assert_allclose(again.apply(points), photo, atol=1e-9)
    both = (move @ move) @ pose, move @ (move @ pose)
    np.testing.assert_allclose(both[0].apply(points), both[1].apply(points), atol=1e-9)


def test_the_in_plane_angle_is_the_rolls_of_a_frontal_face() -> None:
    for roll in (-120, 0, 30):
        assert np.degrees(in_plane_angle(rotation_from_angles(0, 0, roll))) == pytest.approx(roll)
