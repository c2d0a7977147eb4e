"""What a command line names → photos, the names of their results, their boxes."""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prnet.apps.records import files_of_prnet, plain_text
from prnet.errors import ImageReadError
from prnet.files import locked, read_json
from prnet.image.read import FOREIGN_SUFFIXES, PHOTO_SUFFIXES, list_photos

STDIN = Path("-")
# what the names of results add to the photo's (see results.py)
RESULT_ENDINGS = r"(_face\d+)?(_overlay|_depth|_pncc|_texture|_position_map|_obj|_head|_topology)?$"
LONGEST_NAME = 180  # bytes of a result's name before its ending; file systems take 255 in all


@dataclass(frozen=True)
class Found:
    """What a command line named.

    Attributes:
        photos: Sorted by folder and name.
        errors: Of folders that can't be listed, or hold no photo.
        foreign: The extensions of pictures of kinds that prnet can't read, one for each.
    """

    photos: list[Path]
    errors: list[ImageReadError]
    foreign: list[str]


def search(path: Path, recursive: bool = False) -> Found:
    """A folder's own photos, without what prnet wrote; or the file itself.

    Args:
        path: A folder, or what is taken for a file, whatever it is.
        recursive: Also the photos of the folder's folders, hidden ones left out.
    """
    if path == STDIN or not os.path.isdir(path):  # noqa: PTH112 - it raises nothing
        return Found([path], [], [])
    folders = [path]
    if recursive:
        # walked without following links, which may lead in circles
        for parent, inner, _ in os.walk(path):
            inner[:] = sorted(name for name in inner if name[0] != ".")
            folders += [Path(parent) / name for name in inner]
    found = Found([], [], [])
    for folder in sorted(folders):
        try:
            with locked(folder):  # a photo's results lie there all or none of them
                listed = list_photos(folder, PHOTO_SUFFIXES + FOREIGN_SUFFIXES)
                photos = [each for each in listed if each.suffix.lower() in PHOTO_SUFFIXES]
                found.photos.extend(without_results(photos))
        except ImageReadError as error:
            found.errors.append(error)
            continue
        suffixes = (each.suffix.lower() for each in listed)
        found.foreign.extend(each for each in suffixes if each in FOREIGN_SUFFIXES)
    if not found.photos and not found.errors:
        kinds = " ".join(PHOTO_SUFFIXES)
        found.errors.append(ImageReadError(f"{path}: no photos in this folder ({kinds})"))
    return found


def without_results(photos: Sequence[Path]) -> list[Path]:
    """The photos but for those that prnet wrote, as a shell's `*.png` names them, too."""
    written = {folder: files_of_prnet(folder) for folder in {photo.parent for photo in photos}}
    return [photo for photo in photos if photo.name not in written[photo.parent]]


def name_results(
    photos: Iterable[Path], may_have: Callable[[Path, str], bool] = lambda _photo, _name: True
) -> dict[Path, str]:
    """Give each photo a name for its results: its stem, or stem-2, stem-3, … where that is taken.

    Taken are names whose results could bear the same file name, also on file systems that don't
    tell X from x. A photo that is named twice appears once. The stem is shortened if it is too long
    for the endings, and bytes in it that aren't UTF-8 are replaced; its hash follows then.

    Args:
        photos: What to name.
        may_have: Whether a photo's results may have a name; else that is taken, too.
    """
    first: dict[Path, Path] = {}
    for photo in photos:
        first.setdefault(photo if photo == STDIN else photo.resolve(), photo)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for photo in first.values():
        stem = "stdin" if photo == STDIN else _fit(photo.stem)
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        names[photo] = next(
            name for name in candidates if _base(name) not in taken and may_have(photo, name)
        )
        taken.add(_base(names[photo]))
    return names


def identity_of(photo: Path, folder: Path) -> dict[str, str | None]:
    """What a record in a folder of results says of which photo they are of.

    Returns:
        `file`, as the command line named it; `path`, from the folder to it; `sha256`, see
        `digest_of`; the last two are None of what isn't a file.
    """
    path, digest = _path_from(folder, photo), digest_of(photo)
    return {"file": plain_text(str(photo)), "path": path, "sha256": digest}


def is_of(record: Mapping[str, Any], photo: Path, folder: Path) -> bool:
    """Whether results in a folder are a photo's: one of the same path or content.

    Of what isn't a file, as standard input, there is only the name on the command line.
    """
    path = _path_from(folder, photo)
    if path is None or record.get("path") is None:
        return bool(record.get("file") == plain_text(str(photo)))
    # most often the path tells, and the photo needn't be read
    return bool(record["path"] == path or record.get("sha256") == digest_of(photo))


def _path_from(folder: Path, photo: Path) -> str | None:
    """From a folder to a photo; None of what isn't a file or can't be looked at."""
    if photo == STDIN or not os.path.isfile(photo):  # noqa: PTH113 - it raises nothing
        return None
    path = str(photo.resolve())
    with suppress(ValueError):  # on another drive
        path = os.path.relpath(path, folder.resolve())
    return plain_text(path)


def digest_of(photo: Path) -> str | None:
    """The SHA-256 of a photo's file, hexadecimal; None of what isn't a file or can't be read."""
    digest = hashlib.sha256()
    try:
        if photo == STDIN or not photo.is_file():
            return None
        with photo.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()


def _fit(stem: str) -> str:
    """A stem in UTF-8 that leaves room for endings; the same if it is one."""
    content = os.fsencode(stem)
    text = content.decode(errors="replace").replace("\ufffd", "_")
    if text == stem and len(content) <= LONGEST_NAME:
        return stem
    start = text.encode()[:LONGEST_NAME].decode(errors="ignore")
    return f"{start}-{hashlib.sha256(content).hexdigest()[:8]}"


def _base(name: str) -> str:
    """What two names have in common if their results could bear the same file name."""
    return re.sub(RESULT_ENDINGS, "", name.casefold())


def read_boxes(path: Path, photos: Sequence[Path]) -> tuple[dict[Path, Any], list[str]]:
    """Read a file of boxes.

    Args:
        path: JSON: an object {file name or path of a photo: list of [x0, y0, x1, y1]}, or for a
            single photo the list alone.
        photos: The photos asked for.

    Returns:
        The list for each photo that the file names, in which is whatever the file says; and the
        names that are no photo's.

    Raises:
        ValueError: The file can't be read, isn't such JSON, or is a list for several photos.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: can't read boxes from this file as JSON ({cause})") from error
    if isinstance(content, list) and len(photos) == 1:
        return {photos[0]: content}, []
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: boxes for {len(photos)} photos must be a JSON object "
            f'{{"photo.jpg": [[x0, y0, x1, y1], …], …}}, got a {type(content).__name__}'
        )
    keys_of = {photo: (photo.name, str(photo)) for photo in photos}
    # of two keys that fit, the path wins
    boxes = {photo: content[key] for photo in photos for key in keys_of[photo] if key in content}
    known = {key for keys in keys_of.values() for key in keys}
    return boxes, [name for name in content if name not in known]
