from pathlib import Path

import numpy as np
import pytest

from prnet.geometry.pose import Pose, flip_y
from prnet.geometry.sampling import sample_map
from prnet.geometry.similarity import Similarity
from prnet.morphable.linear import FaceModel
from prnet.uv.atlas import Atlas
from prnet.uv.chart import ChartSampler, rasterize_chart
from prnet.uv.position_map import (
    centre_depth,
    crop_to_image,
    decode_landmarks68,
    decode_vertices,
    encode,
    image_to_crop,
)


@pytest.fixture
def square() -> ChartSampler:
    """A flat sheet: mesh vertices (0, 0, 0) … (1, 1, 0) at the corners of a 4×4 map."""
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    triangles = np.array([[0, 2, 1], [1, 2, 3]])
    return rasterize_chart(uv, triangles, triangles, 4)


SHEET = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """A rotation about y, then x, then z; degrees."""
    (sy, sx, sz), (cy, cx, cz) = (f(np.radians([yaw, pitch, roll])) for f in (np.sin, np.cos))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def landmarks68(face_model: FaceModel, points: np.ndarray) -> np.ndarray:
    """The iBUG points straight from the mesh, without any map."""
    mesh = face_model.mesh
    corners = points[mesh.landmarks68_vertices]
    return (mesh.landmarks68_barycentric[..., None] * corners).sum(1)


def face_size(landmarks: np.ndarray) -> float:
    return float(np.sqrt(np.ptp(landmarks[:, :2], axis=0).prod()))


def test_encode_by_hand(square: ChartSampler) -> None:
    pose = Pose(2.0, np.eye(3), np.array([10.0, 20.0, 5.0]))
    position_map = encode(square, SHEET, pose)
    assert position_map.dtype == np.float32
    # pixel (row 1, column 2) is the sheet's point (2.5/4, 1.5/4, 0); the photo's y points down
    np.testing.assert_allclose(position_map[1, 2], [11.25, -20.75, 5], atol=1e-5)


def test_flip_y_is_its_own_inverse_and_copies() -> None:
    points = np.array([[1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(flip_y(points), [[1, -2, 3]])
    np.testing.assert_array_equal(flip_y(flip_y(points)), points)
    np.testing.assert_array_equal(points, [[1, 2, 3]])
    assert flip_y(points).dtype == np.float32


def test_sample_map_by_hand() -> None:
    values = np.array([[[0.0], [10.0]], [[20.0], [30.0]]])
    uv = np.array([[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.5, 0.25], [0.3, 0.65]])
    np.testing.assert_allclose(sample_map(values, uv)[:, 0], [0, 10, 15, 5, 17], atol=1e-6)


def test_sample_map_keeps_the_border_value_in_the_outer_half_pixel() -> None:
    values = np.array([[[0.0], [10.0]], [[20.0], [30.0]]])
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(sample_map(values, uv)[:, 0], [0, 10, 20, 30])


def test_sample_map_at_pixel_centres_is_exact() -> None:
    values = np.random.default_rng(0).normal(size=(16, 16, 3)).astype(np.float32)
    rows, columns = np.mgrid[:16, :16].reshape(2, -1)
    uv = (np.stack([columns, rows], 1) + 0.5) / 16
    np.testing.assert_array_equal(sample_map(values, uv), values.reshape(-1, 3))


def test_crop_and_photo_by_hand(atlas: Atlas) -> None:
    to_crop = Similarity(0.5, np.eye(2), np.array([-10.0, -20.0]))
    position_map = np.full((256, 256, 3), [100, 80, 6], np.float32)
    cropped = image_to_crop(position_map, to_crop)
    np.testing.assert_array_equal(cropped[0, 0], [40, 20, 3])
    np.testing.assert_array_equal(crop_to_image(cropped, to_crop, atlas)[0, 0], [100, 80, 0])
    np.testing.assert_array_equal(position_map[0, 0], [100, 80, 6])


def test_crop_and_photo_round_trip(atlas: Atlas) -> None:
    """And its depth is centred on the way."""
    rng = np.random.default_rng(1)
    position_map = rng.uniform(-500, 3000, size=(256, 256, 3)).astype(np.float32)
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_crop = Similarity(0.217, rotation, np.array([-312.0, 95.0]))
    back = crop_to_image(image_to_crop(position_map, to_crop), to_crop, atlas)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, centre_depth(position_map, atlas), atol=2e-3)


def test_decoding_gives_copies(atlas: Atlas) -> None:
    position_map = atlas.canonical_map.copy()
    decode_vertices(position_map, atlas)[:] = 0
    decode_landmarks68(position_map, atlas)[:] = 0
    np.testing.assert_array_equal(position_map, atlas.canonical_map)


def test_decoded_vertices_are_the_map_pixels(atlas: Atlas) -> None:
    rows, columns = np.mgrid[:256, :256].astype(np.float32)
    vertices = decode_vertices(np.stack([columns, rows, rows * 0], -1), atlas)
    np.testing.assert_allclose(vertices[:, :2], atlas.vertices_uv * 256 - 0.5, atol=1e-4)
    landmarks = decode_landmarks68(np.stack([columns, rows, rows * 0], -1), atlas)
    np.testing.assert_allclose(landmarks[:, :2], atlas.landmarks68_uv * 256 - 0.5, atol=1e-3)


def test_centred_depth_is_zero_on_average(atlas: Atlas) -> None:
    position_map = atlas.canonical_map + np.array([0, 0, 40], np.float32)
    centred = centre_depth(position_map, atlas)
    assert abs(decode_vertices(centred, atlas)[:, 2].mean()) < 1e-4
    np.testing.assert_array_equal(centred[..., :2], position_map[..., :2])
    shift = position_map[..., 2] - centred[..., 2]
    np.testing.assert_allclose(shift, shift[0, 0], atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_faces_survive_the_map(
    face_model: FaceModel, face_sampler: ChartSampler, atlas: Atlas, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    identity = rng.normal(size=len(face_model.identity))
    expression = rng.uniform(size=len(face_model.expression)) * (rng.uniform(size=53) < 0.3)
    rotation = turn(rng.uniform(-90, 90), rng.uniform(-40, 40), rng.uniform(-40, 40))
    pose = Pose(rng.uniform(3, 60), rotation, rng.uniform(-100, 2000, size=3))
    vertices = face_model.shape(identity, expression)
    truth = pose.apply(vertices.astype(np.float64))
    truth68 = landmarks68(face_model, truth)
    size = face_size(truth68)

    position_map = encode(face_sampler, vertices, pose)

    mesh = face_model.mesh
    uv = np.zeros((len(vertices), 2))
    uv[mesh.triangles.ravel()] = mesh.uv[mesh.triangles_uv.ravel()]
    error = np.linalg.norm(sample_map(position_map, uv) - truth, axis=1) / size
    assert error.mean() < 0.003
    error68 = np.linalg.norm(decode_landmarks68(position_map, atlas) - truth68, axis=1) / size
    assert error68.mean() < 0.002


@pytest.mark.parametrize("source", ["lfw", "utk", "web", "mix"])
def test_the_kits_labels_become_maps_with_the_kits_landmarks(
    facekit: Path, face_model: FaceModel, face_sampler: ChartSampler, atlas: Atlas, source: str
) -> None:
    with np.load(facekit / "labels" / f"{source}.npz") as labels:
        for row in range(0, len(labels["scale"]), len(labels["scale"]) // 5):
            pose = Pose(
                float(labels["scale"][row]), labels["rotation"][row], labels["translation"][row]
            )
            vertices = face_model.shape(labels["identity"][row], labels["expression"][row])
            position_map = encode(face_sampler, vertices, pose)
            truth = labels["landmarks68"][row]
            error = np.linalg.norm(decode_landmarks68(position_map, atlas) - truth, axis=1)
            assert error.mean() / face_size(truth) < 0.002


def test_holes_and_border_carry_the_nearest_value(
    face_model: FaceModel, face_sampler: ChartSampler
) -> None:
    pose = Pose(10.0, turn(30, 10, 5), np.array([100.0, -100.0, 0.0]))
    position_map = encode(face_sampler, face_model.mesh.vertices, pose)
    covered = np.argwhere(face_sampler.is_covered)
    empty = np.argwhere(~face_sampler.is_covered)
    assert len(empty) > 2000
    for row, column in empty[::97]:
        distance = np.linalg.norm(covered - [row, column], axis=1)
        near = covered[distance <= distance.min() * 1.03 + 1e-9]
        gaps = position_map[near[:, 0], near[:, 1]] - position_map[row, column]
        assert np.abs(gaps).max(1).min() == 0
