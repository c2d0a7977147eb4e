import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.errors import OutputError
from prnet.face import Face
from prnet.geometry.pose import Pose
from prnet.morphable.linear import FaceModel
from prnet.uv.atlas import embedded_atlas
from prnet.uv.chart import ChartSampler
from prnet.uv.position_map import centre_depth, encode


@pytest.fixture(scope="module")
def face(make_face: Callable[..., Face]) -> Face:
    return make_face(30, -15, 10)


def test_what_a_face_gives(face: Face) -> None:
    count = len(face.atlas.vertex_index)
    arrays = {
        "vertices": ((count, 3), np.float32),
        "triangles": ((len(face.atlas.triangles), 3), np.int32),
        "landmarks68": ((68, 3), np.float32),
        "visibility": ((count,), bool),
        "colors": ((count, 3), np.uint8),
        "frontal_vertices": ((count, 3), np.float32),
    }
    for name, (shape, dtype) in arrays.items():
        assert getattr(face, name).shape == shape, name
        assert getattr(face, name).dtype == dtype, name
    assert face.texture().shape == (256, 256, 4)
    assert face.texture(100).dtype == np.uint8
    assert face.depth().dtype == np.float32


def test_vertices_are_centred_in_depth(face: Face) -> None:
    assert abs(face.vertices[:, 2].mean()) < 1e-3


def test_pose_is_that_of_the_photo(face: Face) -> None:
    pose = face.pose
    np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), (30, -15, 10), atol=1e-3)
    assert pose.scale == pytest.approx(8, rel=1e-5)
    np.testing.assert_allclose(pose.apply(face.atlas.canonical_vertices), face.vertices, atol=1e-2)


def test_frontal_vertices_have_no_pose(face: Face) -> None:
    np.testing.assert_allclose(face.frontal_vertices, face.atlas.canonical_vertices, atol=1e-3)


def test_colors_are_the_photo_s(face: Face) -> None:
    uv = face.atlas.vertices_uv[face.visibility] * 255
    error = np.abs(face.colors[face.visibility, :2] - uv).max(1)
    assert np.median(error) < 1.5


def test_photo_and_map_stay_as_they_are(make_face: Callable[..., Face], tmp_path: Path) -> None:
    """Also for a face that the photo cuts off, where PRNet's own script moved the vertices."""
    face = make_face(20, centre=(20.0, 240.0))
    before = face.position_map.copy(), face.image.copy(), face.vertices.copy()
    assert face.vertices.min() < 0
    _ = face.visibility, face.colors, face.frontal_vertices, face.depth(), face.texture(64)
    face.save(tmp_path / "face.glb")
    for array, copy in zip((face.position_map, face.image, face.vertices), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_what_is_kept_is_read_only(face: Face) -> None:
    for name in ("vertices", "landmarks68", "visibility", "colors", "frontal_vertices"):
        assert getattr(face, name) is getattr(face, name)
        with pytest.raises(ValueError, match="read-only"):
            getattr(face, name)[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.score = 1.0  # type: ignore[misc]


def test_depth_is_that_of_the_vertices(face: Face) -> None:
    depth = face.depth()
    assert depth.shape == face.image.shape[:2]
    columns, rows = np.rint(face.vertices[:, :2]).astype(int).T
    error = np.abs(depth[rows, columns] - face.vertices[:, 2])[face.visibility]
    assert np.nanmedian(error) < 0.5
    assert np.isnan(depth[:20, :20]).all()  # no face in the corner
    covered = face.image[..., 2] == 255
    assert (np.isnan(depth) == ~covered).mean() > 0.995


def test_depth_of_another_shape_keeps_the_photo_s_pixels(face: Face) -> None:
    whole = face.depth(face.image.shape)
    np.testing.assert_array_equal(face.depth((100, 150)), whole[:100, :150])
    assert np.isnan(face.depth((300, 400))[:, 256:]).all()


def test_completed_texture_is_opaque(face: Face) -> None:
    shown, completed = face.texture(128), face.texture(128, complete=True)
    assert (completed[..., 3] == 255).all()
    assert (shown[..., 3] == 0).any()
    blue = completed[face.atlas.mask[::2, ::2], 2]
    assert np.percentile(blue, 2) > 150  # skin is blue in this photo, what isn't is black


def test_a_face_beside_the_photo_still_works(
    make_face: Callable[..., Face], tmp_path: Path
) -> None:
    face = make_face(centre=(-500.0, 100.0))
    assert not face.texture(64).any()
    assert np.isnan(face.depth()).all()
    assert (face.texture(64, complete=True)[..., :3] == 128).all()
    face.save(tmp_path / "face.ply")


def test_a_fitted_label_s_pose(
    facekit: Path, face_model: FaceModel, face_sampler: ChartSampler, make_face: Callable[..., Face]
) -> None:
    """With identity and expression too, the pose is the label's as far as shapes let it."""
    template = make_face()
    with np.load(facekit / "labels/lfw.npz") as labels:
        rows = {name: labels[name][:20] for name in labels.files}
    for i in range(20):
        pose = Pose(float(rows["scale"][i]), rows["rotation"][i], rows["translation"][i])
        shape = face_model.shape(rows["identity"][i], rows["expression"][i])
        position_map = centre_depth(
            encode(face_sampler, shape, pose).astype(np.float32), template.atlas
        )
        face = dataclasses.replace(template, given_map=position_map)
        turned = face.pose.rotation @ rows["rotation"][i].T
        assert np.degrees(np.arccos(min(1, (np.trace(turned) - 1) / 2))) < 3
        assert face.pose.scale == pytest.approx(float(rows["scale"][i]), rel=0.05)
        landmarks = rows["landmarks68"][i]
        size = np.sqrt(np.ptp(landmarks[:, :2], axis=0).prod())
        error = np.linalg.norm(face.landmarks68[:, :2] - landmarks[:, :2], axis=1)
        assert error.mean() < 0.005 * size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"given_map": np.zeros((64, 64, 3), np.float32)}, "given_map must be"),
        ({"given_map": np.zeros((256, 256, 3))}, "given_map must be .* float64"),
        ({"given_map": np.full((256, 256, 3), np.nan, np.float32)}, "finite"),
        ({"image": np.zeros((9, 9), np.uint8)}, "image must be"),
        ({"image": np.zeros((9, 9, 3))}, "image must be .* float64"),
        ({"box": np.zeros(3)}, "box must be"),
    ],
)
def test_wrong_parts(face: Face, changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(face, **changes)


def test_save_needs_a_known_extension(face: Face, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"face\.stl.*\.glb, \.obj, \.ply"):
        face.save(tmp_path / "face.stl")


# as a mesh


def test_life_size_and_centred(make_face: Callable[..., Face]) -> None:
    face = make_face(scale=3.7, centre=(40.0, 90.0))
    vertices = face.mesh().vertices
    expected = face.atlas.canonical_vertices / 100
    np.testing.assert_allclose(vertices, expected - expected.mean(0), atol=1e-5)
    np.testing.assert_allclose(vertices.mean(0), 0, atol=1e-5)


def test_the_head_is_turned_as_in_the_photo(make_face: Callable[..., Face]) -> None:
    """Yaw > 0 looks to the left of the photo: the nose has a smaller x than the head's middle."""
    face = make_face(60)
    nose = int(np.argmin(np.abs(face.atlas.vertices_uv - face.atlas.landmarks68_uv[30]).sum(1)))
    x, _, z = face.mesh().vertices[nose]
    assert x < -0.05 and z > 0.02


def test_the_texture_is_as_fine_as_the_photo(make_face: Callable[..., Face]) -> None:
    sizes = []
    for scale, side in ((2.0, 64), (8.0, 256), (15.0, 480)):
        centre = (side / 2, side / 2)
        face = make_face(scale=scale, centre=centre, shape_hw=(side, side))
        sizes.append(len(face.mesh().texture))
    assert sizes == [256, 256, 512]
    assert face.mesh(texture_size=100).texture.shape == (100, 100, 3)


def test_a_ply_needs_no_texture_finer_than_its_vertices(
    make_face: Callable[..., Face], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = make_face(scale=15.0, centre=(240, 240), shape_hw=(480, 480))
    written = []
    monkeypatch.setattr("prnet.mesh.files.write_mesh", lambda path, mesh, _: written.append(mesh))
    face.save(tmp_path / "face.ply")
    face.save(f"{tmp_path}/face.GLB")
    assert [len(mesh.texture) for mesh in written] == [256, 512]


# without its photo


def test_a_face_without_its_photo(face: Face, tmp_path: Path) -> None:
    bare = face.without_image()
    assert bare.image is None and bare.score == face.score
    for name in ("vertices", "landmarks68", "visibility", "frontal_vertices"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(face, name))
    np.testing.assert_array_equal(bare.depth((64, 80)), face.depth((64, 80)))
    for needs_photo in (
        lambda: bare.colors,
        lambda: bare.texture(),
        lambda: bare.depth(),
        lambda: bare.mesh(),
        lambda: bare.save(tmp_path / "face.glb"),
    ):
        with pytest.raises(ValueError, match="this face has no photo"):
            needs_photo()
    assert not list(tmp_path.iterdir())


def test_a_face_pickles_small(face: Face) -> None:
    """The package's atlas goes by name, and nothing goes that can be worked out again."""
    _ = face.vertices, face.colors, face.visibility
    bare = pickle.dumps(face.without_image())
    assert len(bare) < face.position_map.nbytes + 2000
    again = pickle.loads(pickle.dumps(face))
    assert again.atlas is embedded_atlas()
    assert (again.score, again.detection_score) == (face.score, face.detection_score)
    for name in ("position_map", "box", "image", "vertices", "colors"):
        np.testing.assert_array_equal(getattr(again, name), getattr(face, name))


def test_a_face_prints_in_a_line(face: Face) -> None:
    assert repr(face).startswith("Face(box=array([") and len(repr(face)) < 200


def test_a_face_of_another_atlas_pickles_too(face: Face) -> None:
    other = dataclasses.replace(face.atlas, landmarks68_uv=face.atlas.landmarks68_uv[::-1].copy())
    again = pickle.loads(pickle.dumps(dataclasses.replace(face, atlas=other)))
    assert again.atlas.sha256 == other.sha256 != face.atlas.sha256
    np.testing.assert_array_equal(again.landmarks68, face.landmarks68[::-1])


def test_a_face_goes_into_a_record_and_comes_back(make_face: Callable[..., Face]) -> None:
    face = make_face(20, 5, -8)
    back = Face.from_record(json.loads(json.dumps(face.to_record())))
    np.testing.assert_array_equal(back.position_map, face.position_map)
    np.testing.assert_allclose(back.box, face.box, atol=1e-5)
    assert back.score == pytest.approx(face.score) and back.image is None
    assert back.pose.yaw == pytest.approx(face.pose.yaw)


def test_records_that_make_no_face(make_face: Callable[..., Face]) -> None:
    record = make_face().to_record()
    for spoiled, message in (
        (make_face().to_record(with_map=False), "position map|files"),
        (record | {"atlas": "0" * 64}, "another atlas, 000000000000"),
        (record | {"position_map": record["position_map"][:400]}, "reshape|buffer|padding"),
        (record | {"position_map": "?"}, "base64|padding"),
        (record | {"box": [1, 2]}, "box must be"),
        ({}, "atlas"),
    ):
        with pytest.raises(ValueError, match=f"not a face's record: .*({message})"):
            Face.from_record(spoiled)
