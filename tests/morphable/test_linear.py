from pathlib import Path

import numpy as np
import pytest

from prnet.errors import LabelError
from prnet.landmarks import MIRROR68
from prnet.morphable.linear import FaceModel, LandmarkModel, load_ict_face_model
from prnet.uv.build_atlas import ChartMesh


@pytest.fixture
def tiny_model() -> FaceModel:
    """A triangle with one identity and two expressions."""
    mesh = ChartMesh(
        vertices=np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32),
        uv=np.array([[0, 1], [1, 1], [0, 0]], np.float32),
        triangles=np.array([[0, 1, 2]], np.int32),
        triangles_uv=np.array([[0, 1, 2]], np.int32),
        landmarks68_vertices=np.zeros((68, 3), np.int32),
        landmarks68_barycentric=np.full((68, 3), 1 / 3, np.float32),
    )
    identity = np.zeros((1, 3, 3), np.float32)
    identity[0, 0] = [1, 2, 3]
    expression = np.zeros((2, 3, 3), np.float32)
    expression[1, 2, 1] = 4
    return FaceModel(mesh, identity, expression, ("browDown_L", "jawOpen"))


def test_a_shape_is_the_mean_plus_its_parts(tiny_model: FaceModel) -> None:
    shape = tiny_model.shape(np.array([2.0]), np.array([1.0, 0.5]))
    assert shape.dtype == np.float32
    np.testing.assert_array_equal(shape, [[2, 4, 6], [1, 0, 0], [0, 3, 0]])


def test_a_shape_is_new(tiny_model: FaceModel) -> None:
    tiny_model.shape(np.zeros(1), np.zeros(2))[:] = 9
    np.testing.assert_array_equal(tiny_model.mesh.vertices[0], 0)


def test_landmarks_of_one_face_or_of_many() -> None:
    mean, basis = np.ones((68, 3), np.float32), np.zeros((2, 68, 3), np.float32)
    basis[0, 5], basis[1, 6] = [1, 2, 3], [0, 0, 4]
    model = LandmarkModel(mean, basis)
    one = model.points(np.array([2.0, 0.5]))
    np.testing.assert_array_equal(one[4:8], [[1, 1, 1], [3, 5, 7], [1, 1, 3], [1, 1, 1]])
    many = model.points(np.array([[0.0, 0.0], [2.0, 0.5]]))
    np.testing.assert_array_equal(many, [mean, one])


def test_the_ict_model_has_its_documented_parts(face_model: FaceModel) -> None:
    mesh = face_model.mesh
    assert mesh.vertices.shape == (9409, 3)
    assert face_model.identity.shape == (100, 9409, 3)
    assert face_model.expression.shape == (53, 9409, 3)
    assert len(face_model.expression_names) == 53
    assert "jawOpen" in face_model.expression_names
    assert mesh.triangles.min() >= 0 and mesh.triangles.max() < 9409
    assert mesh.landmarks68_vertices.min() >= 0 and mesh.landmarks68_vertices.max() < 9409
    np.testing.assert_allclose(mesh.landmarks68_barycentric.sum(1), 1, atol=1e-5)


def test_the_chart_stands_upright_and_unmirrored(face_model: FaceModel) -> None:
    """Up in the face is up in the map, and the subject's left is the map's right."""
    mesh = face_model.mesh
    uv = np.zeros((9409, 2))
    uv[mesh.triangles.ravel()] = mesh.uv[mesh.triangles_uv.ravel()]
    assert uv.min() >= 0 and uv.max() <= 1
    x, y, _ = mesh.vertices.T
    assert np.corrcoef(x, uv[:, 0])[0, 1] > 0.8
    assert np.corrcoef(y, uv[:, 1])[0, 1] < -0.8


def test_the_68_points_lie_where_their_names_say(face_model: FaceModel) -> None:
    mesh = face_model.mesh
    corners = mesh.vertices[mesh.landmarks68_vertices]
    points = (mesh.landmarks68_barycentric[..., None] * corners).sum(1)
    x, y, z = points.T
    assert x[16] > 5 and x[0] < -5  # iBUG counts the jaw from the subject's right ear
    assert y[8] == y.min()  # the chin
    assert z[30] == z.max()  # the tip of the nose
    assert (y[17:27] > y[36:48].max()).all()  # brows over eyes
    mirrored = points[MIRROR68] * [-1, 1, 1]
    assert np.linalg.norm(points - mirrored, axis=1).max() < 0.03  # cm


def test_opening_the_jaw_lowers_the_chin(face_model: FaceModel) -> None:
    expression = np.zeros(53)
    expression[face_model.expression_names.index("jawOpen")] = 1
    lowered = face_model.shape(np.zeros(100), expression)
    corners = slice(None), face_model.mesh.landmarks68_vertices[8]
    drop = (face_model.mesh.vertices[corners[1]] - lowered[corners[1]])[:, 1]
    assert (drop > 1).all() and (drop < 6).all()  # cm


def test_a_missing_model_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="absent.npz: no such file; it comes with the facekit"):
        load_ict_face_model(tmp_path / "absent.npz")


def write_text(path: Path) -> None:
    path.write_text("not an archive")


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_other_arrays(path: Path) -> None:
    np.savez(path, vertices=np.zeros((9409, 3)))


def write_cut_off(path: Path) -> None:
    np.savez(path, uv=np.zeros((50, 2)), vertices=np.zeros((9409, 3)))
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize("write", [write_text, write_nothing, write_other_arrays, write_cut_off])
def test_another_file_is_refused(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "model.npz"
    write(path)
    with pytest.raises(LabelError, match="model.npz: not the ICT face model"):
        load_ict_face_model(path)
