"""AFLW2000-3D's pairs of .jpg and .mat, and 3DDFA's annotation files → typed records.

Points are kept as the files have them, which is how published errors are measured. Matlab wrote
them, and it counts pixels from 1: in the photo frame they lie one pixel up and to the left of where
the numbers say, see `AFLW2000Record.from_zero`.
"""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.data.bfm import EXPRESSION_COUNT, SHAPE_COUNT, read_mat
from prnet.errors import LabelError
from prnet.files import read_text
from prnet.geometry.pose import Angles

LANDMARKS_3D = "pt3d_68"  # what 300W-LP's otherwise equal files lack
SIZES = {
    LANDMARKS_3D: 3 * 68,
    "Pose_Para": 7,
    "Shape_Para": SHAPE_COUNT,
    "Exp_Para": EXPRESSION_COUNT,
}


@dataclass(frozen=True, eq=False)
class AFLW2000Record:
    """One photo and its label.

    Attributes:
        photo: The .jpg.
        landmarks68: (68, 2 or 3) float64, pixels, x right, y down, z toward the viewer with an
            arbitrary zero: the iBUG points, hidden ones too, jaw on the 3D outline.
        yaw_deg: What the photo counts as in a split by yaw.
        pose_para: (7,) float64, pitch, yaw, roll in radians, translation in pixels, pixels per µm.
        shape_para: (199,) float64, of BFM.
        exp_para: (29,) float64, of BFM.
    """

    photo: Path
    landmarks68: NDArray[np.float64]
    yaw_deg: float
    pose_para: NDArray[np.float64]
    shape_para: NDArray[np.float64]
    exp_para: NDArray[np.float64]

    @property
    def angles(self) -> Angles:
        """The label's pose in degrees."""
        pitch, yaw, roll = np.degrees(self.pose_para[:3]).tolist()
        return Angles(yaw, pitch, roll)

    def from_zero(self) -> "AFLW2000Record":
        """The record with landmarks in pixels that count from 0, as the photo frame does."""
        shift = np.array([1, 1, 0][: self.landmarks68.shape[1]])
        return dataclasses.replace(self, landmarks68=self.landmarks68 - shift)


def read_aflw2000(folder: str | os.PathLike[str]) -> tuple[list[AFLW2000Record], list[Path]]:
    """Read a folder of AFLW2000-3D.

    Args:
        folder: Holds `image00002.jpg`, `image00002.mat`, …

    Returns:
        The records, sorted by file name, and the .mat files that were left out because they have no
        `pt3d_68`, as those of 300W-LP.

    Raises:
        LabelError: The folder holds no such pair, or a .mat file is damaged, lacks something else
            or has no photo beside it.
    """
    folder = Path(folder)
    records, left_out = [], []
    for path in sorted(folder.glob("*.mat")):
        record = _read_record(path)
        if record is None:
            left_out.append(path)
        else:
            records.append(record)
    if not records:
        raise LabelError(
            f"{folder}: no AFLW2000-3D in it, which is pairs of .jpg and .mat with {LANDMARKS_3D}"
        )
    return records, left_out


def _read_record(path: Path) -> AFLW2000Record | None:
    """The record of a .mat file; None if it has no 3D landmarks."""
    if LANDMARKS_3D not in read_mat(path, (), [LANDMARKS_3D]):
        return None
    arrays = read_mat(path, SIZES)
    for name, size in SIZES.items():
        if arrays[name].size != size or not np.isfinite(arrays[name]).all():
            raise LabelError(
                f"{path}: {name} must be {size} finite numbers, got {arrays[name].shape}"
            )
    photo = path.with_suffix(".jpg")
    if not photo.is_file():
        raise LabelError(f"{photo}: no such photo, but {path.name} is there")
    numbers = {name: arrays[name].astype(np.float64) for name in SIZES}
    return AFLW2000Record(
        photo,
        numbers[LANDMARKS_3D].reshape(3, 68).T,
        float(np.degrees(numbers["Pose_Para"].ravel()[1])),
        *(numbers[name].ravel() for name in ("Pose_Para", "Shape_Para", "Exp_Para")),
    )


def replace_labels(
    records: Sequence[AFLW2000Record],
    annotations: str | os.PathLike[str] | None = None,
    poses: str | os.PathLike[str] | None = None,
    file_list: str | os.PathLike[str] | None = None,
) -> list[AFLW2000Record]:
    """Take landmarks or the split by yaw from 3DDFA's files (its folder test.configs).

    Args:
        records: As `read_aflw2000` gives them.
        annotations: `AFLW2000-3D.pts68.npy`, (N, 3, 68), or `AFLW2000-3D-Reannotated.pts68.npy`,
            (N, 2, 68), which has no depth.
        poses: `AFLW2000-3D.pose.npy` or `AFLW2000-3D-new.pose.npy`, (N,) yaw in degrees.
        file_list: Names of the N photos, one a line, in the files' order; None if that is the order
            of the names, as in the whole data set.

    Returns:
        Records, as many, in the files' order.

    Raises:
        LabelError: A file can't be read, isn't of that shape, or isn't for these photos.
    """
    records = _order(records, file_list)
    if annotations is not None:
        points = _read_npy(annotations, len(records), ((3, 68), (2, 68)))
        records = [
            dataclasses.replace(record, landmarks68=each.T)
            for record, each in zip(records, points, strict=True)
        ]
    if poses is not None:
        yaws = _read_npy(poses, len(records), ((),))
        records = [
            dataclasses.replace(record, yaw_deg=float(yaw))
            for record, yaw in zip(records, yaws, strict=True)
        ]
    return records


def _order(
    records: Sequence[AFLW2000Record], file_list: str | os.PathLike[str] | None
) -> list[AFLW2000Record]:
    """The records in the order of a list of names."""
    if file_list is None:
        return list(records)
    try:
        lines = read_text(file_list).split()
    except (OSError, ValueError) as error:
        raise LabelError(f"{file_list}: can't read this list ({error})") from error
    by_stem = {record.photo.stem: record for record in records}
    stems = [Path(line).stem for line in lines]
    if sorted(stems) != sorted(by_stem):
        odd = sorted(set(stems) ^ set(by_stem))
        what = f"{odd[0]} is only in one of them" if odd else "a name is there twice"
        raise LabelError(f"{file_list}: not the list of the {len(records)} photos: {what}")
    return [by_stem[stem] for stem in stems]


def _read_npy(
    path: str | os.PathLike[str], count: int, shapes: Sequence[tuple[int, ...]]
) -> NDArray[np.float64]:
    """An array of one of these shapes for each photo."""
    try:
        array: NDArray[Any] = np.load(path)
        numbers = array.astype(np.float64)
    except Exception as error:  # NumPy may fail in any way on a damaged file
        raise LabelError(f"{path}: not a .npy file of numbers ({error})") from error
    if numbers.shape not in [(count, *shape) for shape in shapes]:
        expected = " or ".join(str((count, *shape)) for shape in shapes)
        raise LabelError(f"{path}: must be {expected} for the {count} photos, got {numbers.shape}")
    return numbers
