"""The faces of a photo → its result files in one folder."""

import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.apps.inputs import digest_of, identity_of, is_of
from prnet.apps.records import VERSION, lines_of, load_record, make_record, own_files
from prnet.draw.overlay import draw_overlay
from prnet.draw.render import render_pncc
from prnet.errors import OutputError
from prnet.face import DECIMALS, Face
from prnet.files import encode_png, locked, make_folder, write_files
from prnet.head.head import encode_heads
from prnet.mesh.files import WRITERS, is_textured
from prnet.uv.atlas import MAP_SIZE
from prnet.uv.topology import Topology

TEXTURE_SIZE = 1024  # texels a side of `<name>_texture.png`


@dataclass(frozen=True)
class Wanted:
    """What to write for a photo besides `<name>.json`.

    Attributes:
        formats: Extensions of the mesh files: glb, obj, ply.
        overlay: `<name>_overlay.png`, the photo with landmarks and mesh drawn on it.
        depth: `<name>_depth.png`, (H, W) uint16, 0 where no face is: see `depth_picture`.
        texture: `<name>_texture.png` of each face, RGBA in UV space, alpha 0 where unseen.
        position_map: `<name>_position_map.npy` of each face, (256, 256, 3) float32, photo frame.
        pncc: `<name>_pncc.png`, (H, W, 3) uint8.
        head: `<name>_head.glb` of each face, with expressions as morph targets.
        topology: `<name>_topology.obj` of each face, in these polygons; None for none.
        lossless: The texture in a GLB is a PNG, not a JPEG.
    """

    formats: tuple[str, ...] = ("glb",)
    overlay: bool = True
    depth: bool = False
    texture: bool = False
    position_map: bool = False
    pncc: bool = False
    head: bool = False
    topology: Topology | None = None
    lossless: bool = False


class ResultFolder:
    """A folder where results are written, a photo's all at once, and over no other file."""

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
        make_folder(folder)

    def may_have(self, photo: Path, name: str) -> bool:
        """Whether no other photo's results have a name: none of another path and content."""
        record = load_record(self.folder / f"{name}.json")
        return record is None or is_of(record, photo, self.folder)

    def is_done(self, photo: Path, name: str) -> bool:
        """Whether an earlier run wrote for this photo all that is wanted, and it is still there.

        What isn't a file, as standard input, is never done.
        """
        record = load_record(self.folder / f"{name}.json")
        if record is None or record["version"] != VERSION:
            return False
        if record.get("sha256") != (digest_of(photo) or ""):
            return False
        wanted = self.wanted
        named = ("texture", "position_map", "head", "topology")
        own = {*wanted.formats, *(name for name in named if getattr(wanted, name))}
        shared = {n for n in ("overlay", "depth", "pncc") if getattr(wanted, n)}
        has_all = all(own <= set(face["files"]) for face in record["faces"])
        has_all &= not record["faces"] or shared <= set(record["files"])
        return has_all and all((self.folder / each).exists() for each in record["written"])

    def lines(self, name: str) -> list[str]:
        """What is written for a name, as JSON lines."""
        record = load_record(self.folder / f"{name}.json")
        return [] if record is None else list(lines_of(record))

    def write(
        self, photo: Path, name: str, image: NDArray[np.uint8], faces: Sequence[Face]
    ) -> list[Path]:
        """Write the results of one photo; what an earlier run wrote for this name goes.

        Args:
            photo: Its file, named in the JSON.
            name: Begins the results' names; those of the second face alone begin with
                `<name>_face2`, and so on.
            image: (H, W, 3) uint8 RGB, the photo.
            faces: Its faces, best first; without any, the JSON is all there is.

        Returns:
            The files written, the JSON last.

        Raises:
            OutputError: A file can't be written, or prnet didn't write the one that is there by
                this name; none is written then.
        """
        contents: dict[Path, bytes] = {}
        shape_hw = image.shape[0], image.shape[1]
        described = []
        for number, face in enumerate(faces, 1):
            begin = name if number == 1 else f"{name}_face{number}"
            files = {each: self.folder / f"{begin}.{each}" for each in self.wanted.formats}
            if files:
                needs_texture = any(map(is_textured, files.values()))
                mesh = face.mesh(None if needs_texture else MAP_SIZE)
                for path in files.values():
                    contents |= WRITERS[path.suffix](path, mesh, self.wanted.lossless)
            if self.wanted.texture:
                files["texture"] = self.folder / f"{begin}_texture.png"
                contents[files["texture"]] = encode_png(face.texture(TEXTURE_SIZE))
            if self.wanted.position_map:
                files["position_map"] = self.folder / f"{begin}_position_map.npy"
                contents[files["position_map"]] = _encode_npy(face.position_map)
            if self.wanted.head:
                files["head"] = self.folder / f"{begin}_head.glb"
                contents[files["head"]] = encode_heads([face.head()])
            if self.wanted.topology is not None:
                files["topology"] = self.folder / f"{begin}_topology.obj"
                shape = face.in_topology(self.wanted.topology)
                contents[files["topology"]] = self.wanted.topology.to_obj(shape)
            names = {kind: path.name for kind, path in files.items()}
            described.append(face.to_record(with_map=False) | {"files": names})
        record = make_record(identity_of(photo, self.folder), shape_hw, described)
        pictures: dict[str, NDArray[np.generic]] = {}
        if faces and self.wanted.overlay:
            pictures["overlay"] = draw_overlay(image, faces)
        if faces and self.wanted.depth:
            pictures["depth"], record["depth_range"] = depth_picture(faces, shape_hw)
        if faces and self.wanted.pncc:
            pictures["pncc"] = render_pncc(faces, shape_hw)
        for kind, picture in pictures.items():
            path = self.folder / f"{name}_{kind}.png"
            contents[path] = encode_png(picture)
            record["files"][kind] = path.name
        json_path = self.folder / f"{name}.json"
        record["written"] = [*(path.name for path in contents), json_path.name]
        contents[json_path] = json.dumps(record).encode()
        self._replace(photo, json_path, contents)
        return list(contents)

    def _replace(self, photo: Path, json_path: Path, contents: dict[Path, bytes]) -> None:
        """Write files in place of those of an earlier run, over nobody else's."""
        with locked(self.folder):
            record = load_record(json_path)
            if record is not None and not is_of(record, photo, self.folder):
                raise OutputError(
                    f"{json_path}: another run has just written another photo's results by this "
                    "name; run again"
                )
            earlier = own_files(json_path, record)
            for path in contents:
                if path.resolve() in self._photos:
                    raise OutputError(f"{path}: would overwrite a photo; use another folder")
                if os.path.lexists(path) and path.name not in earlier:
                    raise OutputError(
                        f"{path}: is there, and prnet didn't write it; move it, or use another "
                        "folder"
                    )
            write_files(contents)
            for stale in earlier - {path.name for path in contents}:
                path = self.folder / stale
                if path.resolve() not in self._photos:
                    path.unlink(missing_ok=True)


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
    return picture, [round(far, DECIMALS), round(near, DECIMALS)]


def _encode_npy(array: NDArray[np.float32]) -> bytes:
    """A .npy file's bytes."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
