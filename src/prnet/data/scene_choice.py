"""The facekit → the photos that scenes are made of: chosen, turned, their other faces found."""

import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.face_crops import FACE_CROP_SIZE, crop_record, rotated_copy
from prnet.data.facekit import FACE_MODEL_FILE, SOURCES, Facekit
from prnet.data.scene_photos import BACKGROUND, TURNED, LabelledPhoto
from prnet.errors import LabelError
from prnet.geometry.oriented import tight_oriented
from prnet.geometry.pose import in_plane_angle
from prnet.morphable.linear import FaceModel, load_ict_face_model

TURNED_SOURCES = ("ibug", "lfw")
# turned copies: total |yaw| and the spread of the added pitch
TURNED_YAW_DEG, TURNED_PITCH_DEG = (35.0, 85.0), 15.0
PROFILE_YAW_DEG = 35.0  # CFP's photos beyond are its profiles
PROFILES_PER_FRONTAL = 3
# a detection that shares this part of its area with the labelled face is that face
SAME_FACE = 0.3
LOOK_SCALES = (1.0, 2.5)  # the detector sees each photo at these, for small faces too
HELD_OUT_BACKGROUNDS = 5  # every fifth is

Split = Literal["train", "val"]


class FindsBoxes(Protocol):
    """A detector's own boxes."""

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(H, W, 3) uint8 RGB → (N, 4 or more) x y w h in pixels."""
        ...


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
    angle = in_plane_angle(rotation)
    # how far the nose points across the tilted face, over how far it points at the viewer
    across = rotation[:2, 2] @ [np.cos(angle), -np.sin(angle)]
    yaw = np.degrees(np.arctan2(abs(across), rotation[2, 2]))
    return tight_oriented(landmarks68, angle), float(yaw)


def choose_photos(
    facekit: str | os.PathLike[str],
    split: Split,
    counts: Mapping[str, int],
    find_boxes: FindsBoxes,
    largest_px: Mapping[str, int],
    seed: int = 0,
) -> Iterator[LabelledPhoto]:
    """Choose photos of a split and its backgrounds, and find their unlabelled faces.

    Args:
        facekit: The facekit's folder.
        split: Of the facekit; `val` is held out.
        counts: By source how many photos at most, turned copies too; all backgrounds are taken. As
            many people as possible, and of CFP three profiles for one photo from the front.
        find_boxes: The detector that finds the faces without a label.
        largest_px: By source the side that larger photos are shrunk to.
        seed: Of the choice.

    Yields:
        The photos.

    Raises:
        LabelError: The facekit is incomplete.
    """
    folder = Path(facekit)
    rng = np.random.default_rng([seed, split == "val"])
    for source in (each for each in SOURCES if counts.get(each)):
        kit = Facekit(folder, split, [source])
        for index in _choose(kit, counts[source], rng):
            record = kit.records[index]
            face, yaw = upright_face(record.landmarks68, record.pose.rotation)
            photo, face = _shrink(kit.photo(record), face, largest_px.get(source))
            others = _unlabelled(photo, face, find_boxes)
            yield LabelledPhoto(photo, source, face, yaw, split == "val", others)
    none = np.empty((0, 4), np.float32)
    if counts.get(TURNED):
        model = load_ict_face_model(folder / FACE_MODEL_FILE)
        kit = Facekit(folder, split, TURNED_SOURCES)
        for index in _choose(kit, counts[TURNED], rng):
            photo, face, yaw = _turned(kit, index, model, rng)
            yield LabelledPhoto(photo, TURNED, face, yaw, split == "val", none)
    nobody = np.full(5, np.nan, np.float32)
    for i, photo in enumerate(read_backgrounds(folder)):
        if (i % HELD_OUT_BACKGROUNDS == 0) == (split == "val"):
            photo, _ = _shrink(photo, nobody, largest_px.get(BACKGROUND))
            yield LabelledPhoto(photo, BACKGROUND, nobody, np.nan, split == "val", none)


def _shrink(
    photo: NDArray[np.uint8], face: NDArray[np.float32], largest_px: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A photo and its face, no larger than that."""
    scale = (largest_px or np.inf) / max(photo.shape[:2])
    if scale >= 1:
        return photo, face
    size = np.rint(np.array(photo.shape[1::-1]) * scale).astype(int).tolist()
    small = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    parts = (face[:2] + 0.5) * scale - 0.5, face[2:4] * scale, face[4:]
    return small, np.concatenate(parts).astype(np.float32)


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
            and upright_face(record.landmarks68, record.pose.rotation)[1] > PROFILE_YAW_DEG
        )
        key = (record.source, record.person, is_profile)
        rank[key] = rank.get(key, -1) + 1
        weights[index] = rank[key] / (PROFILES_PER_FRONTAL if is_profile else 1)
    chosen: list[int] = order[np.argsort(weights[order], kind="stable")][:count].tolist()
    return chosen


def _turned(
    kit: Facekit, index: int, model: FaceModel, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
    """A record's photo with the head turned in depth: pixels, face, |yaw|."""
    record = kit.records[index]
    original, is_photo = crop_record(kit.photo(record), record)
    other = kit.photo(kit.records[rng.integers(len(kit.records))])
    behind = np.asarray(
        cv2.GaussianBlur(cv2.resize(other, (FACE_CROP_SIZE, FACE_CROP_SIZE)), (0, 0), 3), np.uint8
    )
    target, pitch = rng.uniform(*TURNED_YAW_DEG), rng.normal(0, TURNED_PITCH_DEG)
    background = behind if rng.random() < 0.5 else None
    turned = rotated_copy(original, is_photo, model, target, pitch, background, rng)
    shape = model.shape(record.identity, record.expression)
    points = np.einsum(
        "pkd,pk->pd",
        shape[model.mesh.landmarks68_vertices],
        model.mesh.landmarks68_barycentric,
    )
    landmarks = turned.pose.apply(points)
    return turned.pixels, *upright_face(landmarks, turned.pose.rotation)


def _unlabelled(
    photo: NDArray[np.uint8], face: NDArray[np.floating], find_boxes: FindsBoxes
) -> NDArray[np.float32]:
    """Boxes (K, 4) x0 y0 x1 y1 of faces that a detector finds beside the labelled one."""
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
                boxes.append([x, y, x + width, y + height])
    return np.array(boxes, np.float32).reshape(-1, 4)
