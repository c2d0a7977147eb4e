"""The facekit (photos with dense 3D labels) → typed records, kept by source and split."""

import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.errors import LabelError
from prnet.geometry.boxes import tight_box
from prnet.geometry.pose import Pose

OPENINGS_YAW_DEG = 25.0  # the openings are valid under this |yaw|
SOURCES = ("lfw", "utk", "web", "mix", "cfp", "ibug")
FACE_MODEL_FILE = "ict_face_model.npz"
FIELDS = (
    *("filename", "split", "scale", "rotation", "translation", "identity", "expression"),
    *("landmarks68", "eye_opening", "mouth_opening", "person", "age", "gender", "origin"),
    *("identity_photos", "fit_residual_dense", "fit_residual_68", "teacher_disagreement"),
    *("blendshapes", "blendshape_names"),
)
HUMAN68 = "human68"  # the field that only sources with points set by humans have


@dataclass(frozen=True, eq=False)
class FacekitRecord:
    """One labelled photo.

    Attributes:
        source: One of SOURCES.
        filename: The photo's name in the source's tar.
        pose: Canonical frame (cm) → photo frame.
        identity: (100,) float32, standard deviations of the ICT face model.
        expression: (53,) float32, in [0, 1].
        landmarks68: (68, 3) float32, photo frame: the fitted iBUG points.
        human68: (68, 2) float32, photo frame: the points that humans set, NaN where there is none;
            the facekit's README says what they mean.
        blendshapes: (52,) float32 in [0, 1], MediaPipe's scores in the order of
            `Facekit.blendshape_names`: a weak reference for expressions.
        eye_opening: Lid distance over eye width, mean of both eyes; valid for yaw under 25°.
        mouth_opening: Inner lip distance over mouth width; valid for yaw under 25°.
        person: Number of the person within the source.
        identity_photos: How many photos of the person the identity was fitted to.
        fit_residual_dense: Mean distance of the fit from MediaPipe's points, % of face size.
        fit_residual_68: The same from the other two teachers' 68 points.
        teacher_disagreement: Mean distance between the teachers, % of face size.
        age: Years, −1 where unknown; for reporting only, as the next two.
        gender: 0 male, 1 female, −1 unknown (UTKFace's tag).
        origin: 0 White, 1 Black, 2 Asian, 3 Indian, 4 other, −1 unknown (UTKFace's tag).
    """

    source: str
    filename: str
    pose: Pose
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    landmarks68: NDArray[np.float32]
    human68: NDArray[np.float32]
    blendshapes: NDArray[np.float32]
    eye_opening: float
    mouth_opening: float
    person: int
    identity_photos: int
    fit_residual_dense: float
    fit_residual_68: float
    teacher_disagreement: float
    age: int
    gender: int
    origin: int

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,) float32 x0 y0 x1 y1, photo pixels, tight around the 68 points."""
        return tight_box(self.landmarks68)


class Facekit:
    """The records of one split, and their photos; rejected ones belong to neither split.

    Args:
        folder: The facekit's folder.
        split: `train` or `val`.
        sources: Which of SOURCES to take, in which order.

    Attributes:
        folder: As given.
        records: One a photo, in the order of the sources' label files.
        blendshape_names: ARKit's names of the records' blendshapes.

    Raises:
        LabelError: A file is missing or not as the facekit's README describes it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        split: Literal["train", "val"],
        sources: Iterable[str] = SOURCES,
    ) -> None:
        self.folder = Path(folder)
        self.records: list[FacekitRecord] = []
        self.blendshape_names: tuple[str, ...] = ()
        self._photos: dict[str, dict[str, tuple[int, int]]] = {}
        for source in sources:
            self._photos[source] = _tar_index(self.folder / "faces" / f"{source}.tar")
            labels = self.folder / "labels" / f"{source}.npz"
            records, self.blendshape_names = _read_labels(labels, source, split)
            self.records += records

    def photo(self, record: FacekitRecord) -> NDArray[np.uint8]:
        """Read a record's photo.

        Args:
            record: One of `records`.

        Returns:
            (H, W, 3) uint8 RGB, a new array.

        Raises:
            LabelError: The source's tar hasn't got it, or it can't be decoded.
        """
        path = self.folder / "faces" / f"{record.source}.tar"
        try:
            offset, size = self._photos[record.source][record.filename]
        except KeyError:
            raise LabelError(f"{path}: no photo {record.filename} in it") from None
        with path.open("rb") as stream:
            stream.seek(offset)
            encoded = np.frombuffer(stream.read(size), np.uint8)
        photo = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
        if photo is None:
            raise LabelError(f"{path}: {record.filename} is not a photo")
        return np.asarray(photo, np.uint8)


def _tar_index(path: Path) -> dict[str, tuple[int, int]]:
    """Name → (offset, size) of every file in a tar."""
    try:
        with tarfile.open(path, "r:") as tar:
            return {member.name: (member.offset_data, member.size) for member in tar}
    except (OSError, tarfile.TarError) as error:
        raise LabelError(f"{path}: can't read the facekit's photos ({error})") from error


def _read_labels(
    path: Path, source: str, split: str
) -> tuple[list[FacekitRecord], tuple[str, ...]]:
    """The records of one label file that belong to a split, and the blendshapes' names."""
    try:
        with np.load(path) as arrays:
            columns = {name: arrays[name] for name in FIELDS}
            names = tuple(str(name) for name in columns.pop("blendshape_names"))
            none = np.full((len(columns["filename"]), 68, 2), np.nan, np.float32)
            columns[HUMAN68] = arrays.get(HUMAN68, none)
        if len({column.shape[:1] for column in columns.values()}) > 1:
            raise ValueError("its columns differ in length")
    except Exception as error:  # NumPy may fail in any way on a damaged file
        raise LabelError(f"{path}: not a label file of the facekit ({error})") from error
    records = []
    for row in np.flatnonzero(columns["split"] == split):
        scale, rotation, translation = (
            columns[name][row].astype(np.float64) for name in ("scale", "rotation", "translation")
        )
        records.append(
            FacekitRecord(
                source=source,
                filename=str(columns["filename"][row]),
                pose=Pose(float(scale), rotation, translation),
                identity=columns["identity"][row].astype(np.float32),
                expression=columns["expression"][row].astype(np.float32),
                landmarks68=columns["landmarks68"][row].astype(np.float32),
                human68=columns[HUMAN68][row].astype(np.float32),
                blendshapes=columns["blendshapes"][row].astype(np.float32),
                eye_opening=float(columns["eye_opening"][row]),
                mouth_opening=float(columns["mouth_opening"][row]),
                person=int(columns["person"][row]),
                identity_photos=int(columns["identity_photos"][row]),
                fit_residual_dense=float(columns["fit_residual_dense"][row]),
                fit_residual_68=float(columns["fit_residual_68"][row]),
                teacher_disagreement=float(columns["teacher_disagreement"][row]),
                age=int(columns["age"][row]),
                gender=int(columns["gender"][row]),
                origin=int(columns["origin"][row]),
            )
        )
    return records, names
