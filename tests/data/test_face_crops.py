import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prnet.data.face_crops import (
    CUTOUT_SCALE,
    CUTOUT_SIZE,
    LABELS,
    YAW_STRATA_DEG,
    build_cutouts,
    cut_out,
    turned_copy,
    variants,
)
from prnet.data.facekit import Facekit
from prnet.errors import LabelError
from prnet.morphable.linear import FaceModel

VARIANTS = 1 + len(YAW_STRATA_DEG)
EVERYWHERE = np.ones((CUTOUT_SIZE, CUTOUT_SIZE), bool)


@pytest.fixture(scope="module")
def kit(tiny_facekit: Path) -> Facekit:
    return Facekit(tiny_facekit, "train")


def test_a_cutouts_pose_is_where_its_pixels_are(
    kit: Facekit, tiny_face_model: FaceModel, painted_offsets: Any
) -> None:
    for record in kit.records:
        cutout, is_photo = cut_out(kit.photo(record), record)
        assert cutout.pixels.shape == (192, 192, 3) and cutout.pixels.dtype == np.uint8
        assert not cutout.turned
        beyond = cv2.erode((~is_photo).astype(np.uint8), np.ones((5, 5))) > 0
        np.testing.assert_array_equal(cutout.pixels[beyond], 0)
        shape = tiny_face_model.shape(cutout.identity, cutout.expression)
        offsets = painted_offsets(cutout.pixels, cutout.pose, shape)
        assert len(offsets) > 8000 and np.abs(offsets.mean(0)).max() < 0.05
        assert np.percentile(np.linalg.norm(offsets, axis=1), 90) < 0.8


def test_the_box_lies_in_the_middle_at_its_documented_size(kit: Facekit) -> None:
    record = kit.records[0]
    cutout, is_photo = cut_out(kit.photo(record), record)
    factor = cutout.pose.scale / record.pose.scale
    points = cutout.pose.apply(record.pose.remove(record.landmarks68))
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    np.testing.assert_allclose((low + high) / 2, (CUTOUT_SIZE - 1) / 2, atol=1e-3)
    assert (high - low).mean() == pytest.approx(CUTOUT_SIZE / CUTOUT_SCALE)
    # where the photo of 170 × 150 ends; it reaches into the cut-out
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
    original, is_photo = cut_out(kit.photo(record), record)
    shape = tiny_face_model.shape(original.identity, original.expression)
    turned = turned_copy(
        original, is_photo, tiny_face_model, 50.0, pitch_deg, None, np.random.default_rng(0)
    )
    assert turned.turned and turned.pose.yaw == pytest.approx(-50, abs=6)
    assert turned.identity is original.identity and turned.expression is original.expression
    offsets = np.linalg.norm(painted_offsets(turned.pixels, turned.pose, shape), axis=1)
    assert len(offsets) > 6000
    assert np.median(offsets) < 0.6 and np.percentile(offsets, 80) < 1.5


def test_a_face_never_turns_back(kit: Facekit, tiny_face_model: FaceModel) -> None:
    """One that looks further aside than wanted stays; one that looks ahead may go either way."""
    record = kit.records[2]
    original, _ = cut_out(kit.photo(record), record)
    rng = np.random.default_rng(0)
    stays = turned_copy(original, EVERYWHERE, tiny_face_model, 3.0, 0.0, None, rng)
    assert stays.pose.yaw == pytest.approx(original.pose.yaw)
    record = kit.records[1]  # 2.6° aside
    original, _ = cut_out(kit.photo(record), record)
    sides = {
        np.sign(turned_copy(original, EVERYWHERE, tiny_face_model, 30, 0, None, rng).pose.yaw)
        for _ in range(8)
    }
    assert sides == {-1, 1}


def test_variants_fill_the_strata_and_repeat(kit: Facekit, tiny_face_model: FaceModel) -> None:
    for index in range(len(kit.records)):
        first, second = (variants(kit, tiny_face_model, index, seed=3) for _ in range(2))
        assert [cutout.turned for cutout in first] == [False, True, True, True]
        for cutout, (low, high) in zip(first[1:], YAW_STRATA_DEG, strict=True):
            assert low - 8 < abs(cutout.pose.yaw) < high + 8  # tilts add some
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_array_equal(one.pose.rotation, other.pose.rotation)
            np.testing.assert_array_equal(one.pose.translation, other.pose.translation)
    other = variants(kit, tiny_face_model, index, seed=4)
    assert any((one.pixels != two.pixels).any() for one, two in zip(first, other, strict=True))


def test_the_files_hold_every_variant(
    tiny_cutouts: Path, kit: Facekit, tiny_face_model: FaceModel
) -> None:
    folder = tiny_cutouts / "train"
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npz")
    count = len(kit.records) * VARIANTS
    assert pixels.shape == (count, 192, 192, 3) and pixels.dtype == np.uint8
    assert set(labels.files) == set(LABELS) and {len(labels[n]) for n in LABELS} == {count}
    made = [c for k in range(len(kit.records)) for c in variants(kit, tiny_face_model, k, 0)]
    for k, cutout in enumerate(made):
        np.testing.assert_array_equal(pixels[k], cutout.pixels)
        np.testing.assert_array_equal(labels["rotation"][k], cutout.pose.rotation)
        np.testing.assert_array_equal(labels["translation"][k], cutout.pose.translation)
        np.testing.assert_array_equal(labels["identity"][k], cutout.identity)
        assert labels["scale"][k] == cutout.pose.scale and labels["turned"][k] == cutout.turned


def test_finished_files_are_kept_and_unfinished_ones_made_again(
    tiny_facekit: Path, tiny_cutouts: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_cutouts / "val", tmp_path / "val")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done: list[tuple[int, int]] = []

    def build(seed: int = 0, kit: Path = tiny_facekit) -> Path:
        return build_cutouts(
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
        build_cutouts(broken, tmp_path / "out", "train", processes=1)
