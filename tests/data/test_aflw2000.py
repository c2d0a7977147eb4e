from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from prnet.data.aflw2000 import read_aflw2000, replace_labels
from prnet.errors import LabelError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(name, **changes)`: a pair in the real files' shapes and types; None leaves one out."""

    def write(name: str, *, photo: bool = True, **changes: object) -> Path:
        rng = np.random.default_rng(len(name))
        arrays = {
            "pt2d": rng.uniform(0, 450, (2, 21)),
            "Illum_Para": rng.normal(size=(1, 10)),
            "Color_Para": rng.normal(size=(1, 7)).astype(np.float32),
            "Tex_Para": rng.normal(size=(199, 1)),
            "Shape_Para": rng.normal(0, 1e5, (199, 1)),
            "Exp_Para": rng.normal(size=(29, 1)),
            "Pose_Para": np.array([[0.1, -0.5, 0.2, 200, 210, -80, 1e-3]], np.float32),
            "roi": np.array([[1, 2, 3, 4]], np.int16),
            "pt3d_68": np.arange(204, dtype=np.float32).reshape(3, 68),
        } | changes
        path = tmp_path / f"{name}.mat"
        scipy.io.savemat(path, {key: value for key, value in arrays.items() if value is not None})
        if photo:
            (tmp_path / f"{name}.jpg").write_bytes(b"not looked at")
        return path

    return write


def test_a_pair_becomes_a_record(write: Write, tmp_path: Path) -> None:
    write("image00002")
    (record,), left_out = read_aflw2000(tmp_path)
    assert left_out == []
    assert record.photo == tmp_path / "image00002.jpg"
    np.testing.assert_array_equal(record.landmarks68[1], [1, 69, 137])  # x y z of point 1
    assert record.angles == pytest.approx(np.degrees([-0.5, 0.1, 0.2]), rel=1e-6)
    assert record.angles.yaw == record.yaw_deg
    shapes = record.pose_para.shape, record.shape_para.shape, record.exp_para.shape
    assert shapes == ((7,), (199,), (29,))


def test_pairs_without_3d_points_are_left_out_by_name(write: Write, tmp_path: Path) -> None:
    write("image00002")
    other = write("AFW_1_0", pt3d_68=None, pt2d=np.zeros((2, 68)))
    records, left_out = read_aflw2000(tmp_path)
    assert [record.photo.stem for record in records] == ["image00002"]
    assert left_out == [other]


def test_records_come_in_the_order_of_their_names(write: Write, tmp_path: Path) -> None:
    for name in ("image00010", "image00002", "image00300"):
        write(name)
    stems = [record.photo.stem for record in read_aflw2000(tmp_path)[0]]
    assert stems == ["image00002", "image00010", "image00300"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Pose_Para": None}, "has no Pose_Para"),
        ({"pt3d_68": np.zeros((3, 67))}, "pt3d_68 must be 204 finite numbers"),
        ({"Shape_Para": np.full((199, 1), np.nan)}, "Shape_Para must be 199 finite numbers"),
        ({"photo": False}, r"image1\.jpg: no such photo"),
    ],
)
def test_a_broken_pair_is_named(write: Write, tmp_path: Path, changes: dict, message: str) -> None:
    write("image1", **changes)
    with pytest.raises(LabelError, match=message):
        read_aflw2000(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "image1.mat").write_bytes(b"nonsense")
    with pytest.raises(LabelError, match=r"image1\.mat"):
        read_aflw2000(tmp_path)


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_folder_without_pairs_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(LabelError, match="no AFLW2000-3D in it"):
        read_aflw2000(tmp_path / folder)


# 3DDFA's annotation files


def test_both_annotation_files_are_read(write: Write, tmp_path: Path) -> None:
    write("image1"), write("image2")
    records, _ = read_aflw2000(tmp_path)
    points = np.random.default_rng(0).uniform(0, 450, (2, 3, 68)).astype(np.float32)
    np.save(tmp_path / "AFLW2000-3D.pts68.npy", points)
    np.save(tmp_path / "AFLW2000-3D-Reannotated.pts68.npy", points[:, :2] + 1)
    for name, expected in (("", points), ("-Reannotated", points[:, :2] + 1)):
        replaced = replace_labels(records, tmp_path / f"AFLW2000-3D{name}.pts68.npy")
        for record, each in zip(replaced, expected, strict=True):
            np.testing.assert_array_equal(record.landmarks68, each.T)


def test_a_pose_file_changes_the_split_and_not_the_pose(write: Write, tmp_path: Path) -> None:
    write("image1"), write("image2")
    records, _ = read_aflw2000(tmp_path)
    np.save(tmp_path / "AFLW2000-3D.pose.npy", np.array([-75.0, 351.0]))
    replaced = replace_labels(records, poses=tmp_path / "AFLW2000-3D.pose.npy")
    assert [record.yaw_deg for record in replaced] == [-75, 351]
    assert [record.angles for record in replaced] == [record.angles for record in records]


def test_a_list_gives_the_files_order(write: Write, tmp_path: Path) -> None:
    for name in ("image1", "image2", "image3"):
        write(name)
    records, _ = read_aflw2000(tmp_path)
    (tmp_path / "crop.list").write_text("image3.jpg\nsome/image1.jpg\nimage2.jpg\n")
    np.save(tmp_path / "yaw.npy", np.array([3.0, 1.0, 2.0]))
    replaced = replace_labels(records, None, tmp_path / "yaw.npy", tmp_path / "crop.list")
    assert {record.photo.stem: record.yaw_deg for record in replaced} == {
        **{"image1": 1, "image2": 2},
        "image3": 3,
    }


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2000, 3, 68)), r"must be \(1, 3, 68\) or \(1, 2, 68\) for the 1 photos"),
        (np.zeros((1, 68, 3)), r"must be \(1, 3, 68\)"),
        (np.array(["a"]), "not a .npy file of numbers"),
        (None, "not a .npy file of numbers"),
    ],
)
def test_other_annotations_are_refused(
    write: Write, tmp_path: Path, array: np.ndarray | None, message: str
) -> None:
    write("image1")
    records, _ = read_aflw2000(tmp_path)
    path = tmp_path / "points.npy"
    if array is not None:
        np.save(path, array)
    with pytest.raises(LabelError, match=message):
        replace_labels(records, path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("image1\n", "image2 is only in one"),
        ("image1\nimage2\nimage9\n", "image9 is only in one"),
        ("image1\nimage2\nimage2\n", "a name is there twice"),
    ],
)
def test_the_list_of_other_photos_is_refused(
    write: Write, tmp_path: Path, lines: str, message: str
) -> None:
    write("image1"), write("image2")
    records, _ = read_aflw2000(tmp_path)
    (tmp_path / "crop.list").write_text(lines)
    with pytest.raises(LabelError, match=message):
        replace_labels(records, file_list=tmp_path / "crop.list")


# the real files


def test_the_real_samples_are_faces(facekit: Path) -> None:
    """Upright, the nose in front, and looking where the yaw says."""
    records, left_out = read_aflw2000(facekit / "samples")
    assert [record.photo.name for record in records] == ["image00050.jpg", "image00251.jpg"]
    assert [path.name for path in left_out] == ["300wlp_IBUG_image_008_1_0.mat"]
    for record in records:
        points = record.landmarks68
        assert points[8, 1] > points[30, 1] > points[[36, 45], 1].max()
        assert points[30, 2] > points[[0, 16], 2].max()
        assert points[36, 0] < points[45, 0]
    frontal, turned = records
    assert abs(frontal.yaw_deg) < 5
    assert turned.yaw_deg == pytest.approx(-54.68, abs=0.01)  # to the right of the photo
    ears = turned.landmarks68[[0, 16], 0].mean()
    assert turned.landmarks68[30, 0] > ears
