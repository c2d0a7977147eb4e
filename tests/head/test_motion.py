"""A head's animation: read back, it puts the head where the frames showed it."""

from pathlib import Path

import numpy as np
import pygltflib
import pytest
from numpy.typing import NDArray

from prnet.apps.head_motion import HeadSink
from prnet.apps.video import Tracked
from prnet.face import Face
from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.head.head import Head
from prnet.head.motion import FIELD_DEG, HeadMotion, encode_motion, quaternions
from prnet.video.track import TrackedFace

pytestmark = pytest.mark.weights

WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def matrix_of(quaternion: NDArray[np.floating]) -> NDArray[np.floating]:
    """A rotation's matrix from x y z w, by the textbook."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def channels(content: bytes) -> tuple[pygltflib.GLTF2, dict[str, NDArray[np.floating]]]:
    """The file, and its animation's numbers by what they move; the moments are `times`."""
    file = pygltflib.GLTF2().load_from_bytes(content)
    (animation,) = file.animations
    found = {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        for name, index in ((channel.target.path, sampler.output), ("times", sampler.input)):
            entry = file.accessors[index]
            view = file.bufferViews[entry.bufferView]
            part = file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
            found[name] = np.frombuffer(part, "<f4").reshape(entry.count, WIDTHS[entry.type])
        assert file.nodes[channel.target.node].mesh is not None
        assert file.nodes[channel.target.node].matrix is None
    return file, found


def test_quaternions_turn_as_their_matrices_and_do_not_jump() -> None:
    angles = np.linspace(0, 720, 60)
    rotations = np.array([rotation_from_angles(a, a / 9, -a / 3) for a in angles])
    found = quaternions(rotations)
    for quaternion, rotation in zip(found, rotations, strict=True):
        np.testing.assert_allclose(matrix_of(quaternion), rotation, atol=1e-9)
    assert ((found[1:] * found[:-1]).sum(1) > 0.9).all()


def test_the_camera_sees_the_head_where_the_frames_did(head: Head) -> None:
    poses = [
        Pose(6.0, rotation_from_angles(20, -5, 10), np.array([300.0, -200, 0])),
        Pose(9.0, rotation_from_angles(-40, 5, 0), np.array([350.0, -100, 0])),
    ]
    weights = np.random.default_rng(0).uniform(0, 1, (2, len(head.names)))
    motion = HeadMotion(np.array([2.0, 2.5]), weights, poses, (640, 360))
    file, found = channels(encode_motion(head, motion))
    np.testing.assert_allclose(found["times"][:, 0], [0, 0.5])
    np.testing.assert_allclose(found["weights"].reshape(2, -1), weights, atol=1e-6)
    (camera,) = file.cameras
    assert np.degrees(camera.perspective.yfov) == pytest.approx(FIELD_DEG)
    focal_px = 180 / np.tan(camera.perspective.yfov / 2)
    for k, pose in enumerate(poses):
        x, y, z = found["translation"][k]
        assert focal_px * x / -z + 319.5 == pytest.approx(pose.translation[0], abs=0.01)
        assert focal_px * y / -z - 179.5 == pytest.approx(pose.translation[1], abs=0.01)
        assert focal_px * 0.01 / -z == pytest.approx(pose.scale, rel=1e-4)  # pixels a centimetre
        np.testing.assert_allclose(matrix_of(found["rotation"][k]), pose.rotation, atol=1e-6)


def test_what_does_not_fit_is_refused(head: Head) -> None:
    pose = Pose(6.0, np.eye(3), np.zeros(3))
    for times_s, weights, poses in (
        (np.zeros(0), np.zeros((0, len(head.names))), []),
        (np.zeros(1), np.zeros((1, 3)), [pose]),
        (np.zeros(2), np.zeros((2, len(head.names))), [pose]),
    ):
        with pytest.raises(ValueError, match="moment"):
            encode_motion(head, HeadMotion(times_s, weights, poses, (640, 360)))


def test_a_videos_face_becomes_an_animated_head(portrait_face: Face, tmp_path: Path) -> None:
    path, image = tmp_path / "head.glb", portrait_face.image
    assert image is not None
    with HeadSink(path, 2) as sink:
        for number in range(3):
            faces = [TrackedFace(2, portrait_face, 0.0)] if number else []
            sink.take(Tracked(number, number / 25, image, faces))
    file, found = channels(path.read_bytes())
    assert found["times"][:, 0].tolist() == pytest.approx([0, 0.04])
    names = file.meshes[0].extras["targetNames"]
    weights = dict(zip(names, found["weights"].reshape(2, -1)[1], strict=True))
    for name, weight in portrait_face.expression.items():
        assert weights[name] == pytest.approx(weight, abs=1e-5)


def test_without_a_face_and_after_an_error_there_is_no_head(tmp_path: Path) -> None:
    with HeadSink(tmp_path / "h.glb", 7):
        pass
    with pytest.raises(KeyError), HeadSink(tmp_path / "h.glb", 7):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
