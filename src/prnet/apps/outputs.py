"""Where results may go: to a new name, or in place of what prnet wrote; never over another's file.

What prnet wrote is known by its content.
"""

import json
import os
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path

from prnet.errors import OutputError
from prnet.mesh.own import check_sides, is_own_mesh, side_paths
from prnet.video.frames import CONTAINERS, TAG

LINE = 1 << 20  # bytes of a first line that are looked at


def check_output(path: Path, endings: Collection[str], inputs: Collection[Path] = ()) -> None:
    """Refuse a result's path before any work is done.

    Args:
        path: Where the file is to be written.
        endings: Of KINDS, those that its name may have.
        inputs: Files that are read, and so may not be written.

    Raises:
        OutputError: It ends otherwise, or its folder is missing or locked; or it, or a file that
            goes with it, is an input, or is there and prnet didn't write it.
    """
    ending = path.suffix.lower()
    if ending not in endings:
        raise OutputError(f"{path}: its name must end in {' or '.join(endings)}")
    try:
        if not path.parent.is_dir():
            raise OutputError(f"{path}: there is no folder {path.parent}")
        for written in filter(Path.exists, (path, *side_paths(path))):
            if any(each.exists() and written.samefile(each) for each in inputs):
                raise OutputError(f"{written}: is an input; name another file")
        check_own(path, ending)
        check_sides(path)
    except OSError as error:  # a name that is too long, a locked folder
        raise OutputError(f"{path}: can't write this file ({error.strerror})") from error


def check_own(path: Path, kind: str) -> None:
    """Refuse a path where there is a file of another's, which isn't empty.

    Args:
        path: Where a file is to be written.
        kind: Of KINDS, what prnet writes there.

    Raises:
        OutputError: It is there, and prnet didn't write it.
    """
    if os.path.lexists(path) and not _is_own(path, KINDS[kind]):
        raise OutputError(f"{path}: is there, and prnet didn't write it; name another file")


def _is_own(path: Path, is_kind: Callable[[Path], bool]) -> bool:
    """Whether a file may be replaced."""
    try:
        return path.is_file() and (path.stat().st_size == 0 or is_kind(path))
    except Exception:  # whatever is wrong with it, prnet didn't write it so
        return False


def _is_picture(path: Path) -> bool:
    import PIL.Image

    from prnet.apps.pictures import SOFTWARE

    key, text = SOFTWARE
    with PIL.Image.open(path) as picture:
        return picture.format == "PNG" and picture.info.get(key) == text


def _is_film(path: Path) -> bool:
    import av

    with av.open(os.fspath(path), format=CONTAINERS[path.suffix.lower()]) as film:
        return TAG in ((key.lower(), text) for key, text in film.metadata.items())


def _is_live_link(path: Path) -> bool:
    """Unlike the app's own recordings, whose columns are the same, prnet's never show a gaze."""
    from prnet.apps.live_link import COLUMNS, GAZE

    with path.open(encoding="utf-8", newline="") as stream:
        header, first = (stream.readline(LINE).removesuffix("\n") for _ in range(2))
    return header == ",".join(COLUMNS) and (not first or first.endswith(",".join(GAZE)))


def _is_lines(path: Path) -> bool:
    from prnet.apps import records, video_records

    with path.open("rb") as stream:
        return json.loads(stream.readline(LINE))["format"] in (records.FORMAT, video_records.FORMAT)


def _is_arrays(path: Path) -> bool:
    from prnet.apps.video_records import ROW

    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist()) == {f"{name}.npy" for name in ROW.names or ()}


# ending → whether prnet wrote such a file
KINDS: dict[str, Callable[[Path], bool]] = {
    ".png": _is_picture,
    ".csv": _is_live_link,
    ".jsonl": _is_lines,
    ".npz": _is_arrays,
    **dict.fromkeys((".glb", ".obj", ".ply"), is_own_mesh),
    **dict.fromkeys(CONTAINERS, _is_film),
}
