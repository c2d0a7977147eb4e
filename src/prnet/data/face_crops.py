"""The facekit's photos → face crops of equal size, as they are and rotated: what training reads.

Rotating in depth costs far more than reading, so `build_face_crops` does it once; the network never
sees the same picture twice all the same, since the 2D augmentation comes after.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import FACE_MODEL_FILE, SOURCES, Facekit, FacekitRecord
from prnet.data.rotate import rotate
from prnet.data.workers import map_in_processes
from prnet.errors import LabelError
from prnet.files import read_json, reserve, write_aside
from prnet.geometry.pose import Pose
from prnet.geometry.sampling import spread_evenly
from prnet.image.crop import crop_face, shows_photo
from prnet.morphable.linear import FaceModel, load_ict_face_model

FACE_CROP_SIZE = 192  # pixels; at crop scale 1.5 a 128-pixel crop is 1:1
FACE_CROP_SCALE = 2.25  # side in units of the mean of the face box's width and height
# total |yaw| of the rotated copies: with the photos, mostly under 25°, yaw is spread evenly
YAW_STRATA_DEG = ((22.5, 45.0), (45.0, 67.5), (67.5, 90.0))
PITCH_STD_DEG, PITCH_MAX_DEG = 12.0, 25.0
FACING_DEG = 5.0  # under this |yaw| a face may be rotated to either side
LABELS = ("scale", "rotation", "translation", "identity", "expression", "openings", "rotated")


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """A square cut out of a photo around the face, with its label.

    Attributes:
        pixels: (192, 192, 3) uint8 RGB.
        pose: Canonical frame → face crop pixels.
        identity: (100,) float32, standard deviations of the ICT face model.
        expression: (53,) float32, in [0, 1].
        openings: (2,) float32, of eyes and mouth as in the facekit.
        rotated: Whether it was rotated in depth.
    """

    pixels: NDArray[np.uint8]
    pose: Pose
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    openings: NDArray[np.float32]
    rotated: bool

    @property
    def coefficients(self) -> NDArray[np.float32]:
        """(153,) float32, identity then expression."""
        return np.concatenate([self.identity, self.expression])


def crop_record(
    photo: NDArray[np.uint8], record: FacekitRecord
) -> tuple[FaceCrop, NDArray[np.bool_]]:
    """Cut a record's face out of its photo.

    Args:
        photo: (H, W, 3) uint8 RGB, the record's.
        record: Its label.

    Returns:
        The face crop, black past the photo's edge, and (192, 192) bool, true where there is photo.
    """
    pixels, image_to_crop = crop_face(photo, record.box, FACE_CROP_SIZE, FACE_CROP_SCALE)
    openings = np.array([record.eye_opening, record.mouth_opening], np.float32)
    identity, expression = record.identity, record.expression
    is_photo = shows_photo(photo.shape, image_to_crop, FACE_CROP_SIZE)
    pose = image_to_crop @ record.pose
    return FaceCrop(pixels, pose, identity, expression, openings, False), is_photo


def rotated_copy(
    face_crop: FaceCrop,
    is_photo: NDArray[np.bool_],
    model: FaceModel,
    target_yaw_deg: float,
    pitch_deg: float,
    background: NDArray[np.uint8] | None,
    rng: np.random.Generator,
) -> FaceCrop:
    """Rotate a face crop away from the camera until its |yaw| is the target, unless it is there.

    Args:
        face_crop: As `crop_record` gives it.
        is_photo: (192, 192) bool, as `crop_record` gives it.
        model: The face model of the labels.
        target_yaw_deg: Total |yaw| wanted; exact for an upright head without pitch, a few degrees
            off for a tilted one.
        pitch_deg: Added pitch.
        background: (192, 192, 3) uint8 RGB, see `prnet.data.rotate.rotate`.
        rng: Chooses the side for faces that look straight ahead.

    Returns:
        The rotated face crop; its label is the given one but for the pose.
    """
    # about the head's own up axis this grows one to one, as yaw does for small pitches alone
    x, _, z = face_crop.pose.rotation[:, 2]
    facing = -float(np.degrees(np.arctan2(x, z)))
    side = np.sign(facing) if abs(facing) > FACING_DEG else rng.choice([1.0, -1.0])
    added = side * max(target_yaw_deg - side * facing, 0.0)
    shape = model.shape(face_crop.identity, face_crop.expression)
    pixels, pose = rotate(
        face_crop.pixels,
        shape,
        model.mesh.triangles,
        face_crop.pose,
        added,
        pitch_deg,
        is_photo=is_photo,
        background=background,
    )
    return FaceCrop(
        pixels, pose, face_crop.identity, face_crop.expression, face_crop.openings, True
    )


def variants(
    kit: Facekit,
    model: FaceModel,
    index: int,
    seed: int,
    strata: Sequence[tuple[float, float]] = YAW_STRATA_DEG,
) -> list[FaceCrop]:
    """Cut a record's face out and turn it, once per yaw stratum.

    Args:
        kit: The photos.
        model: The face model of the labels.
        index: Of the record.
        seed: The same gives the same.
        strata: Lowest and highest total |yaw| in degrees of each rotated copy.

    Returns:
        The face crop as it is, then its rotated copies in the order of the strata.

    Raises:
        LabelError: A photo can't be read.
    """
    rng = np.random.default_rng([seed, index])
    record = kit.records[index]
    original, is_photo = crop_record(kit.photo(record), record)
    copies = [original]
    for low, high in strata:
        target = rng.uniform(low, high)
        pitch = float(np.clip(rng.normal(0, PITCH_STD_DEG), -PITCH_MAX_DEG, PITCH_MAX_DEG))
        background = None
        if rng.random() < 0.6:  # another photo behind the head
            other = kit.records[rng.integers(len(kit.records))]
            behind = cv2.resize(kit.photo(other), (FACE_CROP_SIZE, FACE_CROP_SIZE))
            if rng.random() < 0.5:
                behind = np.ascontiguousarray(behind[:, ::-1])
            background = np.asarray(cv2.GaussianBlur(behind, (0, 0), rng.uniform(0.5, 4)), np.uint8)
        copies.append(rotated_copy(original, is_photo, model, target, pitch, background, rng))
    return copies


def _open_kit(folder: Path, split: Literal["train", "val"]) -> tuple[Facekit, FaceModel]:
    """What a worker process needs."""
    return Facekit(folder, split), load_ict_face_model(folder / FACE_MODEL_FILE)


def _make_variants(kit: tuple[Facekit, FaceModel], index: int, seed: int) -> list[FaceCrop]:
    """`variants` of what `_open_kit` opened."""
    return variants(*kit, index, seed)


def iterate_variants(
    folder: str | os.PathLike[str],
    split: Literal["train", "val"],
    seed: int,
    processes: int | None,
    limit: int | None = None,
) -> Iterator[list[FaceCrop]]:
    """The variants of a split's records, in order, made by several processes.

    Args:
        folder: The facekit.
        split: `train` or `val`.
        seed: Of the rotations.
        processes: How many work at it; None for one per core.
        limit: Only so many records, spread evenly over the split; None for all.

    Returns:
        Iterator over the face crops of one record, see `variants`.

    Raises:
        LabelError: The facekit is incomplete.
    """
    folder = Path(folder)
    count = len(Facekit(folder, split).records)
    chosen = spread_evenly(count, limit)
    return map_in_processes(
        partial(_open_kit, folder, split),
        partial(_make_variants, seed=seed),
        chosen,
        processes,
        chunksize=8,
    )


def build_face_crops(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    split: Literal["train", "val"],
    *,
    seed: int = 0,
    processes: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the face crops of a split, unless they are there already.

    Args:
        folder: The facekit.
        out: Their folder gets a folder of the split's name, with `pixels.npy` (N, 192, 192, 3)
            uint8 RGB, `labels.npz` with LABELS by name, N rows each, and, last, `complete.json`.
        split: `train` or `val`.
        seed: Of the rotations.
        processes: None for one per core.
        report: Called with photos done and photos in all.

    Returns:
        The split's folder.

    Raises:
        LabelError: The facekit is incomplete, or `out` holds face crops of another kind or of
            another facekit.
    """
    out = Path(out) / split
    made_with = {
        "facekit": _digest(folder),
        "seed": seed,
        "size": FACE_CROP_SIZE,
        "scale": FACE_CROP_SCALE,
        "strata": [list(stratum) for stratum in YAW_STRATA_DEG],
    }
    stamp = out / "complete.json"
    if stamp.exists():
        if read_json(stamp) != made_with:
            raise LabelError(
                f"{out}: made with other settings or from another facekit; delete it or name "
                "another folder"
            )
        return out
    out.mkdir(parents=True, exist_ok=True)
    count = len(Facekit(folder, split).records)
    per_photo = 1 + len(YAW_STRATA_DEG)
    shape = (count * per_photo, FACE_CROP_SIZE, FACE_CROP_SIZE, 3)
    pixels = np.lib.format.open_memmap(out / "pixels.npy", "w+", np.uint8, shape)
    reserve(out / "pixels.npy")  # a disk that fills up later would kill the process
    labels: dict[str, list[Any]] = {name: [] for name in LABELS}
    made = iterate_variants(folder, split, seed, processes)
    for done, face_crops in enumerate(made, start=1):
        for k, face_crop in enumerate(face_crops):
            pixels[(done - 1) * per_photo + k] = face_crop.pixels
            row = (
                *(face_crop.pose.scale, face_crop.pose.rotation, face_crop.pose.translation),
                *(face_crop.identity, face_crop.expression, face_crop.openings, face_crop.rotated),
            )
            for name, value in zip(LABELS, row, strict=True):
                labels[name].append(value)
        report(done, count)
    pixels.flush()
    arrays = {name: np.array(column) for name, column in labels.items()}
    with (out / "labels.npz").open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    with write_aside(stamp) as aside:
        aside.write_text(json.dumps(made_with))
    return out


def _digest(folder: str | os.PathLike[str]) -> str:
    """Hash of the facekit's labels and face model, which tells one kit from another."""
    digest = hashlib.sha256()
    folder = Path(folder)
    for path in (folder / FACE_MODEL_FILE, *(folder / "labels" / f"{s}.npz" for s in SOURCES)):
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise LabelError(f"{path}: can't read the facekit ({error})") from error
    return digest.hexdigest()
