"""`prnet reconstruct` on inputs as they come: names, folders, second runs, streams, bad luck."""

import codecs
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from prnet.apps.records import SCHEMA_FILE
from prnet.face import Face

Run = Callable[..., Any]  # see conftest.py: gives (code, stdout, stderr)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def blank(path: Path) -> None:
    """A photo without a face."""
    cv2.imwrite(str(path), np.zeros((64, 48, 3), np.uint8))


@functools.cache
def validator(part: str) -> jsonschema.Draft202012Validator:
    whole = json.loads((files("prnet") / SCHEMA_FILE).read_text("utf-8"))
    if part:
        whole = {"$defs": whole["$defs"], "$ref": f"#/$defs/{part}"}
    jsonschema.Draft202012Validator.check_schema(whole)
    return jsonschema.Draft202012Validator(whole)


def check(record: object, part: str = "") -> None:
    validator(part).validate(record)


# second runs


def test_a_folder_into_itself_twice(reconstruct: Run, portrait: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(portrait, folder / "a.png")
    before = (folder / "a.png").read_bytes()
    for _ in range(2):
        assert reconstruct(folder, "-o", folder, "--format", "obj,glb", "--texture").code == 0
        side = {"a.mtl", "a_obj.png", "a_texture.png"}
        assert names(folder) == {"a.png", "a.glb", "a.obj", "a.json", "a_overlay.png"} | side
    assert (folder / "a.png").read_bytes() == before
    outcome = reconstruct(*sorted(folder.glob("*.png")), "-o", folder)  # as a shell's *.png
    assert outcome.code == 0
    assert names(folder) == {"a.png", "a.glb", "a.json", "a_overlay.png"}
    assert f"{folder / 'a_overlay.png'}: a result of prnet's, left out" in outcome.stderr


def test_a_second_run_leaves_what_it_says(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "a.png"
    shutil.copy(portrait, photo)
    reconstruct(photo, "--format", "glb,obj,ply", "--depth", "--pncc", "--position-map")
    assert len(names(out)) == 10
    (out / "a_mine.png").write_text("somebody's own")
    blank(photo)
    assert reconstruct(photo).code == 0
    assert names(out) == {"a.json", "a_mine.png"}


@pytest.mark.parametrize("taken", ["a.glb", "a.json", "a_overlay.png"])
def test_nobody_elses_file_is_overwritten(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path, taken: str
) -> None:
    shutil.copy(portrait, tmp_path / "a.png")
    out.mkdir()
    (out / taken).write_text('{"written": ["a.glb"]}')
    outcome = reconstruct(tmp_path / "a.png")
    assert outcome.code == 1
    (line,) = outcome.stderr.splitlines()
    assert f"{out / taken}: is there, and prnet didn't write it" in line
    assert names(out) == {taken}
    assert (out / taken).read_text() == '{"written": ["a.glb"]}'


def test_a_record_names_only_files_of_its_own(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path
) -> None:
    """Whoever writes a .json may not have prnet delete what he likes."""
    shutil.copy(portrait, tmp_path / "a.png")
    assert reconstruct(tmp_path / "a.png").code == 0
    (tmp_path / "precious").write_text("mine")
    (out / "other").write_text("mine")
    record = json.loads((out / "a.json").read_text())
    record["written"] += ["../precious", str(tmp_path / "precious"), "other", 7]
    (out / "a.json").write_text(json.dumps(record))
    assert reconstruct(tmp_path / "a.png").code == 0
    assert (tmp_path / "precious").exists() and (out / "other").exists()


def test_skip_existing(reconstruct: Run, portrait: Path, out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(portrait, folder / name)
    again = folder, "--skip-existing", "--jsonl", tmp_path / "faces.jsonl"
    assert reconstruct(folder / "a.png").code == 0
    stamp = (out / "a.glb").stat().st_mtime_ns
    outcome = reconstruct(*again)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert f"{folder / 'a.png'}: done already" in outcome.stdout
    assert (out / "a.glb").stat().st_mtime_ns == stamp and (out / "b.glb").exists()
    lines = [json.loads(line) for line in (tmp_path / "faces.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [str(folder / "a.png"), str(folder / "b.png")]
    (out / "a.glb").unlink()
    assert "b.png: done already" in reconstruct(*again).stdout
    assert (out / "a.glb").exists()
    assert "done already" not in reconstruct(*again, "--depth").stdout  # there was none yet
    assert (out / "a_depth.png").exists()


def test_folders_whose_photos_have_the_same_names(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = tmp_path / "a/IMG_1.png", tmp_path / "b/IMG_1.png"
    for path, rows in ((a, 240), (b, 230)):
        path.parent.mkdir()
        cv2.imwrite(str(path), cv2.imread(str(portrait))[:rows])
    options = "--skip-existing", "--no-overlay", "--format", "none"
    for photo, name in ((a, "IMG_1"), (b, "IMG_1-2"), (a, "IMG_1"), (b, "IMG_1-2")):
        assert reconstruct(photo, *options).code == 0
        assert json.loads((out / f"{name}.json").read_text())["file"] == str(photo)
    assert len(list(out.iterdir())) == 2
    # also where the command line says the same
    for photo in (a, b):
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir(photo.parent)
            outcome = reconstruct("IMG_1.png", *options)
        assert (outcome.code, outcome.stdout) == (0, "IMG_1.png: done already\n")
    # told by its content, wherever it lies
    moved = tmp_path / "IMG_1.png"
    shutil.copy(a, moved)
    assert f"{moved}: done already" in reconstruct(moved, *options).stdout
    # one with another content is another photo, or the same one, edited
    shutil.copy(b, moved)
    assert f"{moved}: done already" in reconstruct(moved, *options).stdout
    shutil.copy(b, a)
    assert "done already" not in reconstruct(a, *options).stdout
    assert len(list(out.iterdir())) == 2


def test_several_processes_write_into_one_folder(
    model_folder: Path, portrait: Path, out: Path, tmp_path: Path
) -> None:
    """What each says, and how it ends, is what a shell gets; where nobody hears it, it works on."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    shutil.copy(portrait, tmp_path / "a.png")
    words = f"{sys.executable} -m prnet reconstruct a.png -o out --format none --no-overlay"
    running = [
        subprocess.Popen(
            ["sh", "-c", f"exec {words} --position-map --model '{model_folder}' {more}"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for more in ("missing.jpg", ">&- 2>&- <&-", "> /dev/full")
    ]
    said = [(*process.communicate(), process.returncode) for process in running]
    (stdout, stderr, code), closed, full = said
    assert (code, stdout) == (1, f"a.png: 1 face → {Path('out/a.json')}\n")
    (line,) = stderr.splitlines()
    assert line.startswith("prnet: missing.jpg")
    assert closed == ("", "", 0)
    message = "prnet: standard output can't be written (No space left on device)\n"
    assert full == ("", message, 1)
    assert names(out) == {"a_position_map.npy", "a.json"}


# what counts as a photo, and what its results are called


def test_photos_of_folders_in_folders(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path
) -> None:
    inner = tmp_path / "photos" / "2024" / "May"
    hidden = tmp_path / "photos" / ".thumbnails"
    for folder in (inner, hidden):
        folder.mkdir(parents=True)
        shutil.copy(portrait, folder / "a.png")
    shutil.copy(portrait, tmp_path / "photos" / "a.png")
    assert reconstruct(tmp_path / "photos", "--no-overlay", "--format", "none").code == 0
    assert names(out) == {"a.json"}
    outcome = reconstruct(tmp_path / "photos", "-r", "--no-overlay", "--format", "none")
    assert (outcome.code, names(out)) == (0, {"a.json", "a-2.json"})
    assert str(inner / "a.png") in outcome.stdout and ".thumbnails" not in outcome.stdout


def test_windows_jfif(reconstruct: Run, portrait: Path, out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    jpeg = cv2.imencode(".jpg", cv2.imread(str(portrait)))[1].tobytes()
    (folder / "photo.jfif").write_bytes(jpeg)
    assert reconstruct(folder).code == 0
    assert "photo.glb" in names(out)


@pytest.mark.parametrize(
    ("stem", "faces"),
    [
        pytest.param(b"my face", 1, id="space"),
        pytest.param("Zoë 日本".encode(), 1, id="UTF-8"),
        pytest.param(b"caf\xe9", 1, id="Latin-1"),
        pytest.param(b"a" * 250, 2, id="long"),  # which a second face's names are longer than
        pytest.param("é".encode() * 124, 2, id="long UTF-8"),
        pytest.param(b"two\nlines", 1, id="newline"),
        pytest.param(b"-", 1, id="hyphen"),
    ],
)
def test_names_as_they_come(
    reconstruct: Run, drawn_photo: Path, out: Path, tmp_path: Path, stem: bytes, faces: int
) -> None:
    photo = tmp_path / os.fsdecode(stem + b".png")
    try:
        shutil.copy(drawn_photo, photo)
    except OSError:
        pytest.skip("this file system takes no such name")
    boxes = tmp_path / "boxes"
    boxes.write_text(json.dumps([[10, 12, 50, 60], [60, 20, 80, 36]][:faces]))
    extras = "--texture", "--position-map", "--depth", "--no-overlay"
    outcome = reconstruct(photo, "--boxes", boxes, "--format", "obj", *extras)
    assert (outcome.code, outcome.stderr) == (0, "")
    (path,) = out.glob("*.json")
    record = json.loads(path.read_text("utf-8"))
    check(record)
    json.dumps(record, ensure_ascii=False).encode()  # no half characters
    assert set(record["written"]) == names(out)
    assert len(record["faces"]) == len(list(out.glob("*.obj"))) == faces
    for path in out.glob("*.obj"):
        library = next(line for line in path.read_text().splitlines() if line[:6] == "mtllib")
        (texture,) = (
            line for line in (out / library[7:]).read_text().splitlines() if line[:6] == "map_Kd"
        )
        for name in (library[7:], texture[7:]):
            assert name.isascii() and " " not in name and (out / name).is_file()


def test_names_of_one_side_name_keep_apart(
    reconstruct: Run, drawn_photo: Path, out: Path, tmp_path: Path
) -> None:
    for name in ("my face.png", "my_face.png", "my?face.png"):
        shutil.copy(drawn_photo, tmp_path / name)
    boxes = tmp_path / "boxes"
    boxes.write_text(json.dumps({p.name: [[10, 12, 50, 60]] for p in tmp_path.glob("*.png")}))
    photos = sorted(tmp_path.glob("*.png"))
    assert reconstruct(*photos, "--boxes", boxes, "--format", "obj", "--no-overlay").code == 0
    assert len(list(out.glob("*.mtl"))) == len(list(out.glob("*_obj.png"))) == 3


def test_standard_input(
    reconstruct: Run, portrait: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = SimpleNamespace(buffer=io.BytesIO(portrait.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert reconstruct("-") == (0, f"-: 1 face → {out / 'stdin.json'}\n", "")
    assert names(out) == {"stdin.glb", "stdin.json", "stdin_overlay.png"}
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    outcome = reconstruct("-")
    assert (outcome.code, outcome.stderr) == (1, "prnet: -: the photo: the file is empty\n")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_boxes_as_windows_writes_them(
    reconstruct: Run, drawn_photo: Path, out: Path, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "boxes.json").write_text("[[10, 12, 50, 60]]\r\n", encoding)
    assert reconstruct(drawn_photo, "--boxes", tmp_path / "boxes.json").code == 0
    assert "drawn.glb" in names(out)


def test_boxes_nested_without_end(reconstruct: Run, drawn_photo: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_bytes(codecs.BOM_UTF8 + b"[" * 100_000)
    outcome = reconstruct(drawn_photo, "--boxes", tmp_path / "boxes.json")
    assert outcome.code == 2
    assert f"{tmp_path / 'boxes.json'}: can't read boxes" in outcome.stderr


# options


@pytest.mark.parametrize("formats", ["stl", "glb,stl", "glb,none", ","])
def test_formats_that_are_none(reconstruct: Run, portrait: Path, formats: str) -> None:
    outcome = reconstruct(portrait, "--format", formats)
    assert outcome.code == 2 and "Invalid value for --format: " in outcome.stderr


def test_scores_too_low_are_told(
    run: Run, make_model: Callable[..., Path], portrait: Path, out: Path, tmp_path: Path
) -> None:
    """The stand-in network's confidence is half of how bright the crop is."""
    model = make_model(tmp_path / "model", confidences="confidences")
    command = "reconstruct", portrait, "-o", out, "--model", model, "--format", "none"
    outcome = run(*command, "--min-score", 0.5)
    assert (outcome.code, outcome.stdout) == (0, "")
    low, none = outcome.stderr.splitlines()
    assert f"{portrait}: 1 face left out, the best of score 0." in low and "no face" in none
    assert names(out) == {"portrait.json"}
    assert "1 face →" in run(*command, "--min-score", 0).stdout
    (tmp_path / "boxes.json").write_text("[[80, 75, 155, 165]]")
    by_hand = run(*command, "--min-score", 0.5, "--boxes", tmp_path / "boxes.json")
    assert "1 face →" in by_hand.stdout  # what was asked for by hand is done


def test_quiet_and_verbose(reconstruct: Run, portrait: Path, tmp_path: Path) -> None:
    blank(tmp_path / "blank.png")
    assert reconstruct(portrait, tmp_path / "blank.png", "-q") == (0, "", "")
    outcome = reconstruct(portrait, tmp_path / "missing.png", "-q")
    assert (outcome.code, outcome.stdout, outcome.stderr.count("\n")) == (1, "", 1)
    lines = reconstruct(portrait, "-v").stdout.splitlines()
    assert (
        len(lines) == 2 and re.search(r"face 1: score [01]\.\d\d", lines[1]) and "yaw" in lines[1]
    )


# records


def test_records_follow_their_schema(
    reconstruct: Run, portrait: Path, drawn_photo: Path, out: Path, tmp_path: Path
) -> None:
    blank(tmp_path / "blank.png")
    lines = tmp_path / "faces.jsonl"
    photos = portrait, tmp_path / "blank.png"
    for _ in range(2):  # its own file may be replaced
        assert reconstruct(*photos, "--position-map", "--depth", "--jsonl", lines).code == 0
    for path in out.glob("*.json"):
        check(json.loads(path.read_text()))
    (line,) = map(json.loads, lines.read_text().splitlines())
    check(line, "line")
    record = json.loads((out / "portrait.json").read_text())
    assert {k: v for k, v in line.items() if k in record["faces"][0]} == record["faces"][0]
    face = Face.from_record(record["faces"][0], folder=out)
    np.testing.assert_allclose(face.landmarks68, record["faces"][0]["landmarks68"], atol=1e-5)
    for spoiled in ({**record, "version": 1}, {**record, "faces": [{}]}, {**record, "x": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check(spoiled)


def test_jsonl_takes_nobody_elses_place(reconstruct: Run, portrait: Path, tmp_path: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("Dear diary\n")
    outcome = reconstruct(portrait, "--jsonl", path)
    assert outcome.code == 2 and f"{path}: is there, and prnet didn't write it" in outcome.stderr
    assert path.read_text() == "Dear diary\n"
    outcome = reconstruct(portrait, "--jsonl", tmp_path / "no" / "folder.jsonl")
    assert outcome.code == 2 and "can't write this file" in outcome.stderr


# bad luck


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), OSError(28, "No space")])
def test_whatever_a_photo_raises_stops_no_other(
    reconstruct: Run,
    portrait: Path,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    from prnet.image import read

    def fail_at_a(photo: Path) -> np.ndarray:
        if photo.name == "a.png":
            raise error
        return original(photo)

    original = read.read_image
    monkeypatch.setattr(read, "read_image", fail_at_a)
    for name in ("a.png", "b.png"):
        shutil.copy(portrait, tmp_path / name)
    outcome = reconstruct(tmp_path / "a.png", tmp_path / "b.png")
    assert outcome.code == 1
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(f"prnet: {tmp_path / 'a.png'}: ")
    assert "b.glb" in names(out) and "a.json" not in names(out)


def test_what_is_asked_for_is_missed_on_a_full_disk() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    words = f"{sys.executable} -m prnet --version > /dev/full"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "prnet: No space left on device\n")
