import dataclasses
import pickle

import numpy as np
import pytest

from prnet.face import Face
from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.geometry.similarity import Similarity
from prnet.model.model import MAX_BATCH, Model
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import (
    crop_to_image,
    decode_landmarks68,
    decode_vertices,
    fit_pose,
)
from prnet.uv.spline_map import CONTROL_SIZE, SplineMap, spline_of

POSE = Pose(6.0, rotation_from_angles(30, 10, 20), np.array([64.0, -64.0, 5.0]))


def posed(atlas: Atlas, offsets: np.ndarray) -> SplineMap:
    """A face in a crop, seen from the side, whose control points are off the mean face's."""
    turn = (np.diag([1, -1, 1]) * POSE.scale) @ POSE.rotation
    controls = (POSE.apply(np.zeros(3)) + offsets).astype(np.float32)
    return SplineMap(spline_of(atlas), controls, turn.astype(np.float32))


@pytest.fixture(scope="module")
def spline_map(atlas: Atlas) -> SplineMap:
    """One whose surface is rough."""
    size = CONTROL_SIZE, CONTROL_SIZE, 3
    return posed(atlas, np.random.default_rng(0).normal(0, 2, size))


def test_without_a_surface_it_is_the_mean_face(atlas: Atlas) -> None:
    flat = posed(atlas, np.zeros((CONTROL_SIZE, CONTROL_SIZE, 3)))
    np.testing.assert_allclose(flat.draw(), POSE.apply(atlas.canonical_map), atol=0.01)
    assert fit_pose(flat, atlas).yaw == pytest.approx(30, abs=1e-3)


def test_a_control_point_moves_what_is_near_it(spline_map: SplineMap) -> None:
    controls = spline_map.controls.copy()
    controls[40, 10] += [0, 0, 9]
    change = SplineMap(spline_map.spline, controls, spline_map.turn).draw() - spline_map.draw()
    rows, columns = np.nonzero(np.abs(change[..., 2]) > 1e-3)
    assert abs(columns.mean() - (10.5 * 4 - 0.5)) < 0.5 and np.ptp(columns) < 16
    assert np.ptp(rows) < 20 and 3 < change[..., 2].max() < 5  # (2/3)² of it
    assert not change[..., :2].any()


def test_what_is_read_off_is_what_the_drawn_map_says(spline_map: SplineMap, atlas: Atlas) -> None:
    drawn = spline_map.draw()
    assert drawn.shape == (256, 256, 3) and drawn.dtype == np.float32
    assert np.ptp(drawn, axis=(0, 1)).min() > 30
    landmarks = decode_landmarks68(spline_map, atlas)
    assert landmarks.dtype == np.float32
    np.testing.assert_allclose(landmarks, decode_landmarks68(drawn, atlas), atol=1e-4)
    found, expected = fit_pose(spline_map, atlas), fit_pose(drawn, atlas)
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=1e-5)
    assert found.scale == pytest.approx(expected.scale, rel=1e-5)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-3)
    mean = float(decode_vertices(drawn, atlas)[:, 2].mean())
    assert spline_map.mean_depth == pytest.approx(mean, abs=1e-3)


def test_it_is_brought_to_the_photo_as_the_drawn_map_is(
    spline_map: SplineMap, atlas: Atlas
) -> None:
    angle = 0.3
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    to_crop = Similarity(0.4, rotation, np.array([-20.0, 15.0]))
    drawn = crop_to_image(spline_map.draw(), to_crop, atlas)
    later = crop_to_image(spline_map, to_crop, atlas)
    assert isinstance(later, SplineMap)
    np.testing.assert_allclose(later.draw(), drawn, atol=1e-3)
    np.testing.assert_allclose(
        decode_landmarks68(later, atlas), decode_landmarks68(drawn, atlas), atol=1e-3
    )


def test_a_face_draws_its_map_when_asked(spline_map: SplineMap, atlas: Atlas) -> None:
    box = np.array([0, 0, 9, 9], np.float32)
    face = Face(spline_map, atlas, box, 0.5)
    _ = face.landmarks68, face.pose, face.without_image().landmarks68
    assert "position_map" not in vars(face)
    np.testing.assert_array_equal(face.position_map, spline_map.draw())
    assert face.position_map is face.position_map
    with pytest.raises(ValueError, match="read-only"):
        face.position_map[:] = 0
    again = pickle.loads(pickle.dumps(dataclasses.replace(face, score=0.7)))
    assert again.score == 0.7
    np.testing.assert_array_equal(again.landmarks68, face.landmarks68)
    np.testing.assert_array_equal(again.position_map, face.position_map)
    recorded = Face.from_record(face.to_record(), atlas)
    np.testing.assert_allclose(recorded.landmarks68, face.landmarks68, atol=1e-4)


def test_a_face_refuses_a_map_that_is_none_of_its(spline_map: SplineMap, atlas: Atlas) -> None:
    box = np.array([0, 0, 9, 9], np.float32)
    controls = spline_map.controls.copy()
    controls[3, 3, 0] = np.nan
    with pytest.raises(ValueError, match="given_map must be finite"):
        Face(SplineMap(spline_map.spline, controls, spline_map.turn), atlas, box, 0.5)
    other = dataclasses.replace(atlas, landmarks68_uv=atlas.landmarks68_uv[::-1].copy())
    with pytest.raises(ValueError, match="atlas"):
        Face(spline_map, other, box, 0.5)


def test_the_package_s_network_tells_its_control_points() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (MAX_BATCH + 1, 128, 128, 3), np.uint8)
    network = Model(threads=1)
    drawn, later = network.regress(crops), network.regress_lazily(crops)
    assert len(later.position_maps) == len(crops)
    assert len(network.regress_lazily(crops[:0]).position_maps) == 0
    for position_map, spline_map in zip(drawn.position_maps, later.position_maps, strict=True):
        assert isinstance(spline_map, SplineMap)
        np.testing.assert_allclose(spline_map.draw(), position_map, atol=1e-3)
    np.testing.assert_allclose(later.confidences, drawn.confidences, atol=1e-6)
