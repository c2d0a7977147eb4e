"""The facekit → one small file of photos, face boxes and backgrounds: what scenes are made of.

`pack_photos` needs the facekit and a detector once; training and evaluation need its file alone.
"""

import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.face_crops import CUTOUT_SIZE, cut_out, turned_copy
from prnet.morphable.linear import FaceModel, load_ict_face_model
from prnet.data.facekit import FACE_MODEL_FILE, Facekit
from prnet.errors import LabelError

PHOTO_SOURCES = ("lfw", "utk", "web", "mix", "cfp", "ibug")
TURNED, BACKGROUND = "turned", "background"
SOURCES = (*PHOTO_SOURCES, TURNED, BACKGROUND)
LARGEST_PX = {"utk": 176, BACKGROUND: 260}  # side a photo is shrunk to; others by default:
DEFAULT_LARGEST_PX = 250
QUALITY = 62  # of WebP
# turned copies: total |yaw| and the spread of the added pitch
TURNED_YAW_DEG, TURNED_PITCH_DEG = (35.0, 85.0), 15.0
# a detection that shares this part of its area with the labelled face is that face
SAME_FACE = 0.3
LOOK_SCALES = (1.0, 2.5)  # the detector sees each photo at these, for small faces too
HELD_OUT_BACKGROUNDS = 5  # every fifth is
FILE_ARRAYS = ("encoded", "ends", "source", "faces", "yaw", "held_out", "ignored")


class FindsBoxes(Protocol):
    """A detector's own boxes."""

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(H, W, 3) uint8 RGB → (N, 5 or more) x y w h in pixels, score."""
        ...


@dataclass(frozen=True, eq=False)
class ScenePhotos:
    """Decoded photos with one labelled face each, and backgrounds with none.

    Attributes:
        pixels: (B,) uint8, the photos one after the other, each (H, W, 3) RGB.
        starts: (N,) int64, where each begins.
        shapes: (N, 2) int64, H and W.
        source: (N,) uint8, index into SOURCES.
        faces: (N, 5) float32: center x, y, width, height of the box around the 68 landmarks once
            the face is turned upright, and the angle in radians that turns it (clockwise as seen)
            from upright to how the photo shows it; pixels. NaN for backgrounds.
        yaw: (N,) float32, degrees, the size of the face's yaw. NaN for backgrounds.
        held_out: (N,) bool, of the val split (of backgrounds every fifth).
        ignored: (K, 5) float32, photo index and x0 y0 x1 y1 of faces without a label.
    """

    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    shapes: NDArray[np.int64]
    source: NDArray[np.uint8]
    faces: NDArray[np.float32]
    yaw: NDArray[np.float32]
    held_out: NDArray[np.bool_]
    ignored: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of photos and backgrounds."""
        return len(self.starts)

    def photo(self, index: int) -> NDArray[np.uint8]:
        """One photo, (H, W, 3) uint8 RGB, a view."""
        height, width = self.shapes[index]
        start = self.starts[index]
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)


def upright_face(
    landmarks68: NDArray[np.floating], rotation: NDArray[np.floating]
) -> tuple[NDArray[np.float32], float]:
    """Landmarks and pose → the box around them once upright, with its angle, and the yaw.

    Args:
        landmarks68: (68, 2 or 3) float, photo frame.
        rotation: (3, 3) float, canonical frame → photo frame with y up.

    Returns:
        (5,) float32 center x, y, width, height, angle as `ScenePhotos.faces`; |yaw| in degrees.
    """
    angle = np.arctan2(rotation[0, 1], rotation[1, 1])  # of the head's up axis in the photo
    cos, sin = np.cos(angle), np.sin(angle)
    upright = landmarks68[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = upright.min(0), upright.max(0)
    center = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    # how far the nose points across the tilted face, over how far it points at the viewer
    across = rotation[:2, 2] @ [cos, -sin]
    yaw = np.degrees(np.arctan2(abs(across), rotation[2, 2]))
    return np.array([*center, *(high - low), angle], np.float32), float(yaw)


def pack_photos(
    facekit: str | os.PathLike[str],
    path: str | os.PathLike[str],
    counts: Mapping[str, tuple[int, int]],
    find_boxes: FindsBoxes,
    seed: int = 0,
) -> None:
    """Choose photos, find their unlabelled faces and write all of it into one file.

    Args:
        facekit: The facekit's folder.
        path: The file to write, `.npz`.
        counts: By source of SOURCES (backgrounds excepted: all are taken) how many photos of the
            train and of the val split at most. Of LFW one photo of a person, of CFP three profiles
            to each frontal photo.
        find_boxes: The detector that finds the faces without a label.
        seed: Of the choice.

    Raises:
        LabelError: The facekit is incomplete.
    """
    rng = np.random.default_rng(seed)
    encoded: list[NDArray[Any]] = []
    sources: list[int] = []
    faces: list[NDArray[np.float32]] = []
    yaws: list[float] = []
    held_out: list[bool] = []
    ignored: list[NDArray[np.float64]] = []
    for photo, source, face, yaw, is_held_out in _chosen(Path(facekit), counts, rng):
        scale = min(1.0, LARGEST_PX.get(source, DEFAULT_LARGEST_PX) / max(photo.shape[:2]))
        if scale < 1:
            size = np.rint(np.array(photo.shape[1::-1]) * scale).astype(int).tolist()
            photo = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
            face = np.array([*((face[:2] + 0.5) * scale - 0.5), *(face[2:4] * scale), face[4]])
        if source not in (BACKGROUND, TURNED):
            ignored += [
                np.array([len(encoded), *box]) for box in _unlabelled(photo, face, find_boxes)
            ]
        photo_bytes = cv2.imencode(
            ".webp", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
        )[1]
        encoded.append(photo_bytes)
        sources.append(SOURCES.index(source))
        faces.append(face)
        yaws.append(yaw)
        held_out.append(is_held_out)
    arrays: dict[str, Any] = {
        "encoded": np.concatenate(encoded),
        "ends": np.cumsum([len(each) for each in encoded]),
        "source": np.array(sources, np.uint8),
        "faces": np.array(faces, np.float32),
        "yaw": np.array(yaws, np.float32),
        "held_out": np.array(held_out),
        "ignored": np.array(ignored, np.float32).reshape(-1, 5),
    }
    path = Path(path)
    aside = path.with_name(path.name + ".partial")
    with aside.open("wb") as stream:
        np.savez(stream, **arrays)
    aside.replace(path)


_Chosen = tuple[NDArray[np.uint8], str, NDArray[np.float32], float, bool]


def _chosen(
    facekit: Path, counts: Mapping[str, tuple[int, int]], rng: np.random.Generator
) -> Iterator[_Chosen]:
    """The photos to pack: pixels, source, face, |yaw|, held out."""
    model = load_ict_face_model(facekit / FACE_MODEL_FILE)
    splits: tuple[Literal["train", "val"], ...] = ("train", "val")
    for column, split in enumerate(splits):
        for source in PHOTO_SOURCES:
            kit = Facekit(facekit, split, [source])
            for index in _choose(kit, counts.get(source, (0, 0))[column], rng):
                record = kit.records[index]
                face, yaw = upright_face(record.landmarks68, record.pose.rotation)
                yield kit.photo(record), source, face, yaw, split == "val"
        kit = Facekit(facekit, split, ["ibug", "lfw"])
        for index in _choose(kit, counts.get(TURNED, (0, 0))[column], rng):
            yield *_turned(kit, index, model, rng), split == "val"
    none = np.full(5, np.nan, np.float32)
    for i, photo in enumerate(read_backgrounds(facekit)):
        yield photo, BACKGROUND, none, np.nan, i % HELD_OUT_BACKGROUNDS == 0


def read_backgrounds(facekit: str | os.PathLike[str]) -> Iterator[NDArray[np.uint8]]:
    """The photos without a person, (H, W, 3) uint8 RGB, in the order of their tar.

    Raises:
        LabelError: The tar is missing or damaged.
    """
    path = Path(facekit) / "backgrounds" / "bsds.tar"
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is None:
                    continue
                photo = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
                if photo is None:
                    raise LabelError(f"{path}: {member.name} is not a photo")
                yield np.asarray(photo, np.uint8)
    except (OSError, tarfile.TarError) as error:
        raise LabelError(f"{path}: can't read the facekit's backgrounds ({error})") from error


def _choose(kit: Facekit, count: int, rng: np.random.Generator) -> list[int]:
    """At most `count` records of a kit, most different people first."""
    order = rng.permutation(len(kit.records))
    rank: dict[object, int] = {}
    weights = np.empty(len(order))
    for index in order:
        record = kit.records[index]
        is_profile = (
            record.source == "cfp"
            and upright_face(record.landmarks68, record.pose.rotation)[1] > 35
        )
        key = (record.source, record.person, is_profile)
        rank[key] = rank.get(key, -1) + 1
        # of each person three profiles for one photo from the front
        weights[index] = rank[key] / (3 if is_profile else 1)
    chosen: list[int] = order[np.argsort(weights[order], kind="stable")][:count].tolist()
    return chosen


def _turned(
    kit: Facekit, index: int, model: FaceModel, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], str, NDArray[np.float32], float]:
    """A record's photo with the head turned in depth: pixels, source, face, |yaw|."""
    record = kit.records[index]
    original, is_photo = cut_out(kit.photo(record), record)
    other = kit.photo(kit.records[rng.integers(len(kit.records))])
    behind = np.asarray(
        cv2.GaussianBlur(cv2.resize(other, (CUTOUT_SIZE, CUTOUT_SIZE)), (0, 0), 3), np.uint8
    )
    target, pitch = rng.uniform(*TURNED_YAW_DEG), rng.normal(0, TURNED_PITCH_DEG)
    background = behind if rng.random() < 0.5 else None
    turned = turned_copy(original, is_photo, model, target, pitch, background, rng)
    shape = model.shape(record.identity, record.expression)
    points = np.einsum(
        "pkd,pk->pd",
        shape[model.mesh.landmarks68_vertices],
        model.mesh.landmarks68_barycentric,
    )
    landmarks = turned.pose.apply(points) * [1, -1, 1]
    return turned.pixels, TURNED, *upright_face(landmarks, turned.pose.rotation)


def _unlabelled(
    photo: NDArray[np.uint8], face: NDArray[np.floating], find_boxes: FindsBoxes
) -> list[NDArray[np.float64]]:
    """Boxes (4,) x0 y0 x1 y1 of faces that a detector finds beside the labelled one."""
    reach = face[2:4].mean() * 0.6
    labelled = np.array([face[:2] - reach, face[:2] + reach])
    boxes = []
    for scale in LOOK_SCALES:
        size = np.rint(np.array(photo.shape[1::-1]) * scale).astype(int).tolist()
        look = cv2.resize(photo, size, interpolation=cv2.INTER_LINEAR)
        for x, y, width, height in find_boxes(np.asarray(look, np.uint8))[:, :4] / scale:
            if min(width, height) <= 0:
                continue
            low = np.maximum([x, y], labelled[0])
            high = np.minimum([x + width, y + height], labelled[1])
            if np.maximum(high - low, 0).prod() < SAME_FACE * width * height:
                boxes.append(np.array([x, y, x + width, y + height]))
    return boxes


def load_photos(
    path: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> tuple[ScenePhotos, Path]:
    """Decode a packed file into one flat file that many processes can share.

    Args:
        path: What `pack_photos` wrote.
        folder: Where the decoded pixels go, as `photos.npy`; several hundred megabytes.

    Returns:
        The photos, whose pixels are read from the disk as they are needed, and their file.

    Raises:
        LabelError: The file is missing or not packed photos.
    """
    try:
        with np.load(path) as arrays:
            columns = {name: arrays[name] for name in FILE_ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise LabelError(f"{path}: not packed photos ({error})") from error
    streams = np.split(columns["encoded"], columns["ends"][:-1])
    with ThreadPoolExecutor() as pool:
        photos = list(pool.map(_decode, streams))
    shapes = np.array([photo.shape[:2] for photo in photos], np.int64)
    sizes = shapes.prod(1) * 3
    target = Path(folder) / "photos.npy"
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as aside:
        np.save(aside, np.concatenate([photo.ravel() for photo in photos]))
    Path(aside.name).replace(target)
    loaded = ScenePhotos(
        np.load(target, mmap_mode="r"),
        np.cumsum(sizes) - sizes,
        shapes,
        *(columns[name] for name in ("source", "faces", "yaw", "held_out", "ignored")),
    )
    return loaded, target


def _decode(stream: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo's file → (H, W, 3) uint8 RGB."""
    photo = cv2.imdecode(stream, cv2.IMREAD_COLOR_RGB)
    if photo is None:
        raise LabelError("one of the packed photos is damaged")
    return np.asarray(photo, np.uint8)
