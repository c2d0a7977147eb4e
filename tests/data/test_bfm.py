import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from prnet.data.bfm import UV_REPAIRS, WHOLE_VERTICES, Bfm, load_bfm
from prnet.errors import LabelError
from prnet.geometry.pose import rotation_from_angles
from prnet.uv.atlas import MAP_SIZE
from prnet.uv.build_atlas import build_atlas
from prnet.uv.chart import rasterize_chart

NO_SHAPE, NO_EXPRESSION = np.zeros((199, 1)), np.zeros((29, 1))


def assert_same(first: Bfm, second: Bfm) -> None:
    for field in dataclasses.fields(Bfm):
        one, other = getattr(first, field.name), getattr(second, field.name)
        assert one.dtype == other.dtype, field.name
        np.testing.assert_array_equal(one, other, err_msg=field.name)


@pytest.fixture
def bfm(bfm_folder: Path) -> Bfm:
    return load_bfm(bfm_folder)


def test_both_packings_give_the_same_model(bfm_files, bfm: Bfm, tmp_path: Path) -> None:
    assert_same(bfm, load_bfm(bfm_files.write_face3d(tmp_path)))


def test_the_parts_are_those_of_the_files(bfm_files, bfm: Bfm) -> None:
    np.testing.assert_allclose(bfm.mean, bfm_files.mean + bfm_files.mean_expression, rtol=1e-6)
    assert bfm.shape_basis.shape == (bfm.mean.size, 199)
    assert bfm.expression_basis.shape == (bfm.mean.size, 29)
    assert (bfm.triangles[-5:] == bfm_files.mouth.T - 1).all()
    assert (bfm.triangles[:-5] == bfm_files.triangles.T - 1).all()
    assert (bfm.keypoints == bfm_files.keypoints[0] - 1).all()


def test_uvs_with_the_inner_mouth_are_trimmed(bfm_files, bfm: Bfm, tmp_path: Path) -> None:
    assert_same(bfm, load_bfm(bfm_files.write_3ddfa(tmp_path, trimmed=False)))


def test_the_whole_model_is_mended_as_face3d_does(bfm_files, tmp_path: Path, monkeypatch) -> None:
    """What face3d's generate.py does to its files, done here with its numbers, 1-based."""
    monkeypatch.setattr("prnet.data.bfm.SHAPE_COUNT", 1)  # the whole basis would take seconds
    monkeypatch.setattr("prnet.data.bfm.EXPRESSION_COUNT", 1)
    rng = np.random.default_rng(0)
    rows = 3 * WHOLE_VERTICES
    raw = dataclasses.replace(
        bfm_files,
        mean=rng.normal(0, 5e4, (WHOLE_VERTICES, 3)).astype(np.float32),
        mean_expression=np.zeros((WHOLE_VERTICES, 3), np.float32),
        shape_basis=rng.normal(size=(rows, 1)),
        expression_basis=rng.normal(size=(rows, 1)),
        uv=np.vstack([bfm_files.uv, rng.uniform(size=(WHOLE_VERTICES - len(bfm_files.uv), 2))]),
        mouth=rng.integers(1, WHOLE_VERTICES, (3, 114)),
    )
    uv = raw.uv.copy()
    uv[10032 - 1] = (uv[10033 - 1] + uv[10158 - 1]) / 2
    uv[10155 - 1] = (uv[10534 - 1] + uv[10157 - 1] + uv[10661 - 1]) / 3
    uv[10280 - 1] = (uv[10916 - 1] + uv[10286 - 1]) / 2
    added = [[6420, 6542, 6664], [6420, 6294, 6167], [6167, 6297, 6420], [6167, 6297, 6296]]
    added += [[6167, 6296, 6295], [6167, 6295, 6039], [6168, 6295, 6039]]
    mouth = np.hstack([raw.mouth[:, :37], raw.mouth[:, 38:], np.array(added).T])
    mended = dataclasses.replace(raw, uv=uv, mouth=mouth)
    assert len(UV_REPAIRS) == 3
    loaded = load_bfm(raw.write_3ddfa(tmp_path / "3ddfa"))
    assert_same(loaded, load_bfm(mended.write_face3d(tmp_path / "face3d")))
    assert len(loaded.triangles) == bfm_files.triangles.shape[1] + 120


# coefficients and pose


def test_a_shape_is_the_mean_plus_its_parts(bfm: Bfm) -> None:
    shape_para, exp_para = NO_SHAPE.copy(), NO_EXPRESSION.copy()
    shape_para[3], exp_para[28] = -2e5, 1.5
    offset = bfm.shape_basis[:, 3] * -2e5 + bfm.expression_basis[:, 28] * 1.5
    shape = bfm.shape(shape_para, exp_para)
    assert shape.dtype == np.float32
    np.testing.assert_allclose(shape, bfm.mean + offset.reshape(-1, 3), rtol=1e-5, atol=0.05)


def test_projection_by_hand(bfm: Bfm) -> None:
    """At 0.002 px/µm, 10,000 µm are 20 pixels; y counts up from the bottom row."""
    pose = np.array([[0, 0, 0, 200, 150, 7, 0.002]], np.float32)
    vertices = bfm.vertices(NO_SHAPE, NO_EXPRESSION, pose, image_height=450)
    assert vertices.dtype == np.float32
    x, y, z = bfm.mean.astype(np.float64).T
    expected = np.stack([200 + 0.002 * x, 449 - (150 + 0.002 * y), 7 + 0.002 * z], 1)
    np.testing.assert_allclose(vertices, expected, atol=1e-3)


def test_pose_turns_as_the_labels_say(bfm: Bfm) -> None:
    turned = bfm.vertices(
        NO_SHAPE, NO_EXPRESSION, np.array([0.1, 0.5, -0.2, 200, 150, 7, 0.002]), image_height=450
    )
    rotation = rotation_from_angles(*np.degrees([0.5, 0.1, -0.2]))
    expected = 0.002 * bfm.mean @ rotation.T * [1, -1, 1] + [200, 449 - 150, 7]
    np.testing.assert_allclose(turned, expected, atol=1e-3)
    # a positive yaw looks to the left of the photo: the nose stands left of the eyes' middle
    nose, right_eye, left_eye = bfm.keypoints[[30, 36, 45]]
    assert turned[nose, 0] < (turned[right_eye, 0] + turned[left_eye, 0]) / 2


@pytest.mark.parametrize(
    ("counts", "name"),
    [((198, 29, 7), "shape_para"), ((199, 28, 7), "exp"), ((199, 29, 6), "pose")],
)
def test_another_count_of_numbers_is_refused(bfm: Bfm, counts: tuple, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        bfm.vertices(*(np.zeros(count) for count in counts), image_height=450)


# the chart


def test_the_map_has_the_official_layout(make_bfm, facekit: Path, tmp_path: Path) -> None:
    """PRNet reads the iBUG points off its maps at uv_kpt_ind.txt's pixels: ours has them there."""
    path = facekit / "../prnet_official/uv_kpt_ind.txt"
    if not path.is_file():
        pytest.skip("PRNet's uv_kpt_ind.txt is not here")
    columns, rows = np.loadtxt(path).astype(int)
    assert (columns[30], rows[30]) == (128, 96)
    bfm = load_bfm(make_bfm(np.stack([columns, rows], 1)).write_face3d(tmp_path))
    sampler = rasterize_chart(bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE)
    position_map = sampler.sample(bfm.mean)
    # 0.1% of a pixel of the map, 0.6 mm in this model
    np.testing.assert_allclose(position_map[rows, columns], bfm.mean[bfm.keypoints], atol=1)


def test_the_files_corners_fall_on_the_corner_pixels(bfm_files, bfm: Bfm) -> None:
    corners = {(0, 1): (0, 0), (1, 1): (0, 255), (0, 0): (255, 0), (1, 0): (255, 255)}
    for uv, (row, column) in corners.items():
        vertex = np.flatnonzero((bfm_files.uv == uv).all(1))[0]
        np.testing.assert_allclose(bfm.uv[vertex] * 256 - 0.5, [column, row], atol=1e-4)
    sampler = rasterize_chart(bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE)
    assert sampler.is_covered[2:-2, 2:-2].all()


def test_the_mesh_is_a_chart_in_centimetres(bfm: Bfm) -> None:
    mesh = bfm.mesh
    np.testing.assert_allclose(mesh.vertices * 10_000, bfm.mean, rtol=1e-6)
    points = (
        mesh.landmarks68_barycentric[..., None] * mesh.vertices[mesh.landmarks68_vertices]
    ).sum(1)
    np.testing.assert_array_equal(points, mesh.vertices[bfm.keypoints])
    atlas = build_atlas(dataclasses.replace(mesh, vertices=mesh.vertices / 5))  # no edge too long
    np.testing.assert_allclose(atlas.landmarks68_uv, bfm.uv[bfm.keypoints], atol=1e-6)


# bad files


def test_a_missing_mouth_is_told(bfm_files, tmp_path: Path, caplog) -> None:
    folder = bfm_files.write_3ddfa(tmp_path)
    (folder / "Model_tri_mouth.mat").unlink()
    with caplog.at_level(logging.WARNING):
        bfm = load_bfm(folder)
    assert len(bfm.triangles) == bfm_files.triangles.shape[1]
    assert "Model_tri_mouth.mat" in caplog.text


@pytest.mark.parametrize("name", ["Model_Expression.mat", "BFM_UV.mat"])
def test_a_missing_file_is_named(bfm_files, tmp_path: Path, name: str) -> None:
    folder = bfm_files.write_3ddfa(tmp_path)
    (folder / name).unlink()
    with pytest.raises(LabelError, match=f"{name}: no such file"):
        load_bfm(folder)


def test_a_folder_without_bfm_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"neither Model_Shape.mat .* nor BFM.mat"):
        load_bfm(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "damaged"), (b"no archive" * 50, "damaged"), (b"MATLAB 7.3".ljust(512, b"\0"), "mat")],
)
def test_a_damaged_file_is_named(bfm_files, tmp_path: Path, content: bytes, message: str) -> None:
    folder = bfm_files.write_3ddfa(tmp_path)
    (folder / "Model_Shape.mat").write_bytes(content)
    with pytest.raises(LabelError, match=f"Model_Shape.mat: .*{message}"):
        load_bfm(folder)


def test_a_file_cut_off_is_named(bfm_files, tmp_path: Path) -> None:
    path = bfm_files.write_3ddfa(tmp_path) / "Model_Shape.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LabelError, match="Model_Shape.mat"):
        load_bfm(tmp_path)


def test_a_v7_3_file_says_how_to_save_it(bfm_files, tmp_path: Path) -> None:
    path = bfm_files.write_3ddfa(tmp_path) / "Model_Shape.mat"
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header.ljust(512, b"\0"))
    with pytest.raises(LabelError, match="Model_Shape.mat: .*-v7"):
        load_bfm(tmp_path)


@pytest.mark.parametrize(
    ("file", "name", "array", "message"),
    [
        ("Model_Shape.mat", "mu_shape", np.zeros((10, 1)), "mu_shape must hold x y z"),
        ("Model_Shape.mat", "w", np.zeros((30, 199)), "w must have .* rows"),
        ("Model_Shape.mat", "tri", np.zeros((3, 9)), "tri must number"),
        ("Model_Shape.mat", "tri", np.full((3, 9), 100_000), "tri must number"),
        ("Model_Shape.mat", "tri", np.ones((9, 3)), "tri must have 3 row"),
        ("Model_Shape.mat", "keypoints", np.ones((1, 60)), "keypoints must be 68"),
        ("Model_Shape.mat", "keypoints", None, "has no keypoints"),
        ("Model_Expression.mat", "mu_exp", np.zeros((9, 1)), "mu_exp must hold"),
        ("Model_Expression.mat", "w_exp", np.zeros((711, 10)), "w_exp must have"),
        ("Model_tri_mouth.mat", "tri_mouth", np.full((3, 9), 100_000), "tri_mouth must number"),
        ("BFM_UV.mat", "UV", np.zeros((50, 3)), "UV must be"),
        ("BFM_UV.mat", "UV", np.full((237, 2), 255.0), "UV must be"),
        ("BFM_UV.mat", "UV", np.zeros((50, 2)), "50 rows for 237 vertices; .*model_info.mat"),
    ],
)
def test_parts_that_do_not_fit_are_named(
    bfm_files, tmp_path: Path, file: str, name: str, array: np.ndarray | None, message: str
) -> None:
    path = bfm_files.write_3ddfa(tmp_path) / file
    parts = {k: v for k, v in scipy.io.loadmat(path).items() if k[0] != "_" and k != name}
    scipy.io.savemat(path, parts | ({} if array is None else {name: array}))
    with pytest.raises(LabelError, match=f"{file}: .*{message}|{file}: {message}"):
        load_bfm(tmp_path)


def test_a_trim_index_of_another_model_is_named(bfm_files, tmp_path: Path) -> None:
    folder = bfm_files.write_3ddfa(tmp_path, trimmed=False)
    scipy.io.savemat(folder / "model_info.mat", {"trimIndex": np.arange(1, 100)[:, None]})
    with pytest.raises(
        LabelError, match="model_info.mat: trimIndex must choose 237 of the 244 rows"
    ):
        load_bfm(folder)


def test_a_packed_model_without_a_field_is_named(bfm_files, tmp_path: Path) -> None:
    folder = bfm_files.write_face3d(tmp_path)
    scipy.io.savemat(folder / "BFM.mat", {"model": {"shapeMU": np.zeros((9, 1))}})
    with pytest.raises(LabelError, match="BFM.mat: its model has no shapePC"):
        load_bfm(folder)


@pytest.mark.parametrize("turned", [[1, -1], [-1, 1]])
def test_uvs_upside_down_or_mirrored_are_refused(bfm_files, tmp_path: Path, turned: list) -> None:
    uv = (bfm_files.uv - 0.5) * turned + 0.5
    folder = dataclasses.replace(bfm_files, uv=uv).write_3ddfa(tmp_path)
    with pytest.raises(LabelError, match="BFM_UV.mat: shows the face mirrored or upside down"):
        load_bfm(folder)
