"""300W-LP's photos and coefficients → face crops with float position maps: what training reads.

The data set is four folders of photos, each with a .mat beside it, and four more with everything
mirrored. `build_maps` cuts every face out once, with a margin for the augmentation that training
does, and draws the map of its BFM mesh in the frame of that face crop.
"""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.data.bfm import EXPRESSION_COUNT, SHAPE_COUNT, Bfm, load_bfm, read_mat
from prnet.data.face_crops import FACE_CROP_SCALE
from prnet.data.workers import map_in_processes
from prnet.errors import ImageReadError, LabelError, OutputError
from prnet.files import read_json, write_aside
from prnet.geometry.boxes import face_size
from prnet.image.crop import crop_face
from prnet.image.read import read_image
from prnet.landmarks import INNER
from prnet.uv.atlas import MAP_SIZE
from prnet.uv.chart import ChartSampler, rasterize_chart
from prnet.uv.position_map import image_to_crop

FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
FLIPPED = "_Flip"  # the mirrored folders' suffix
FACE_CROP_SIZE = 384  # pixels; at crop scale 1.5 a 256-pixel crop, the paper's, is 1:1
STEP_PX = 1 / 128  # maps are rounded to it, at most 1/256 pixel off: the files are 30% smaller
SETTINGS_FILE, COMPLETE_FILE = "settings.json", "complete.json"


class W300lpLabel(NamedTuple):
    """What a photo's .mat says.

    Attributes:
        shape_para: (199,) float64, `Shape_Para`.
        exp_para: (29,) float64, `Exp_Para`.
        pose_para: (7,) float64, `Pose_Para`: pitch, yaw, roll in radians, translation in pixels,
            pixels per µm.
        points: (68, 2) float64, `pt2d`: the iBUG points in the photo.
    """

    shape_para: NDArray[np.float64]
    exp_para: NDArray[np.float64]
    pose_para: NDArray[np.float64]
    points: NDArray[np.float64]


class MapRecord(NamedTuple):
    """A face crop and its position map.

    Attributes:
        pixels: (C, C, 3) uint8 RGB: the photo's square of side `FACE_CROP_SCALE` times the mean
            side of the face's box, centred on the box, which is tight around BFM's 68 points; black
            past the photo's edge. So the box's mean side is C / FACE_CROP_SCALE, and its centre the
            face crop's.
        position_map: (256, 256, 3) float32, pixels of the face crop: x right, y down, z toward the
            viewer. Complete: pixels that the chart leaves out carry their nearest neighbour's
            value. z is the label's own, not centred (see `prnet.uv.position_map.centre_depth`).
    """

    pixels: NDArray[np.uint8]
    position_map: NDArray[np.float32]


@dataclass(frozen=True)
class Built:
    """What `build_maps` did.

    Attributes:
        made: How many records it made.
        kept: How many were there already.
        failures: One message for each photo that couldn't be done; it names the file.
        distance: Median over the records made of the mean distance between BFM's inner 51 points
            and the label's own 2D points, % of face size; NaN if none was made. A few per cent are
            usual; more tells that the BFM files aren't those of the labels.
    """

    made: int
    kept: int
    failures: tuple[str, ...]
    distance: float


def list_photos(root: str | os.PathLike[str], flipped: bool = False) -> list[Path]:
    """List the data set's photos, in a fixed order.

    Args:
        root: The unpacked data set, with the folders AFW, HELEN, IBUG and LFPW or some of them.
        flipped: Also the folders AFW_Flip …, with everything mirrored.

    Returns:
        Paths relative to `root`, as `AFW/AFW_134212_1_0.jpg`.

    Raises:
        LabelError: None of the four folders is there or holds photos, or one lacks its mirrored
            folder.
    """
    root = Path(root)
    names = [name for name in FOLDERS if (root / name).is_dir()]
    if flipped:
        names += [name + FLIPPED for name in names]
    photos = []
    for name in names:
        found = sorted((root / name).glob("*.jpg"))
        if not found:
            raise LabelError(f"{root / name}: no such folder of 300W-LP, or no .jpg photos in it")
        photos += [path.relative_to(root) for path in found]
    if not photos:
        raise LabelError(f"{root}: none of 300W-LP's folders {', '.join(FOLDERS)} in it")
    return photos


def read_label(path: str | os.PathLike[str]) -> W300lpLabel:
    """Read a photo's .mat.

    Raises:
        LabelError: No such file, damaged, or not as 300W-LP documents it.
    """
    names = {
        **{"Shape_Para": SHAPE_COUNT, "Exp_Para": EXPRESSION_COUNT},
        **{"Pose_Para": 7, "pt2d": 2 * 68},
    }
    arrays = read_mat(Path(path), names)
    for name, count in names.items():
        if arrays[name].size != count or not np.isfinite(arrays[name]).all():
            shape = arrays[name].shape
            raise LabelError(f"{path}: {name} must be {count} finite numbers, got {shape}")
    shape_para, exp_para, pose_para = (
        arrays[name].astype(np.float64).ravel() for name in list(names)[:3]
    )
    return W300lpLabel(
        shape_para, exp_para, pose_para, arrays["pt2d"].astype(np.float64).reshape(2, 68).T
    )


def make_record(
    photo: str | os.PathLike[str], bfm: Bfm, sampler: ChartSampler, size: int = FACE_CROP_SIZE
) -> tuple[MapRecord, float]:
    """Cut a photo's face out and draw its position map.

    Args:
        photo: The photo, with its .mat beside it.
        bfm: The face model.
        sampler: Its chart, of side 256.
        size: C, the side of the face crop.

    Returns:
        The record, its map exact to float32, and the mean distance in `Built.distance`.

    Raises:
        LabelError: The label is missing or unusable.
        ImageReadError: The photo is.
    """
    path = Path(photo)
    label = read_label(path.with_suffix(".mat"))
    image = read_image(path)
    try:
        vertices = bfm.vertices(label.shape_para, label.exp_para, label.pose_para, image.shape[0])
        points = vertices[bfm.keypoints, :2]
        box = np.concatenate([points.min(0), points.max(0)])
        pixels, to_face_crop = crop_face(image, box, size, FACE_CROP_SCALE)
    except ValueError as error:
        raise LabelError(f"{path.with_suffix('.mat')}: {error}") from error
    # the jaw is left out: the labels' 2D points have it on the outline
    distances = np.linalg.norm(points - label.points, axis=1)[INNER]
    record = MapRecord(pixels, image_to_crop(sampler.sample(vertices), to_face_crop))
    return record, float(distances.mean()) / face_size(points) * 100


class _Job(NamedTuple):
    """What a worker process needs."""

    root: Path
    out: Path
    bfm: Bfm
    sampler: ChartSampler
    size: int


def _make_file(job: _Job, name: Path) -> tuple[str, float]:
    """Make one record's file: (what went wrong, "" if nothing, and the distance)."""
    try:
        record, distance = make_record(job.root / name, job.bfm, job.sampler, job.size)
    except (LabelError, ImageReadError) as error:
        return str(error), float("nan")
    rounded = np.round(record.position_map / STEP_PX) * STEP_PX
    with write_aside(_record_path(job.out, name)) as aside, aside.open("wb") as stream:
        np.savez_compressed(stream, pixels=record.pixels, position_map=rounded.astype(np.float32))
    return "", distance


def build_maps(
    root: str | os.PathLike[str],
    bfm: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    flipped: bool = False,
    size: int = FACE_CROP_SIZE,
    processes: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Built:
    """Make the records of 300W-LP that aren't there yet.

    Each photo becomes `<out>/<folder>/<name>.npz`, which is whole or absent, so a run that was
    stopped goes on where it was. When all are there, `complete.json` is written, which `W300lpMaps`
    wants to see.

    Args:
        root: The unpacked data set.
        bfm: Folder of the Basel Face Model, see `load_bfm`.
        out: Where to.
        flipped: Also the mirrored folders.
        size: Side of the face crops.
        processes: None for one per core.
        report: Called with photos done and photos in all.

    Returns:
        Built.

    Raises:
        LabelError: The data set or BFM isn't there or is incomplete, or `out` holds records made
            with another BFM or size. A single unusable photo is no such error, see
            `Built.failures`.
        OutputError: `out` can't be written.
    """
    root, out = Path(root), Path(out)
    names = list_photos(root, flipped)
    model = load_bfm(bfm)
    sampler = rasterize_chart(model.uv, model.triangles, model.triangles, MAP_SIZE)
    try:
        _prepare(out, {path.parent for path in names}, _settings(model, size))
        missing = [name for name in names if not _record_path(out, name).exists()]
        failures, distances = [], []
        done = len(names) - len(missing)
        report(done, len(names))
        job = partial(_Job, root, out, model, sampler, size)
        for failure, distance in map_in_processes(job, _make_file, missing, processes, chunksize=4):
            if failure:
                failures.append(failure)
            else:
                distances.append(distance)
            done += 1
            report(done, len(names))
        if not failures:
            records = [name.with_suffix("").as_posix() for name in names]
            _write_json(out / COMPLETE_FILE, {"records": records})
    except OSError as error:
        raise OutputError(f"{out}: can't write the records ({error})") from error
    except BrokenProcessPool as error:
        raise OutputError(
            f"{out}: a process was killed, perhaps for lack of memory; run again with fewer"
        ) from error
    median = float(np.median(distances)) if distances else float("nan")
    return Built(len(distances), len(names) - len(missing), tuple(failures), median)


def _record_path(out: Path, name: Path) -> Path:
    """The file of the record of a photo, given by its path in the data set."""
    return (out / name).with_suffix(".npz")


def _settings(bfm: Bfm, size: int) -> dict[str, Any]:
    """What all records of a folder must share."""
    digest = hashlib.sha256()
    for field in fields(bfm):
        digest.update(getattr(bfm, field.name).tobytes())
    return {"size": size, "scale": FACE_CROP_SCALE, "map": MAP_SIZE, "bfm": digest.hexdigest()}


def _prepare(out: Path, folders: set[Path], settings: dict[str, Any]) -> None:
    """Make the folders, or check that what is there was made with the same settings."""
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    path = out / SETTINGS_FILE
    if not path.exists():
        _write_json(path, settings)
    elif _read_json(path) != settings:
        raise LabelError(
            f"{path}: the records there were made with another BFM or size; "
            "delete the folder or name another"
        )


def _write_json(path: Path, content: Any) -> None:
    """Write what `_read_json` reads."""
    with write_aside(path) as aside:
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _read_json(path: Path) -> Any:
    """Read what `_write_json` wrote."""
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise LabelError(f"{path}: not written by `prnet data w300lp` ({error})") from error


class W300lpMaps:
    """The records that `build_maps` made.

    Args:
        folder: Its `out`.

    Attributes:
        names: Of the records, as `AFW/AFW_134212_1_0`, in the order of their numbers.
        size: C, the side of the face crops.

    Raises:
        LabelError: The records aren't there or aren't complete.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        stamp = self._folder / COMPLETE_FILE
        if not stamp.exists():
            raise LabelError(f"{stamp}: not there; run `prnet data w300lp` until it ends well")
        self.names: tuple[str, ...] = tuple(_read_json(stamp)["records"])
        self.size: int = _read_json(self._folder / SETTINGS_FILE)["size"]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> MapRecord:
        """Record `index`; raises LabelError if its file is gone or damaged."""
        path = self._folder / f"{self.names[index]}.npz"
        try:
            with np.load(path) as arrays:
                return MapRecord(arrays["pixels"], arrays["position_map"])
        except Exception as error:  # NumPy may fail in any way on a damaged file
            raise LabelError(f"{path}: not a record ({error}); delete it and run again") from error
