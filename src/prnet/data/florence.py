"""Scans of heads, as MICC Florence's, with photos of the same people → typed records.

The data set comes as one folder a person with several scans, and videos. This reads a folder that
was made ready for measuring:

    <folder>/<person>/scan.obj (or .ply)    the neutral scan, upright: y up, the face toward +z
    <folder>/<person>/landmarks.json        {"30": [x, y, z], "36": …, "45": …, …}: iBUG points on
                                            the scan, in its unit: at least nose tip and outer eye
                                            corners, best a dozen
    <folder>/<person>/*.jpg, *.png          photos, or frames of the videos
    <folder>/<person>/boxes.json            if wanted {"photo.jpg": [x0, y0, x1, y1], …}, tight
                                            around the 68 landmarks; else the face is detected
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.errors import LabelError
from prnet.files import read_json
from prnet.landmarks import LEFT_EYE_OUTER, NOSE_TIP, RIGHT_EYE_OUTER

SCAN_FILES = ("scan.obj", "scan.ply")
LANDMARKS_FILE, BOXES_FILE = "landmarks.json", "boxes.json"
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
NEEDED = NOSE_TIP, RIGHT_EYE_OUTER, LEFT_EYE_OUTER


@dataclass(frozen=True, eq=False)
class ScanRecord:
    """One person.

    Attributes:
        person: The folder's name.
        scan: The scan's file.
        landmarks: (3,) float64 by iBUG number, in the scan's unit.
        photos: Of the person.
        boxes: (4,) x0 y0 x1 y1 by photo, for those that have one.
    """

    person: str
    scan: Path
    landmarks: Mapping[int, NDArray[np.float64]]
    photos: tuple[Path, ...]
    boxes: Mapping[Path, NDArray[np.float64]]

    def read_vertices(self) -> NDArray[np.float64]:
        """The scan's vertices, (V, 3) float64; raises LabelError if the file is no mesh."""
        import trimesh  # slow to import

        try:
            mesh = trimesh.load(self.scan, force="mesh", process=False)
            vertices = np.asarray(mesh.vertices, np.float64)
        except Exception as error:  # the reader may fail in any way on a damaged file
            raise LabelError(f"{self.scan}: can't read this scan ({error})") from error
        if vertices.ndim != 2 or len(vertices) < 100 or not np.isfinite(vertices).all():
            raise LabelError(f"{self.scan}: a scan must have 100 vertices or more, all finite")
        return vertices


def read_florence(folder: str | os.PathLike[str]) -> list[ScanRecord]:
    """List a folder's people, sorted by name.

    Raises:
        LabelError: There are none, or one of them is incomplete.
    """
    folder = Path(folder)
    people = sorted(path.parent for name in SCAN_FILES for path in folder.glob(f"*/{name}"))
    if not people:
        raise LabelError(f"{folder}: no person in it, which is a folder with scan.obj or scan.ply")
    return [_read_person(person) for person in people]


def _read_person(folder: Path) -> ScanRecord:
    """One person's record."""
    scan = next(folder / name for name in SCAN_FILES if (folder / name).is_file())
    points = _read_numbers(folder / LANDMARKS_FILE, 3)
    try:
        landmarks = {int(name): point for name, point in points.items()}
    except ValueError as error:
        raise LabelError(f"{folder / LANDMARKS_FILE}: names must be iBUG numbers") from error
    missing = sorted({*NEEDED} - set(landmarks))
    if missing or not {*landmarks} <= {*range(68)}:
        what = f"{missing} missing" if missing else "numbers must be 0 to 67"
        raise LabelError(f"{folder / LANDMARKS_FILE}: {what}")
    photos = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES))
    if not photos:
        raise LabelError(f"{folder}: no photos in it ({' '.join(PHOTO_SUFFIXES)})")
    named = _read_numbers(folder / BOXES_FILE, 4) if (folder / BOXES_FILE).is_file() else {}
    unknown = sorted(set(named) - {photo.name for photo in photos})
    if unknown:
        raise LabelError(f"{folder / BOXES_FILE}: {unknown[0]}: no such photo beside it")
    boxes = {folder / name: box for name, box in named.items()}
    return ScanRecord(folder.name, scan, landmarks, photos, boxes)


def _read_numbers(path: Path, count: int) -> dict[str, NDArray[np.float64]]:
    """A JSON object of lists of so many numbers."""
    try:
        content: Any = read_json(path)
        numbers = {name: np.array(values, np.float64) for name, values in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LabelError(f"{path}: can't read this file as JSON ({error})") from error
    for name, values in numbers.items():
        if values.shape != (count,) or not np.isfinite(values).all():
            raise LabelError(f"{path}: {name} must be {count} finite numbers")
    return numbers
