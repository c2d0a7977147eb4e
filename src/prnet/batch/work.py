"""A shard of photos → its part of the data set: what each worker does."""

import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from prnet.batch.inputs import Photo, is_address
from prnet.batch.table import part_name, schema, write_part
from prnet.errors import ImageReadError
from prnet.face import Face
from prnet.geometry.pose import in_plane_angle
from prnet.image.read import read_image
from prnet.reconstructor import Found, Reconstructor

FACES_AT_ONCE = 16  # that the network sees in one go
PIXELS_AT_ONCE = 48_000_000  # of photos that wait for it: 144 MB


@dataclass(frozen=True)
class Wanted:
    """What a batch is to hold.

    Attributes:
        folder: The data set's.
        model: A model folder; None for the one in the package.
        device: See `Reconstructor`.
        min_score: Faces of a lower score are left out.
        max_faces: At most so many a photo; None for all.
        vertices: Whether each face's 62,704 vertices are wanted.
        meshes: Whether a GLB of each face is.
        crops: Whether a PNG of each face is, cut out as `prnet align` does, 256 pixels.
    """

    folder: str
    model: str | None = None
    device: str = "cpu"
    min_score: float = 0.1
    max_faces: int | None = None
    vertices: bool = False
    meshes: bool = False
    crops: bool = False


class Worker:
    """Holds an open model, and does one shard after the other in one thread."""

    def __init__(self, wanted: Wanted) -> None:
        """Open the model."""
        os.environ["OMP_NUM_THREADS"] = "1"  # there is a worker a core
        cv2.setNumThreads(1)
        self._wanted = wanted
        self._folder = Path(wanted.folder)
        self._reconstructor = Reconstructor(wanted.model, threads=1, device=wanted.device)
        count = len(self._reconstructor.model.atlas.vertex_index)
        kinds = [kind for kind in ("mesh", "crop") if self._is_wanted(kind)]
        self._columns = schema(count if wanted.vertices else None, kinds)

    def _is_wanted(self, kind: str) -> bool:
        """Whether a kind of file is."""
        return self._wanted.meshes if kind == "mesh" else self._wanted.crops

    def do(self, photos: Sequence[Photo]) -> dict[str, int]:
        """Do a shard, write its part, and count photos, faces and failures."""
        counts = {"photos": len(photos), "faces": 0, "failed": 0}

        def rows() -> Iterator[dict[str, Any]]:
            for photo, faces, error in self._faces(photos):
                if error is not None:
                    counts["failed"] += 1
                    yield {"source": photo.source, "error": error}
                    continue
                kept = [face for face in faces if face.score >= self._wanted.min_score]
                for number, face in enumerate(kept[: self._wanted.max_faces], 1):
                    counts["faces"] += 1
                    yield self._row(photo, number, face)

        write_part(self._folder, [photo.source for photo in photos], rows(), self._columns)
        return counts

    def _faces(self, photos: Sequence[Photo]) -> Iterator[tuple[Photo, list[Face], str | None]]:
        """The faces of each photo, or why there are none; several photos at a time."""
        waiting: list[tuple[Photo, Found]] = []
        for photo in photos:
            try:
                found = self._reconstructor.find(read_image(open_photo(photo)))
            except Exception as error:  # whatever one photo raises, the others are done
                yield photo, [], one_line(error)
                continue
            waiting.append((photo, found))
            faces = sum(len(each.boxes) for _, each in waiting)
            pixels = sum(each.photo.size // 3 for _, each in waiting)
            if faces >= FACES_AT_ONCE or pixels >= PIXELS_AT_ONCE:
                yield from self._reconstruct(waiting)
                waiting = []
        yield from self._reconstruct(waiting)

    def _reconstruct(
        self, waiting: Sequence[tuple[Photo, Found]]
    ) -> Iterator[tuple[Photo, list[Face], str | None]]:
        """Those that wait, together; where that fails, one by one."""
        try:
            together = self._reconstructor.reconstruct([found for _, found in waiting])
            for (photo, _), faces in zip(waiting, together, strict=True):
                yield photo, faces, None
        except Exception as error:  # as above
            if len(waiting) == 1:
                yield waiting[0][0], [], one_line(error)
                return
            for each in waiting:
                yield from self._reconstruct([each])

    def _row(self, photo: Photo, number: int, face: Face) -> dict[str, Any]:
        """A face's row; its files are written."""
        pose = face.pose
        assert face.image is not None
        row: dict[str, Any] = {
            "source": photo.source,
            "face": number,
            "width": face.image.shape[1],
            "height": face.image.shape[0],
            "box": face.box.tolist(),
            "angle": math.degrees(in_plane_angle(pose.rotation)),
            "score": face.score,
            "yaw": pose.yaw,
            "pitch": pose.pitch,
            "roll": pose.roll,
            "scale": pose.scale,
            "rotation": pose.rotation.ravel().tolist(),
            "translation": pose.translation.tolist(),
            "landmarks68": face.landmarks68.ravel().tolist(),
        }
        if face.has_head:
            row["expression"] = face.expression
            row["identity"] = face.head_coefficients.identity.tolist()
        if self._wanted.vertices:
            row["vertices"] = face.frontal_vertices.astype(np.float16).ravel()
        stem = f"{part_name([photo.source])[5:25]}-{number}"
        if self._wanted.meshes:
            row["mesh"] = f"_meshes/{stem}.glb"
            (self._folder / "_meshes").mkdir(exist_ok=True)
            face.save(self._folder / row["mesh"])
        if self._wanted.crops:
            row["crop"] = f"_crops/{stem}.png"
            (self._folder / "_crops").mkdir(exist_ok=True)
            self._write_crop(face, self._folder / row["crop"])
        return row

    @staticmethod
    def _write_crop(face: Face, path: Path) -> None:
        """A face cut out."""
        from prnet.apps.align import align_face
        from prnet.apps.pictures import write_picture

        write_picture(path, align_face(face).crop)


def open_photo(photo: Photo) -> Path | io.BytesIO:
    """A photo's file, or its bytes.

    Raises:
        ImageReadError: It can't be fetched.
    """
    if photo.table is not None:
        value = _read_column(photo.table, photo.row_group, photo.column)[photo.row].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise ImageReadError(f"{photo.source}: no bytes in column {photo.column}")
        return io.BytesIO(content)
    if not is_address(photo.source):
        return Path(photo.source)
    try:
        import fsspec
    except ImportError:
        raise ImageReadError(
            f"{photo.source}: addresses need fsspec: pip install 'prnet[batch]'"
        ) from None
    with fsspec.open(photo.source, "rb") as stream:
        return io.BytesIO(stream.read())


@lru_cache(maxsize=1)  # a shard's photos lie in one row group
def _read_column(table: str, row_group: int, column: str | None) -> Any:  # noqa: ANN401
    """A column of a row group of a Parquet file, from pyarrow."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(table) as file:
        return file.read_row_group(row_group, columns=[column])[0]


def one_line(error: Exception) -> str:
    """What went wrong, in a line."""
    return " ".join(str(error).split()) or type(error).__name__
