import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prnet.data.face_crops import (
    FACE_CROP_SCALE,
    FACE_CROP_SIZE,
    LABELS,
    YAW_STRATA_DEG,
    build_face_crops,
    crop_record,
    rotated_copy,
    variants,
)
from prnet.data.facekit import Facekit
from prnet.errors import LabelError
from prnet.morphable.linear import FaceModel

VARIANTS = 1 + len(YAW_STRATA_DEG)
EVERYWHERE = np.ones((FACE_CROP_SIZE, FACE_CROP_SIZE), bool)


@pytest.fixture(scope="module")
def kit(tiny_facekit: Path) -> Facekit:
    return Facekit(tiny_facekit, "train")


def test_a_face_crops_pose_is_where_its_pixels_are(
    kit: Facekit, tiny_face_model: FaceModel, painted_offsets: Any
) -> None:
    for record in kit.records:
        face_crop, is_photo = crop_record(kit.photo(record), record)
        assert face_crop.pixels.shape == (192, 192, 3) and face_crop.pixels.dtype == np.uint8
        assert not face_crop.rotated
        beyond = cv2.erode((~is_photo).astype(np.uint8), np.ones((5, 5))) > 0
        np.testing.assert_array_equal(face_crop.pixels[beyond], 0)
        shape = tiny_face_model.shape(face_crop.identity, face_crop.expression)
        offsets = painted_offsets(face_crop.pixels, face_crop.pose, shape)
        assert len(offsets) > 8000 and np.abs(offsets.mean(0)).max() < 0.05
        assert np.percentile(np.linalg.norm(offsets, axis=1), 90) < 0.8


def test_the_box_lies_in_the_middle_at_its_documented_size(kit: Facekit) -> None:
    record = kit.records[0]
    face_crop, is_photo = crop_record(kit.photo(record), record)
    factor = face_crop.pose.scale / record.pose.scale
    points = face_crop.pose.apply(record.pose.remove(record.landmarks68))
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    np.testing.assert_allclose((low + high) / 2, (FACE_CROP_SIZE - 1) / 2, atol=1e-3)
    assert (high - low).mean() == pytest.approx(FACE_CROP_SIZE / FACE_CROP_SCALE)
    # where the photo of 170 × 150 ends; it reaches into the face crop
    centre = (record.box[:2] + record.box[2:]) / 2
    first, last = np.clip(factor * (np.array([[0, 0], [169, 149]]) - centre) + 95.5, 0, 191)
    columns, rows = (np.flatnonzero(is_photo.any(axis)) for axis in (0, 1))
    np.testing.assert_allclose([columns[0], rows[0]], first, atol=1)
    np.testing.assert_allclose([columns[-1], rows[-1]], last, atol=1)
    assert not is_photo.all()


@pytest.mark.parametrize("pitch_deg", [-12.0, 0.0, 20.0])
def test_turned_copies_keep_their_label_but_for_the_pose(
    kit: Facekit, tiny_face_model: FaceModel, painted_offsets: Any, pitch_deg: float
) -> None:
    record = kit.records[2]  # looks 9° to the photo's right
    original, is_photo = crop_record(kit.photo(record), record)
    shape = tiny_face_model.shape(original.identity, original.expression)
    rotated = rotated_copy(
        original, is_photo, tiny_face_model, 50.0, pitch_deg, None, np.random.default_rng(0)
    )
    assert rotated.rotated and rotated.pose.yaw == pytest.approx(-50, abs=6)
    assert rotated.identity is original.identity and rotated.expression is original.expression
    offsets = np.linalg.norm(painted_offsets(rotated.pixels, rotated.pose, shape), axis=1)
    assert len(offsets) > 6000
    assert np.median(offsets) < 0.6 and np.percentile(offsets, 80) < 1.5


def test_a_face_never_turns_back(kit: Facekit, tiny_face_model: FaceModel) -> None:
    """One that looks further aside than wanted stays; one that looks ahead may go either way."""
    record = kit.records[2]
    original, _ = crop_record(kit.photo(record), record)
    rng = np.random.default_rng(0)
    stays = rotated_copy(original, EVERYWHERE, tiny_face_model, 3.0, 0.0, None, rng)
    assert stays.pose.yaw == pytest.approx(original.pose.yaw)
    record = kit.records[1]  # 2.6° aside
    original, _ = crop_record(kit.photo(record), record)
    sides = {
        np.sign(rotated_copy(original, EVERYWHERE, tiny_face_model, 30, 0, None, rng).pose.yaw)
        for _ in range(8)
    }
    assert sides == {-1, 1}


def test_variants_fill_the_strata_and_repeat(kit: Facekit, tiny_face_model: FaceModel) -> None:
    for index in range(len(kit.records)):
        first, second = (variants(kit, tiny_face_model, index, seed=3) for _ in range(2))
        assert [face_crop.rotated for face_crop in first] == [False, True, True, True]
        for face_crop, (low, high) in zip(first[1:], YAW_STRATA_DEG, strict=True):
            assert low - 8 < abs(face_crop.pose.yaw) < high + 8  # tilts add some
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_array_equal(one.pose.rotation, other.pose.rotation)
            np.testing.assert_array_equal(one.pose.translation, other.pose.translation)
    other = variants(kit, tiny_face_model, index, seed=4)
    assert any((one.pixels != two.pixels).any() for one, two in zip(first, other, strict=True))


def test_the_files_hold_every_variant(
    tiny_face_crops: Path, kit: Facekit, tiny_face_model: FaceModel
) -> None:
    folder = tiny_face_crops / "train"
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npz")
    count = len(kit.records) * VARIANTS
    assert pixels.shape == (count, 192, 192, 3) and pixels.dtype == np.uint8
    assert set(labels.files) == set(LABELS) and {len(labels[n]) for n in LABELS} == {count}
    made = [c for k in range(len(kit.records)) for c in variants(kit, tiny_face_model, k, 0)]
    for k, face_crop in enumerate(made):
        np.testing.assert_array_equal(pixels[k], face_crop.pixels)
        np.testing.assert_array_equal(labels["rotation"][k], face_crop.pose.rotation)
        np.testing.assert_array_equal(labels["translation"][k], face_crop.pose.translation)
        np.testing.assert_array_equal(labels["identity"][k], face_crop.identity)
        assert (
            labels["scale"][k] == face_crop.pose.scale and labels["rotated"][k] == face_crop.rotated
        )


def test_finished_files_are_kept_and_unfinished_ones_made_again(
    tiny_facekit: Path, tiny_face_crops: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_face_crops / "val", tmp_path / "val")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done: list[tuple[int, int]] = []

    def build(seed: int = 0, kit: Path = tiny_facekit) -> Path:
        return build_face_crops(
            kit,
            tmp_path,
            "val",
            seed=seed,
            processes=1,
            report=lambda *counts: done.append(counts),
        )

    assert build() == folder and done == []
    with pytest.raises(LabelError, match="val: made with other settings"):
        build(seed=1)
    other = shutil.copytree(tiny_facekit, tmp_path / "other")
    shutil.copy(other / "labels/lfw.npz", other / "labels/utk.npz")
    with pytest.raises(LabelError, match="val: made with other settings or from another facekit"):
        build(kit=other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # as a kill leaves it
    (folder / "complete.json").unlink()
    (folder / "labels.npz").unlink()
    (folder / "pixels.npy").write_bytes(before["pixels.npy"][:1000])
    assert build() == folder and done == [(1, 2), (2, 2)]
    for name in ("pixels.npy", "complete.json"):
        assert (folder / name).read_bytes() == before[name]


def test_an_incomplete_kit_is_named(tiny_facekit: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_facekit, tmp_path / "facekit")
    (broken / "labels/web.npz").unlink()
    with pytest.raises(LabelError, match=r"web\.npz"):
        build_face_crops(broken, tmp_path / "out", "train", processes=1)
