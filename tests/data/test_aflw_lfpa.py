import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from prnet.data.aflw_lfpa import ADDED13, AFLW21, LFPA34, read_aflw_lfpa, read_mapping
from prnet.errors import LabelError

POINTS = np.arange(68.0).reshape(2, 34)


def write(folder: Path, name: str, **arrays: np.ndarray) -> Path:
    path = folder / f"{name}.mat"
    scipy.io.savemat(path, arrays)
    path.with_suffix(".jpg").write_bytes(b"not looked at")
    return path


def test_the_mapping_is_34_points_of_the_68() -> None:
    assert (len(AFLW21), len(ADDED13), len(LFPA34)) == (21, 13, 34)
    assert all(group and {*group} <= {*range(68)} for group in LFPA34)
    assert len({*LFPA34}) == 34
    assert LFPA34[:21] == tuple(AFLW21.values())


def test_the_mapping_is_mirror_symmetric() -> None:
    mirror = [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    ]
    groups = {frozenset(group) for group in LFPA34}
    assert {frozenset(mirror[i] for i in group) for group in groups} == groups


def test_hidden_points_are_gaps(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[:, 3] = -1
    write(tmp_path, "a", pt2d=points)
    (record,), left_out = read_aflw_lfpa(tmp_path)
    assert left_out == []
    assert np.isnan(record.points[3]).all()
    np.testing.assert_array_equal(record.points[5], [5, 39])
    np.testing.assert_array_equal(record.box, [0, 34, 33, 67])
    assert record.box.dtype == np.float32


def test_a_box_of_the_files_own_wins(tmp_path: Path) -> None:
    write(tmp_path, "a", pt2d=POINTS, bbox=np.array([[1, 2, 30, 40]]))
    (record,), _ = read_aflw_lfpa(tmp_path)
    np.testing.assert_array_equal(record.box, [1, 2, 30, 40])


def test_other_files_are_left_out_by_name(tmp_path: Path) -> None:
    write(tmp_path, "a", pt2d=POINTS)
    other = write(tmp_path, "b", pt2d=np.zeros((2, 68)))
    records, left_out = read_aflw_lfpa(tmp_path)
    assert [record.photo.stem for record in records] == ["a"]
    assert left_out == [other]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pt2d": np.full((2, 34), -1.0)}, "two visible points"),
        ({"pt2d": POINTS, "bbox": np.array([3, 3, 1, 9])}, "bbox must be x0 y0 x1 y1"),
        ({"pt2d": np.zeros((2, 5))}, "no AFLW-LFPA in it"),
    ],
)
def test_a_broken_label_is_named(tmp_path: Path, arrays: dict, message: str) -> None:
    write(tmp_path, "a", **arrays)
    with pytest.raises(LabelError, match=message):
        read_aflw_lfpa(tmp_path)


def test_a_missing_photo_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a", pt2d=POINTS).with_suffix(".jpg").unlink()
    with pytest.raises(LabelError, match=r"a\.jpg: no such photo"):
        read_aflw_lfpa(tmp_path)


def test_the_21_points_of_the_real_samples_lie_where_the_mapping_says(facekit: Path) -> None:
    """AFLW2000-3D has both annotations; they agree within the jitter of clicks."""
    records, left_out = read_aflw_lfpa(facekit / "samples")
    assert [path.stem for path in left_out] == ["300wlp_IBUG_image_008_1_0"]
    for record in records:
        label = scipy.io.loadmat(record.photo.with_suffix(".mat"))["pt3d_68"][:2].T
        mapped = np.array([label[list(group)].mean(0) for group in LFPA34[:21]])
        seen = ~np.isnan(record.points[:, 0])
        size = np.sqrt(np.prod(np.ptp(label, 0)))
        distance = np.linalg.norm(mapped[seen] - record.points[seen], axis=1) / size
        assert seen.sum() > 10
        assert distance.mean() < 0.08 and np.median(distance) < 0.06


# mappings from outside


def test_another_mapping_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps([[i, 67] for i in range(34)]), encoding="utf-8")
    assert read_mapping(path) == tuple((i, 67) for i in range(34))


@pytest.mark.parametrize(
    "content", ["", "{}", "[[1], [2]]", json.dumps([[68]] * 34), json.dumps([[]] * 34), "[1, 2]"]
)
def test_a_broken_mapping_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LabelError, match=r"mapping\.json"):
        read_mapping(path)
