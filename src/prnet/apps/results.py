"""The faces of a photo → its result files in one folder."""

import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.draw.overlay import draw_overlay
from prnet.draw.render import render_pncc
from prnet.errors import OutputError
from prnet.face import Face
from prnet.files import encode_png, write_files
from prnet.mesh.files import WRITERS

DECIMALS = 6  # of the numbers in the JSON
TEXTURE_SIZE = 1024  # texels a side of `<name>_texture.png`


@dataclass(frozen=True)
class Wanted:
    """What to write for a photo besides `<name>.json` and `<name>_overlay.png`.

    Attributes:
        formats: Extensions of the mesh files: glb, obj, ply.
        depth: `<name>_depth.png`, (H, W) uint16, 0 where no face is: see `depth_picture`.
        texture: `<name>_texture.png` of each face, RGBA in UV space, alpha 0 where unseen.
        position_map: `<name>_position_map.npy` of each face, (256, 256, 3) float32, photo frame.
        pncc: `<name>_pncc.png`, (H, W, 3) uint8.
    """

    formats: tuple[str, ...] = ("glb",)
    depth: bool = False
    texture: bool = False
    position_map: bool = False
    pncc: bool = False


class ResultFolder:
    """A folder where results are written, a photo's all at once, and never over a photo."""

    def __init__(self, folder: Path, wanted: Wanted, photos: Iterable[Path]) -> None:
        """Make the folder if it is missing.

        Args:
            folder: Where the results go.
            wanted: What to write.
            photos: The files that may not be overwritten.

        Raises:
            OutputError: The folder can't be made, or nothing can be written there.
        """
        self.folder = folder
        self.wanted = wanted
        self._photos = {photo.resolve() for photo in photos}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, ValueError) as error:  # ValueError: a name with a null character
            cause = getattr(error, "strerror", None) or error
            raise OutputError(f"{folder}: can't write into this folder ({cause})") from error

    def write(
        self, photo: Path, name: str, image: NDArray[np.uint8], faces: Sequence[Face]
    ) -> list[Path]:
        """Write the results of one photo.

        Args:
            photo: Its file, named in the JSON.
            name: Begins the results' names; those of the second face alone begin with
                `<name>_face2`, and so on.
            image: (H, W, 3) uint8 RGB, the photo.
            faces: Its faces, largest first; without any, the JSON is all there is.

        Returns:
            The files written, the JSON last.

        Raises:
            OutputError: A file can't be written, or is one of the photos; none is written then.
        """
        contents: dict[Path, bytes] = {}
        shape_hw = image.shape[:2]
        record: dict[str, Any] = {
            "file": str(photo),
            "width": shape_hw[1],
            "height": shape_hw[0],
            "faces": [],
            "files": {},
        }
        for number, face in enumerate(faces, 1):
            begin = name if number == 1 else f"{name}_face{number}"
            files = {each: self.folder / f"{begin}.{each}" for each in self.wanted.formats}
            if files:
                mesh = face.mesh()
                for path in files.values():
                    contents |= WRITERS[path.suffix](path, mesh)
            if self.wanted.texture:
                files["texture"] = self.folder / f"{begin}_texture.png"
                contents[files["texture"]] = encode_png(face.texture(TEXTURE_SIZE))
            if self.wanted.position_map:
                files["position_map"] = self.folder / f"{begin}_position_map.npy"
                contents[files["position_map"]] = _encode_npy(face.position_map)
            names = {kind: path.name for kind, path in files.items()}
            record["faces"].append(describe(face) | {"files": names})
        pictures: dict[str, NDArray[np.generic]] = {}
        if faces:
            pictures["overlay"] = draw_overlay(image, faces)
        if faces and self.wanted.depth:
            pictures["depth"], record["depth_range"] = depth_picture(faces, shape_hw)
        if faces and self.wanted.pncc:
            pictures["pncc"] = render_pncc(faces, shape_hw)
        for kind, picture in pictures.items():
            path = self.folder / f"{name}_{kind}.png"
            contents[path] = encode_png(picture)
            record["files"][kind] = path.name
        contents[self.folder / f"{name}.json"] = json.dumps(record).encode()
        for path in contents:
            if path.resolve() in self._photos:
                raise OutputError(f"{path}: would overwrite a photo; use another folder")
        write_files(contents)
        return list(contents)


def describe(face: Face) -> dict[str, Any]:
    """What the JSON says of a face: photo pixels and degrees, the frames and signs of `Face`."""
    pose = face.pose
    numbers = {name: getattr(pose, name) for name in ("yaw", "pitch", "roll", "scale")}
    arrays = {"rotation": pose.rotation, "translation": pose.translation}
    return {
        "box": _plain(face.box),
        "score": _plain(face.score),
        "pose": {name: _plain(value) for name, value in (numbers | arrays).items()},
        "landmarks68": _plain(face.landmarks68),
    }


def depth_picture(
    faces: Sequence[Face], shape_hw: tuple[int, int]
) -> tuple[NDArray[np.uint16], list[float]]:
    """Draw how near the faces are to the viewer.

    Args:
        faces: One or more; the larger hide the smaller.
        shape_hw: Of the photo.

    Returns:
        (H, W) uint16, 0 where no face is, else 1 at the farthest pixel to 65535 at the nearest; and
        the z of both, photo pixels, 0 at the mean of each face.
    """
    depth = np.full(shape_hw, np.nan, np.float32)
    for face in sorted(faces, key=lambda each: each.pose.scale):
        own = face.depth(shape_hw)
        np.copyto(depth, own, where=~np.isnan(own))
    is_face = ~np.isnan(depth)
    seen = depth[is_face]
    picture = np.zeros(shape_hw, np.uint16)
    if not len(seen):  # the faces lie beyond the photo's edges
        return picture, [0.0, 0.0]
    far, near = float(seen.min()), float(seen.max())
    picture[is_face] = np.rint(1 + 65534 * (seen - far) / max(near - far, 1e-6))
    return picture, _plain([far, near])


def _plain(values: ArrayLike) -> Any:
    """Numbers as JSON has them."""
    return np.round(np.asarray(values, np.float64), DECIMALS).tolist()


def _encode_npy(array: NDArray[np.float32]) -> bytes:
    """A .npy file's bytes."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
