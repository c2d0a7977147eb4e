"""AFLW-LFPA's photos and visible points → typed records, and which point lies where on a face.

The data set has AFLW's 21 points and 13 more, visible ones only. Its own form isn't published, so
here each photo is a pair of .jpg and .mat as in AFLW2000-3D: `pt2d` (2, 34) pixels, −1 for a point
that isn't visible, and perhaps `bbox`, x0 y0 x1 y1. AFLW's own 21 points (2, 21), as AFLW2000-3D
has them too, are read as well.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.data.bfm import read_mat
from prnet.errors import LabelError
from prnet.files import read_json

Mapping68 = Sequence[Sequence[int]]  # for each point the iBUG points that it is the mean of

# AFLW's points in its order, "left" being the photo's: the iBUG points of 3DDFA's AFLW protocol
AFLW21 = {
    "left brow, left corner": (17,),
    "left brow, centre": (19,),
    "left brow, right corner": (21,),
    "right brow, left corner": (22,),
    "right brow, centre": (24,),
    "right brow, right corner": (26,),
    "left eye, left corner": (36,),
    "left eye, centre": (36, 37, 38, 39, 40, 41),
    "left eye, right corner": (39,),
    "right eye, left corner": (42,),
    "right eye, centre": (42, 43, 44, 45, 46, 47),
    "right eye, right corner": (45,),
    "left ear": (2,),
    "nose, left": (31,),
    "nose, tip": (30,),
    "nose, right": (35,),
    "right ear": (14,),
    "mouth, left corner": (48,),
    "mouth, centre": (60, 61, 62, 63, 64, 65, 66, 67),
    "mouth, right corner": (54,),
    "chin": (8,),
}
# the 13 that AFLW-LFPA adds: our reading, since their order was never published
ADDED13 = {
    "left upper lid": (37, 38),
    "left lower lid": (40, 41),
    "right upper lid": (43, 44),
    "right lower lid": (46, 47),
    "nose, root": (27,),
    "nose, bridge": (28, 29),
    "nose, base": (33,),
    "upper lip": (51,),
    "lower lip": (57,),
    "left jaw, upper": (4,),
    "left jaw, lower": (6,),
    "right jaw, lower": (10,),
    "right jaw, upper": (12,),
}
LFPA34: Mapping68 = (*AFLW21.values(), *ADDED13.values())


@dataclass(frozen=True, eq=False)
class LFPARecord:
    """One photo and its label.

    Attributes:
        photo: The .jpg.
        points: (34 or 21, 2) float64, photo pixels as in the file; NaN where not visible.
        box: (4,) float32 x0 y0 x1 y1, the face's: the file's, or tight around the visible points.
    """

    photo: Path
    points: NDArray[np.float64]
    box: NDArray[np.float32]


def read_aflw_lfpa(folder: str | os.PathLike[str]) -> tuple[list[LFPARecord], list[Path]]:
    """Read a folder of pairs.

    Args:
        folder: Holds .jpg files, a .mat beside each.

    Returns:
        The records, sorted by name, and the .mat files left out because their points are others.

    Raises:
        LabelError: The folder holds no such pair, or a .mat file is damaged, has fewer than two
            visible points or no photo beside it.
    """
    folder = Path(folder)
    records, left_out = [], []
    for path in sorted(folder.glob("*.mat")):
        arrays = read_mat(path, (), ("pt2d", "bbox"))
        points = arrays.get("pt2d", np.empty(0))
        if points.shape not in ((2, 34), (2, 21)):
            left_out.append(path)
            continue
        photo = path.with_suffix(".jpg")
        if not photo.is_file():
            raise LabelError(f"{photo}: no such photo, but {path.name} is there")
        is_visible = (points != -1).all(0) & np.isfinite(points).all(0)
        if is_visible.sum() < 2:
            raise LabelError(f"{path}: pt2d must have two visible points or more")
        visible = np.where(is_visible, points, np.nan).astype(np.float64).T
        tight = np.concatenate([np.nanmin(visible, 0), np.nanmax(visible, 0)])
        box = arrays.get("bbox", tight).astype(np.float32).ravel()
        if box.shape != (4,) or not (box[:2] < box[2:]).all():
            raise LabelError(f"{path}: bbox must be x0 y0 x1 y1, got {box.tolist()}")
        records.append(LFPARecord(photo, visible, box))
    if not records:
        raise LabelError(
            f"{folder}: no AFLW-LFPA in it, which is pairs of .jpg and .mat with pt2d (2, 34)"
        )
    return records, left_out


def read_mapping(path: str | os.PathLike[str]) -> Mapping68:
    """Read another mapping: JSON, for each point the list of iBUG points (0–67) it is the mean of.

    Raises:
        LabelError: Not such a file.
    """
    try:
        mapping = read_json(path)
        is_fine = len(mapping) in (34, 21) and all(
            group and all(type(index) is int and 0 <= index < 68 for index in group)
            for group in mapping
        )
    except (OSError, ValueError, TypeError) as error:
        raise LabelError(f"{path}: can't read this mapping as JSON ({error})") from error
    if not is_fine:
        raise LabelError(f"{path}: must be 34 (or 21) lists of iBUG points, 0 to 67 each")
    return tuple(tuple(group) for group in mapping)
