"""Photos with one labelled face each, and backgrounds: what scenes are made of, in one small file.

Training and evaluation of the detector need this file alone.
"""

import os
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.errors import LabelError
from prnet.files import write_aside

TURNED, BACKGROUND = "turned", "background"
SOURCES = ("lfw", "utk", "web", "mix", "cfp", "ibug", TURNED, BACKGROUND)
QUALITY = 80  # of WebP
LABELS = ("source", "faces", "yaw", "held_out", "ignored")


class LabelledPhoto(NamedTuple):
    """One of the photos, as `ScenePhotos` describes them.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        source: One of SOURCES.
        face: (5,) float32.
        yaw: Degrees.
        held_out: Whether it is held out.
        ignored: (K, 4) float32, boxes x0 y0 x1 y1 of faces without a label.
    """

    pixels: NDArray[np.uint8]
    source: str
    face: NDArray[np.float32]
    yaw: float
    held_out: bool
    ignored: NDArray[np.float32]


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


def gather_photos(photos: Iterable[LabelledPhoto]) -> ScenePhotos:
    """Put photos one after the other, in memory."""
    kept = list(photos)
    pixels = [photo.pixels for photo in kept]
    return ScenePhotos(*_flatten(pixels), **_labels(kept))


def pack_photos(photos: Iterable[LabelledPhoto], path: str | os.PathLike[str]) -> None:
    """Write photos into one file.

    Args:
        photos: In any order; they are compressed, with a little loss.
        path: The file to write, `.npz`.

    Raises:
        OSError: It can't be written.
    """
    encoded, kept = [], []
    for photo in photos:
        bgr = cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2BGR)
        encoded.append(cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1])
        kept.append(photo._replace(pixels=np.empty((0, 0, 3), np.uint8)))
    with write_aside(Path(path)) as aside, aside.open("wb") as stream:
        ends = np.cumsum([len(each) for each in encoded])
        np.savez(stream, encoded=np.concatenate(encoded), ends=ends, **_labels(kept))


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
            columns = {name: arrays[name] for name in ("encoded", "ends", *LABELS)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise LabelError(f"{path}: not packed photos ({error})") from error
    streams = np.split(columns["encoded"], columns["ends"][:-1])
    with ThreadPoolExecutor() as pool:
        photos = list(pool.map(_decode, streams))
    pixels, starts, shapes = _flatten(photos)
    target = Path(folder) / "photos.npy"
    with write_aside(target) as aside, aside.open("wb") as file:
        np.save(file, pixels)
    labels = {name: columns[name] for name in LABELS}
    return ScenePhotos(np.load(target, mmap_mode="r"), starts, shapes, **labels), target


def _flatten(
    photos: list[NDArray[np.uint8]],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Photos one after the other, where each begins, and their shapes."""
    shapes = np.array([photo.shape[:2] for photo in photos], np.int64)
    sizes = shapes.prod(1) * 3
    return np.concatenate([photo.ravel() for photo in photos]), np.cumsum(sizes) - sizes, shapes


def _labels(photos: list[LabelledPhoto]) -> dict[str, Any]:
    """The arrays that LABELS names."""
    ignored = [
        np.insert(boxes, 0, i, axis=1)
        for i, photo in enumerate(photos)
        if len(boxes := photo.ignored)
    ]
    return {
        "source": np.array([SOURCES.index(photo.source) for photo in photos], np.uint8),
        "faces": np.array([photo.face for photo in photos], np.float32),
        "yaw": np.array([photo.yaw for photo in photos], np.float32),
        "held_out": np.array([photo.held_out for photo in photos]),
        "ignored": np.concatenate([*ignored, np.empty((0, 5))]).astype(np.float32),
    }


def _decode(stream: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo's file → (H, W, 3) uint8 RGB."""
    photo = cv2.imdecode(stream, cv2.IMREAD_COLOR_RGB)
    if photo is None:
        raise LabelError("one of the packed photos is damaged")
    return np.asarray(photo, np.uint8)
