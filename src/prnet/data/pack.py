"""The facekit → a few files with all that training on one device reads, small enough to carry.

Each photo becomes a square around its face, compressed, with its label moved along; parts hold
random photos each, so that a run can begin with the first part alone.
"""

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import SOURCES, Facekit, FacekitRecord
from prnet.errors import LabelError
from prnet.files import write_aside
from prnet.morphable.linear import FaceModel
from prnet.uv.build_atlas import ChartMesh

PHOTO_SIZE = 224  # pixels; at crop scale 1.5 the network's crop is 149 of them
PHOTO_SCALE = 2.25  # side in units of the mean of the face box's width and height
QUALITY = 75  # WebP's
MODEL_FILE, PART_FILE = "model.npz", "photos-{}.npz"
BACKGROUNDS, WARM_START = "backgrounds/bsds.tar", Path("init/mb05_120x120.pth")
BACKGROUND_FILE, BACKGROUND_SIZE = "backgrounds.npz", 256
HELD_OUT = 5  # every fifth background is for evaluation alone
HALF = ("identity", "expression", "human_offset")  # stored in 16 bits


@dataclass(frozen=True, eq=False)
class PackedPhotos:
    """N photos in memory; "photo frame" is that of the square.

    Attributes:
        pixels: (N, 224, 224, 3) uint8 RGB, black past the photo.
        bounds: (N, 4) float32 x0 y0 x1 y1, the middles of the photo's outermost pixels.
        source: (N,) str, the facekit's source.
        person: (N,) int32, equal where two photos show one person; different between sources.
        scale, rotation, translation: (N,), (N, 3, 3), (N, 3) float32, canonical frame (cm) → photo
            frame with y up.
        identity: (N, 100) float32.
        expression: (N, 53) float32.
        openings: (N, 2) float32, of eyes and mouth as in the facekit.
        human_offset: (N, 68, 2) float32, photo pixels, y down: from the fitted iBUG points to those
            that humans set; NaN where there are none.
    """

    pixels: NDArray[np.uint8]
    bounds: NDArray[np.float32]
    source: NDArray[np.str_]
    person: NDArray[np.int32]
    scale: NDArray[np.float32]
    rotation: NDArray[np.float32]
    translation: NDArray[np.float32]
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    openings: NDArray[np.float32]
    human_offset: NDArray[np.float32]


def pack_facekit(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: FaceModel,
    *,
    part_mb: float = 60,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write a facekit's training and validation photos as parts.

    Args:
        folder: The facekit.
        out: Made if missing; gets `model.npz`, `backgrounds.npz`, the warm start's file, and
            `photos-0.npz`, `photos-1.npz` …
        model: The labels' face model.
        part_mb: Largest size of a part in MB.
        seed: Of the photos' order.
        report: Called with photos done and photos in all.

    Returns:
        The files written.

    Raises:
        LabelError: The facekit is incomplete.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    written = [out / MODEL_FILE, out / BACKGROUND_FILE, out / WARM_START.name]
    _save(written[0], _model_arrays(model))
    _save(written[1], _background_arrays(Path(folder) / BACKGROUNDS))
    shutil.copy(Path(folder) / WARM_START, written[2])
    others = len(written)
    kits = {split: Facekit(folder, split) for split in ("train", "val")}
    jobs = [(split, k) for split, kit in kits.items() for k in range(len(kit.records))]
    order = np.random.default_rng(seed).permutation(len(jobs))
    rows: list[dict[str, Any]] = []
    filled = 0

    def flush() -> None:
        path = out / PART_FILE.format(len(written) - others)
        _save(path, _columns(rows))
        written.append(path)

    for done, number in enumerate(order.tolist(), start=1):
        split, k = jobs[number]
        kit = kits[split]
        row = _row(kit.photo(kit.records[k]), kit.records[k]) | {"split": split}
        size = len(row["encoded"]) + 500  # its label, compressed
        if rows and filled + size > part_mb * 1e6:
            flush()
            rows, filled = [], 0
        rows.append(row)
        filled += size
        report(done, len(jobs))
    flush()
    return written


def read_pack(
    parts: Sequence[str | os.PathLike[str]],
    split: Literal["train", "val"],
    limit: int | None = None,
    threads: int | None = None,
) -> PackedPhotos:
    """Read a split of a pack into memory.

    Args:
        parts: Its `photos-….npz`, or some of them.
        split: `train` or `val`.
        limit: At most so many photos, the first ones; None for all.
        threads: That decode; None for one a core.

    Raises:
        LabelError: A part is missing or damaged, or there is no photo of that split.
    """
    columns: dict[str, list[NDArray[Any]]] = {}
    encoded: list[NDArray[np.uint8]] = []
    for part in map(Path, parts):
        try:
            with np.load(part) as arrays:
                chosen = np.flatnonzero(arrays["split"] == split)
                ends, blob = np.cumsum(arrays["length"]), arrays["encoded"]
                lengths = arrays["length"]
                encoded += [blob[ends[k] - lengths[k] : ends[k]] for k in chosen]
                for name in PackedPhotos.__dataclass_fields__:
                    if name != "pixels":
                        columns.setdefault(name, []).append(arrays[name][chosen])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise LabelError(f"{part}: not a part of a pack ({error})") from error
    if not encoded:
        raise LabelError(f"{', '.join(map(str, parts))}: no photo of the split {split}")
    encoded = encoded[:limit]
    pixels = _decode(encoded, PHOTO_SIZE, threads)
    labels = {name: np.concatenate(column)[:limit] for name, column in columns.items()}
    for name, values in labels.items():
        if name in HALF:
            labels[name] = values.astype(np.float32)
    return PackedPhotos(pixels, **labels)


def read_packed_model(folder: str | os.PathLike[str]) -> FaceModel:
    """Read the face model of a pack.

    Raises:
        LabelError: The file is missing or damaged.
    """
    path = Path(folder) / MODEL_FILE
    try:
        with np.load(path) as arrays:
            mesh = ChartMesh(**{n: arrays[n] for n in ChartMesh.__dataclass_fields__})
            names = tuple(str(name) for name in arrays["expression_names"])
            identity, expression = (arrays[name].astype(np.float32) for name in HALF[:2])
            return FaceModel(mesh, identity, expression, names)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise LabelError(f"{path}: not the face model of a pack ({error})") from error


def _model_arrays(model: FaceModel) -> dict[str, NDArray[Any]]:
    """What `read_packed_model` reads; the modes come in 16 bits already."""
    mesh = {name: getattr(model.mesh, name) for name in ChartMesh.__dataclass_fields__}
    modes = {name: getattr(model, name).astype(np.float16) for name in ("identity", "expression")}
    return mesh | modes | {"expression_names": np.array(model.expression_names)}


def read_packed_backgrounds(folder: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read the pictures without a person, (B, 256, 256, 3) uint8 RGB.

    Raises:
        LabelError: The file is missing or damaged.
    """
    path = Path(folder) / BACKGROUND_FILE
    try:
        with np.load(path) as arrays:
            ends, blob = np.cumsum(arrays["length"]), arrays["encoded"]
            return _decode([blob[a:b] for a, b in pairwise([0, *ends])], BACKGROUND_SIZE, 1)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise LabelError(f"{path}: not the backgrounds of a pack ({error})") from error


def _background_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Both ends of each picture as squares, but for the fifth held out."""
    squares = []
    try:
        with tarfile.open(path, "r:") as tar:
            members = sorted((m for m in tar if m.isfile()), key=lambda member: member.name)
            for number, member in enumerate(members):
                if number % HELD_OUT == HELD_OUT - 1:
                    continue
                stream = tar.extractfile(member)
                assert stream is not None  # it is a file
                data = np.frombuffer(stream.read(), np.uint8)
                picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
                if picture is None:
                    raise LabelError(f"{path}: {member.name} is not a picture")
                side = min(picture.shape[:2])
                for square in (picture[:side, :side], picture[-side:, -side:]):
                    size = (BACKGROUND_SIZE, BACKGROUND_SIZE)
                    shrunk = cv2.resize(square, size, interpolation=cv2.INTER_AREA)
                    squares.append(_encode(np.asarray(shrunk, np.uint8)))
    except (OSError, tarfile.TarError) as error:
        raise LabelError(f"{path}: can't read the facekit's backgrounds ({error})") from error
    return {"encoded": np.concatenate(squares), "length": np.array([len(s) for s in squares])}


def _encode(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB → WebP."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]


def _decode(
    encoded: Sequence[NDArray[np.uint8]], size: int, threads: int | None
) -> NDArray[np.uint8]:
    """Squares of a size, (N, size, size, 3) RGB."""
    pixels = np.empty((len(encoded), size, size, 3), np.uint8)

    def decode(k: int) -> None:
        picture = cv2.imdecode(encoded[k], cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise ValueError("one of its pictures can't be decoded")
        pixels[k] = picture

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        list(pool.map(decode, range(len(encoded))))
    return pixels


def _row(photo: NDArray[np.uint8], record: FacekitRecord) -> dict[str, Any]:
    """One photo's square and label."""
    x0, y0, x1, y1 = record.box
    scale = PHOTO_SIZE / (PHOTO_SCALE * (x1 - x0 + y1 - y0) / 2)
    shift = (PHOTO_SIZE - 1) / 2 - scale * np.array([x0 + x1, y0 + y1], np.float64) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    height, width = photo.shape[:2]
    if scale < 0.75:  # average before shrinking
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.4 / scale), np.uint8)
    square = cv2.warpAffine(photo, matrix, (PHOTO_SIZE, PHOTO_SIZE), flags=cv2.INTER_LINEAR)
    encoded = _encode(np.asarray(square, np.uint8))
    corners = scale * np.array([[0, 0], [width - 1, height - 1]]) + shift
    return {
        "encoded": encoded,
        "length": len(encoded),
        "bounds": corners.reshape(4).astype(np.float32),
        "source": record.source,
        "person": SOURCES.index(record.source) * 100_000 + record.person,
        "scale": np.float32(record.pose.scale * scale),
        "rotation": record.pose.rotation.astype(np.float32),
        "translation": (record.pose.translation * scale + [shift[0], -shift[1], 0]).astype(
            np.float32
        ),
        "identity": record.identity,
        "expression": record.expression,
        "openings": np.array([record.eye_opening, record.mouth_opening], np.float32),
        "human_offset": scale * (record.human68 - record.landmarks68[:, :2]),
    }


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Rows → arrays as they are stored."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = {name: np.array(column) for name, column in columns.items() if name != "encoded"}
    arrays["encoded"] = np.concatenate(columns["encoded"])
    for name in HALF:
        arrays[name] = arrays[name].astype(np.float16)
    return arrays


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an .npz aside, then put it in place."""
    with write_aside(path) as aside, aside.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
