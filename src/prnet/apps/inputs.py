"""What a command line names → photos, the names of their results, their boxes."""

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prnet.errors import ImageReadError
from prnet.files import read_json
from prnet.image.read import PHOTO_SUFFIXES, list_photos

# what the names of results add to the photo's (see results.py)
RESULT_ENDINGS = r"(_face\d+)?(_overlay|_depth|_pncc|_texture|_position_map)?$"


def expand(path: Path) -> list[Path]:
    """A folder's own photos, sorted by name; or the file itself, whatever it is.

    Raises:
        ImageReadError: The folder can't be listed, or holds no photo.
    """
    if not path.is_dir():
        return [path]
    photos = list_photos(path)
    if not photos:
        raise ImageReadError(f"{path}: no photos in this folder ({' '.join(PHOTO_SUFFIXES)})")
    return photos


def name_results(photos: Iterable[Path]) -> dict[Path, str]:
    """Give each photo a name for its results: its stem, or stem-2, stem-3, … where that is taken.

    Taken are names whose results could bear the same file name, also on file systems that don't
    tell X from x. A photo that is named twice appears once.
    """
    first: dict[Path, Path] = {}
    for photo in photos:
        first.setdefault(photo.resolve(), photo)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for photo in first.values():
        candidates = itertools.chain(
            [photo.stem], (f"{photo.stem}-{n}" for n in itertools.count(2))
        )
        names[photo] = next(name for name in candidates if _base(name) not in taken)
        taken.add(_base(names[photo]))
    return names


def _base(name: str) -> str:
    """What two names have in common if their results could bear the same file name."""
    return re.sub(RESULT_ENDINGS, "", name.casefold())


def read_boxes(path: Path, photos: Sequence[Path]) -> dict[Path, Any]:
    """Read a file of boxes.

    Args:
        path: JSON: an object {file name or path of a photo: list of [x0, y0, x1, y1]}, or for a
            single photo the list alone.
        photos: The photos asked for.

    Returns:
        The list for each photo that the file names; what is in the lists is not looked at.

    Raises:
        ValueError: The file can't be read, isn't such JSON, or is a list for several photos.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: can't read boxes from this file as JSON ({cause})") from error
    if isinstance(content, list) and len(photos) == 1:
        return {photos[0]: content}
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: boxes for {len(photos)} photos must be a JSON object "
            f'{{"photo.jpg": [[x0, y0, x1, y1], …], …}}, got a {type(content).__name__}'
        )
    return {
        photo: content[key]  # of two keys that fit, the path wins
        for photo in photos
        for key in (photo.name, str(photo))
        if key in content
    }
