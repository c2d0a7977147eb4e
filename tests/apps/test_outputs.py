import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from prnet.apps.live_link import COLUMNS, LiveLinkSink
from prnet.apps.outputs import KINDS, check_output
from prnet.apps.pictures import write_picture
from prnet.apps.video import Tracked
from prnet.apps.video_records import ROW, ArraysSink, LinesSink
from prnet.errors import OutputError
from prnet.face import Face
from prnet.video.frames import CONTAINERS, Shown, VideoWriter
from prnet.video.track import TrackedFace

FOREIGN = "prnet didn't write it; name another file"
BLACK = np.zeros((64, 96, 3), np.uint8)


def refuses(path: Path) -> bool:
    try:
        check_output(path, KINDS)
    except OutputError as error:
        assert str(error) == f"{path}: is there, and {FOREIGN}"
        return True
    return False


@pytest.mark.parametrize("faces", [0, 2])
def test_numbers_of_prnet_are_its_own(
    make_face: Callable[..., Face], tmp_path: Path, faces: int
) -> None:
    """Also where no face was found."""
    lines, arrays, table = (tmp_path / f"o.{each}" for each in ("jsonl", "npz", "csv"))
    csv_sink = LiveLinkSink(table, 1, Fraction(9))
    for sink in (LinesSink(lines, "v.mp4"), ArraysSink(arrays), csv_sink):
        with sink:
            for number in range(faces):
                sink.take(Tracked(number, number / 9, BLACK, [TrackedFace(1, make_face(), 0.0)]))
    assert not any(map(refuses, (lines, arrays, table)))


def test_meshes_and_pictures_of_prnet_are_its_own(
    make_face: Callable[..., Face], tmp_path: Path
) -> None:
    write_picture(tmp_path / "p.png", BLACK)
    for name in ("o.glb", "o.obj", "o.ply"):
        make_face().save(tmp_path / name)
    assert not any(map(refuses, (tmp_path / name for name in ("o.glb", "o.obj", "o.ply", "p.png"))))


@pytest.mark.parametrize("ending", CONTAINERS)
def test_films_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    pytest.importorskip("av")
    own, foreign = tmp_path / f"own{ending}", tmp_path / f"foreign{ending}"
    for path in (own, foreign):
        with VideoWriter(path, Fraction(25), Fraction(1, 1000)) as writer:
            writer.write(Shown(BLACK, 0.0))
        monkeypatch.setattr("prnet.video.frames.TAG", ("comment", "my holiday"))
    assert not refuses(own) and refuses(foreign)


def _app_recording(path: Path) -> None:
    """The app's columns, and eyes that look somewhere."""
    path.write_text(f"{','.join(COLUMNS)}\n00:00:00:00.000,61{',0.0100000000' * 61}\n")


def _other_arrays(path: Path) -> None:
    np.savez(path, **{name: np.zeros(1) for name in (ROW.names or ())[1:]})


def _other_glb(path: Path) -> None:
    text = json.dumps({"asset": {"version": "2.0", "generator": "another"}}).encode()
    sizes = (2, 20 + len(text), len(text))
    header = b"".join(size.to_bytes(4, "little") for size in sizes)
    path.write_bytes(b"glTF" + header + b"JSON" + text)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((f"mine{ending}", lambda path: path.write_text("mine")) for ending in KINDS),
        ("app.csv", _app_recording),
        ("other.npz", _other_arrays),
        ("other.glb", _other_glb),
        ("other.jsonl", lambda path: path.write_text('{"format": "another"}\n')),
        ("list.jsonl", lambda path: path.write_text("[1]\n")),
        ("other.png", lambda path: PIL.Image.fromarray(BLACK).save(path)),
        ("folder.csv", lambda path: path.mkdir()),
        ("dangling.csv", lambda path: path.symlink_to("nowhere")),
    ],
)
def test_others_files_are_refused(tmp_path: Path, name: str, make: Callable[[Path], Any]) -> None:
    path = tmp_path / name
    make(path)
    assert refuses(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert refuses(tmp_path / "pipe.csv")


def test_new_names_and_empty_files_are_free(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert not refuses(tmp_path / "empty.mp4") and not refuses(tmp_path / "NEW.CSV")


@pytest.mark.parametrize("name", ["none/o.mp4", "none/../o.csv", f"{'x' * 300}.npz"])
def test_where_nothing_can_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "o.csv").write_text("mine")
    with pytest.raises(OutputError, match="there is no folder|File name too long"):
        check_output(tmp_path / name, KINDS)


def test_inputs_are_refused_by_any_name(tmp_path: Path) -> None:
    path, other = tmp_path / "mine.png", tmp_path / "other.png"
    write_picture(path, BLACK)
    other.symlink_to(path)
    for each in (path, other):
        with pytest.raises(OutputError, match="is an input; name another file"):
            check_output(each, [".png"], [tmp_path / "none.png", path])
    with pytest.raises(OutputError, match=r"me_obj\.png: is an input"):
        (tmp_path / "me_obj.png").symlink_to(path)
        check_output(tmp_path / "me.obj", [".obj"], [path])
    with pytest.raises(OutputError, match=r"mine\.png: its name must end in \.npz or \.csv"):
        check_output(path, [".npz", ".csv"])
