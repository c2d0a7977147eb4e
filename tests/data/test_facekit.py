import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prnet.data.facekit import FIELDS, SOURCES, Facekit, FacekitRecord
from prnet.errors import LabelError
from prnet.morphable.linear import FaceModel


def projected_landmarks(record: FacekitRecord, model: FaceModel) -> np.ndarray:
    """The iBUG points of a record's shape in its pose, photo frame."""
    mesh = model.mesh
    shape = model.shape(record.identity, record.expression)[mesh.landmarks68_vertices]
    return record.pose.apply((mesh.landmarks68_barycentric[..., None] * shape).sum(1))


def test_records_are_kept_by_source_and_split(tiny_facekit: Path) -> None:
    train, val = Facekit(tiny_facekit, "train"), Facekit(tiny_facekit, "val")
    assert [r.filename for r in train.records] == [
        "lfw_0.png",
        "utk_0.png",
        "web_0.png",
        "mix_1.png",
    ]
    assert [(r.source, r.filename) for r in val.records] == [
        ("lfw", "lfw_1.png"),
        ("mix", "mix_0.png"),
    ]
    some = Facekit(tiny_facekit, "train", sources=("mix", "lfw"))
    assert [r.source for r in some.records] == ["mix", "lfw"]


def test_a_record_has_its_kinds_and_box(tiny_facekit: Path) -> None:
    record = Facekit(tiny_facekit, "val").records[0]
    assert record.identity.shape == (100,) and record.expression.shape == (53,)
    assert {a.dtype for a in (record.identity, record.expression, record.landmarks68)} == {
        np.dtype(np.float32)
    }
    assert record.pose.rotation.dtype == record.pose.translation.dtype == np.float64
    assert (record.person, record.age, record.gender, record.origin) == (7, 30, 1, -1)
    x, y, _ = record.landmarks68.T
    np.testing.assert_array_equal(record.box, [x.min(), y.min(), x.max(), y.max()])
    assert record.box.dtype == np.float32


def test_what_the_kit_rejected_is_in_no_split(tiny_facekit: Path) -> None:
    for split in ("train", "val"):
        assert Facekit(tiny_facekit, split, ("cfp", "ibug")).records == []


def test_fields_of_the_second_edition(tiny_facekit: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_facekit, tmp_path / "facekit")
    path = folder / "labels/ibug.npz"
    np.savez(path, **dict(np.load(path)) | {"split": np.array(["rejected", "val"])})
    kit = Facekit(folder, "val", ("lfw", "ibug"))
    without, record = kit.records
    assert record.filename == "ibug_1.png"
    np.testing.assert_allclose(record.human68, record.landmarks68[:, :2] + 1)
    assert without.human68.shape == (68, 2) and np.isnan(without.human68).all()
    np.testing.assert_allclose(record.blendshapes, np.linspace(0, 1, 52), atol=1e-3)
    assert kit.blendshape_names[51] == "blendshape51" and record.identity_photos == 3
    residuals = record.fit_residual_dense, record.fit_residual_68, record.teacher_disagreement
    assert residuals == (0.9, 2.1, 2.5)


def test_photos_are_rgb_and_match_their_labels(
    tiny_facekit: Path, tiny_face_model: FaceModel, painted_offsets: Any
) -> None:
    """Red is u and green is v: swapped colors would fail by far."""
    kit = Facekit(tiny_facekit, "train")
    for record in kit.records:
        photo = kit.photo(record)
        assert photo.shape == (150, 170, 3) and photo.dtype == np.uint8
        shape = tiny_face_model.shape(record.identity, record.expression)
        offsets = painted_offsets(photo, record.pose, shape)
        assert len(offsets) > 5000 and np.abs(offsets).max() < 1.5
        assert np.abs(offsets.mean(0)).max() < 0.02
        expected = projected_landmarks(record, tiny_face_model)
        np.testing.assert_allclose(record.landmarks68, expected, atol=0.01)


@pytest.fixture(scope="module")
def val(facekit: Path) -> Facekit:
    return Facekit(facekit, "val")


def test_the_kit_has_its_documented_photos(facekit: Path, val: Facekit) -> None:
    train = Facekit(facekit, "train")
    for kit, counts in (
        (train, [8241, 5159, 1303, 579, 4990, 907]),
        (val, [490, 504, 87, 66, 672, 297]),
    ):
        sources = [record.source for record in kit.records]
        assert [sources.count(source) for source in SOURCES] == counts
        assert sources == sorted(sources, key=SOURCES.index)


def test_the_kits_labels_are_its_models_points(val: Facekit, face_model: FaceModel) -> None:
    for source in SOURCES:
        records = [record for record in val.records if record.source == source][::8]
        errors = [
            np.linalg.norm(projected_landmarks(record, face_model) - record.landmarks68, axis=1)
            for record in records
        ]
        assert np.median(np.concatenate(errors)) < 0.5  # pixels; coefficients have 16 bits


def test_the_kits_photos_are_rgb(val: Facekit) -> None:
    """The middle of a face is redder than it is blue."""
    for source, shape in {"lfw": (250, 250, 3), "utk": (200, 200, 3)}.items():
        differences = []
        for record in [record for record in val.records if record.source == source][::40]:
            photo = val.photo(record)
            assert photo.shape == shape and photo.dtype == np.uint8
            column, row = record.landmarks68[30, :2].astype(int)
            red, _, blue = photo[row - 10 : row + 10, column - 10 : column + 10].mean((0, 1))
            differences.append(red - blue)
        assert np.median(differences) > 15


# what is wrong with a kit is said with the file's path


@pytest.fixture
def broken(tiny_facekit: Path, tmp_path: Path) -> Path:
    """A copy of the tiny kit for a test to damage."""
    return shutil.copytree(tiny_facekit, tmp_path / "facekit")


@pytest.mark.parametrize("name", ["faces/utk.tar", "labels/utk.npz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut off"])
def test_missing_and_damaged_files_are_named(broken: Path, name: str, damage: str) -> None:
    path = broken / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "text": b"hello"}.get(damage, content[: len(content) // 2]))
    with pytest.raises(LabelError, match=f"{Path(name).name}: "):
        Facekit(broken, "train")


def test_a_missing_column_is_named(broken: Path) -> None:
    path = broken / "labels/web.npz"
    columns = dict(np.load(path))
    for name in FIELDS:
        np.savez(path, **{k: v for k, v in columns.items() if k != name})
        with pytest.raises(LabelError, match=f"web.npz: .*{name}"):
            Facekit(broken, "train")


def test_columns_must_be_of_one_length(broken: Path) -> None:
    path = broken / "labels/lfw.npz"
    columns = dict(np.load(path))
    np.savez(path, **(columns | {"age": columns["age"][:1]}))
    with pytest.raises(LabelError, match=r"lfw\.npz: .*differ in length"):
        Facekit(broken, "train")


def test_a_label_without_its_photo_is_named(broken: Path) -> None:
    shutil.copy(broken / "faces/web.tar", broken / "faces/mix.tar")
    kit = Facekit(broken, "val")
    with pytest.raises(LabelError, match=r"mix\.tar: no photo mix_0\.png"):
        kit.photo(kit.records[-1])


def test_a_photo_that_is_none_is_named(broken: Path) -> None:
    kit = Facekit(broken, "val")
    path = broken / "faces/mix.tar"
    content = bytearray(path.read_bytes())
    content[512:1024] = bytes(512)  # where the first file's content begins
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"mix\.tar: mix_0\.png is not a photo"):
        kit.photo(kit.records[-1])
