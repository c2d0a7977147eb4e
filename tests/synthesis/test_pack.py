"""Packs hold what the facekit holds, in the packed photos' own frame."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.data.facekit import Facekit
from prnet.data.pack import (
    BACKGROUND_SIZE,
    PHOTO_SIZE,
    read_pack,
    read_packed_backgrounds,
    read_packed_model,
)
from prnet.errors import LabelError
from prnet.geometry.pose import Pose
from prnet.morphable.linear import FaceModel


def parts_of(pack: Path) -> list[Path]:
    return sorted(pack.glob("photos-*.npz"))


def test_every_photo_is_in_one_part_and_no_rejected_one(
    tiny_pack: Path, tiny_facekit: Path
) -> None:
    assert len(parts_of(tiny_pack)) > 1
    for split in ("train", "val"):
        packed = read_pack(parts_of(tiny_pack), split)
        records = Facekit(tiny_facekit, split).records
        assert sorted(packed.source.tolist()) == sorted(record.source for record in records)


def test_packed_photos_show_the_faces_where_their_labels_say(
    tiny_pack: Path, tiny_face_model: FaceModel, painted_offsets: Callable[..., np.ndarray]
) -> None:
    packed = read_pack(parts_of(tiny_pack), "train")
    for k, pixels in enumerate(packed.pixels):
        assert pixels.shape == (PHOTO_SIZE, PHOTO_SIZE, 3)
        pose = Pose(float(packed.scale[k]), packed.rotation[k], packed.translation[k])
        shape = tiny_face_model.shape(packed.identity[k], packed.expression[k])
        offsets = painted_offsets(pixels, pose, shape)
        assert len(offsets) > 3000
        np.testing.assert_allclose(np.median(offsets, 0), 0, atol=0.5)


def test_the_bounds_are_the_photos(tiny_pack: Path) -> None:
    packed = read_pack(parts_of(tiny_pack), "train")
    width, height = (packed.bounds[:, 2:] - packed.bounds[:, :2]).T
    np.testing.assert_allclose(width / height, 169 / 149, rtol=1e-4)


def test_the_face_model_and_the_backgrounds_come_along(
    tiny_pack: Path, tiny_face_model: FaceModel
) -> None:
    model = read_packed_model(tiny_pack)
    np.testing.assert_array_equal(model.mesh.vertices, tiny_face_model.mesh.vertices)
    np.testing.assert_array_equal(model.identity, tiny_face_model.identity)
    assert model.expression_names == tiny_face_model.expression_names
    backgrounds = read_packed_backgrounds(tiny_pack)
    # both ends of five pictures; the sixth would be the fifth's neighbour, the fifth is held out
    assert backgrounds.shape == (10, BACKGROUND_SIZE, BACKGROUND_SIZE, 3)


def test_a_damaged_part_is_named(tiny_pack: Path, tmp_path: Path) -> None:
    broken = tmp_path / "photos-0.npz"
    broken.write_bytes(parts_of(tiny_pack)[0].read_bytes()[:1000])
    with pytest.raises(LabelError, match=r"photos-0\.npz"):
        read_pack([broken], "train")
    with pytest.raises(LabelError, match=r"model\.npz"):
        read_packed_model(tmp_path)
    with pytest.raises(LabelError, match=r"backgrounds\.npz"):
        read_packed_backgrounds(tmp_path)
