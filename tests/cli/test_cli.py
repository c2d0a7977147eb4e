import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from prnet.draw.overlay import draw_overlay
from prnet.draw.render import render_pncc
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import Atlas

Run = Callable[..., Any]  # see conftest.py: gives (code, stdout, stderr)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def homogeneous(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points, np.ones(len(points))])


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


# what works


def test_a_photo_becomes_a_mesh_a_record_and_an_overlay(
    reconstruct: Run, portrait: Path, out: Path, atlas: Atlas, model_folder: Path
) -> None:
    outcome = reconstruct(portrait)
    assert outcome == (0, f"{portrait}: 1 face → {out / 'portrait.json'}\n", "")
    assert names(out) == {"portrait.glb", "portrait.json", "portrait_overlay.png"}
    mesh = trimesh.load(out / "portrait.glb", force="mesh", process=False)
    (face,) = Reconstructor(model_folder, threads=1)(portrait)
    np.testing.assert_array_equal(mesh.faces, atlas.triangles)
    aligned, *_ = np.linalg.lstsq(homogeneous(face.vertices), mesh.vertices, rcond=None)
    np.testing.assert_allclose(homogeneous(face.vertices) @ aligned, mesh.vertices, atol=1e-6)
    overlay = cv2.imread(str(out / "portrait_overlay.png"))[..., ::-1]
    np.testing.assert_array_equal(overlay, draw_overlay(face.image, [face]))


def test_the_record_says_what_python_says(
    reconstruct: Run, portrait: Path, out: Path, model_folder: Path
) -> None:
    reconstruct(portrait)
    record = read_json(out / "portrait.json")
    (face,) = Reconstructor(model_folder, threads=1)(portrait)
    assert {key: record[key] for key in ("file", "width", "height", "files")} == {
        "file": str(portrait),
        "width": 240,
        "height": 240,
        "files": {"overlay": "portrait_overlay.png"},
    }
    (entry,) = record["faces"]
    assert entry["detection_score"] == pytest.approx(face.detection_score)
    assert entry["files"] == {"glb": "portrait.glb"}
    np.testing.assert_allclose(entry["box"], face.box, atol=1e-4)
    assert entry["score"] == pytest.approx(face.score, abs=1e-4)
    np.testing.assert_allclose(entry["landmarks68"], face.landmarks68, atol=1e-4)
    assert set(entry["pose"]) == {"yaw", "pitch", "roll", "scale", "rotation", "translation"}
    for name, value in entry["pose"].items():
        np.testing.assert_allclose(value, getattr(face.pose, name), atol=1e-4)


def test_everything_on_demand(
    reconstruct: Run, drawn_photo: Path, out: Path, tmp_path: Path, model_folder: Path
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[[10, 12, 50, 60], [60, 20, 80, 36]]")
    formats = ("--format", "glb,obj", "--format", "ply")
    extras = ("--depth", "--texture", "--position-map", "--pncc")
    outcome = reconstruct(drawn_photo, "--boxes", boxes, *formats, *extras)
    assert outcome.code == 0, outcome.stderr
    own = (".glb", ".obj", ".mtl", "_obj.png", ".ply", "_texture.png", "_position_map.npy")
    shared = (".json", "_overlay.png", "_depth.png", "_pncc.png")
    assert names(out) == {
        *(f"drawn{ending}" for ending in own + shared),
        *(f"drawn_face2{ending}" for ending in own),
    }
    record = read_json(out / "drawn.json")
    listed = set(record["files"].values())
    for face in record["faces"]:
        listed |= set(face["files"].values())
    side = (".mtl", "_obj.png", ".json")
    assert listed == {n for n in names(out) if not n.endswith(side)}
    assert set(record["written"]) == names(out) and record["written"][-1] == "drawn.json"

    faces = Reconstructor(model_folder, threads=1)(drawn_photo, boxes=json.loads(boxes.read_text()))
    for face, name in zip(faces, ("drawn", "drawn_face2"), strict=True):
        saved = np.load(out / f"{name}_position_map.npy")
        np.testing.assert_array_equal(saved, face.position_map)
        texture = cv2.imread(str(out / f"{name}_texture.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(texture[..., [2, 1, 0, 3]], face.texture(1024))
    depth = cv2.imread(str(out / "drawn_depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (80, 96)
    assert depth.dtype == np.uint16
    own_depth = faces[0].depth((80, 96))
    far, near = record["depth_range"]
    decoded = far + (depth.astype(float) - 1) / 65534 * (near - far)
    only_first = ~np.isnan(own_depth) & np.isnan(faces[1].depth((80, 96)))
    np.testing.assert_allclose(decoded[only_first], own_depth[only_first], atol=1e-2)
    assert (depth[np.isnan(own_depth) & np.isnan(faces[1].depth((80, 96)))] == 0).all()
    pncc = cv2.imread(str(out / "drawn_pncc.png"))[..., ::-1]
    np.testing.assert_array_equal(pncc, render_pncc(faces, (80, 96)))
    assert ((pncc > 0).any(2) == (depth > 0)).mean() > 0.99


def test_a_folder_and_a_photo(
    reconstruct: Run, portrait: Path, drawn_photo: Path, out: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(portrait, folder / name)
    (folder / "notes.txt").write_text("not a photo")
    outcome = reconstruct(folder, portrait)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert len(outcome.stdout.splitlines()) == 3
    assert {n for n in names(out) if n.endswith(".glb")} == {"a.glb", "b.glb", "portrait.glb"}


def test_photos_of_one_name_keep_apart(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(portrait, tmp_path / name / "me.png")
    assert reconstruct(tmp_path / "one", tmp_path / "two").code == 0
    assert read_json(out / "me.json")["file"] == str(tmp_path / "one" / "me.png")
    assert read_json(out / "me-2.json")["file"] == str(tmp_path / "two" / "me.png")
    assert {"me.glb", "me-2.glb"} <= names(out)


def test_max_faces(reconstruct: Run, drawn_photo: Path, out: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"drawn.png": [[10, 12, 50, 60], [60, 20, 80, 36]]}))
    outcome = reconstruct(drawn_photo, "--boxes", boxes, "--max-faces", 1)
    assert outcome.code == 0
    assert len(read_json(out / "drawn.json")["faces"]) == 1
    assert "drawn_face2.glb" not in names(out)


def test_a_second_run_replaces_the_first(reconstruct: Run, portrait: Path, out: Path) -> None:
    reconstruct(portrait)
    first = (out / "portrait.glb").read_bytes()
    (out / "portrait.glb").write_bytes(b"old")
    assert reconstruct(portrait).code == 0
    assert (out / "portrait.glb").read_bytes() == first


def test_demo(
    run: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("demo", "--model", model_folder, "--threads", 1)
    assert (outcome.code, outcome.stderr) == (0, "")
    folder = tmp_path / "prnet-demo"
    photo = cv2.imread(str(folder / "astronaut.jpg"))
    assert photo.shape == (512, 512, 3)
    assert photo[..., 2].mean() > photo[..., 0].mean()  # her suit is orange: red is red
    endings = (
        *(".glb", ".obj", ".mtl", "_obj.png", ".ply", ".json", "_overlay.png", "_depth.png"),
        *("_pncc.png", "_texture.png", "_position_map.npy"),
    )
    assert names(folder) == {"astronaut.jpg", *(f"astronaut{ending}" for ending in endings)}
    for name in names(folder):
        assert str(Path("prnet-demo") / name) in outcome.stdout
    assert "prnet reconstruct" in outcome.stdout
    assert len(read_json(folder / "astronaut.json")["faces"]) == 1


@pytest.mark.core
@pytest.mark.weights
def test_bench(run: Run, portrait: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that it is put back after the command set it
    stages = ["read", "detect", "crop", "network", "decode", "save", "call"]
    outcome = run("bench", portrait, "--runs", 2, "--json")
    record = json.loads(outcome.stdout)
    assert record["threads"] == 1
    assert list(record["median_ms"]) == stages
    assert all(each > 0 for each in record["median_ms"].values())
    assert 50 < record["peak_memory_mb"] < 20_000
    table = run("bench", "--runs", 1)
    assert table.code == 0
    assert all(stage in table.stdout for stage in stages)


@pytest.mark.core
def test_help_has_examples(run: Run) -> None:
    assert run("--version").stdout.startswith("prnet 0.")
    for command in ((), ("demo",), ("reconstruct",), ("bench",)):
        outcome = run(*command, "--help")
        assert outcome.code == 0
        assert f"Examples\n\n prnet {' '.join(command)}" in "\n".join(
            line.rstrip() for line in outcome.stdout.splitlines()
        )


# what doesn't: exit codes, and a line that names the file


def broken_photos(folder: Path, portrait: Path) -> dict[str, str]:
    """Files that are no photos, by name, with what the message must say."""
    jpeg = cv2.imencode(".jpg", cv2.imread(str(portrait)))[1].tobytes()
    (folder / "text.jpg").write_text("no photo at all")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    return {"text.jpg": "", "empty.jpg": "", "cut.jpg": "", "missing.jpg": "no such file"}


def test_photos_that_cannot_be_read(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path
) -> None:
    broken = broken_photos(tmp_path, portrait)
    for name, cause in broken.items():
        outcome = reconstruct(tmp_path / name)
        assert outcome.code == 1
        (line,) = outcome.stderr.splitlines()
        assert line.startswith("prnet: ")
        assert line.count(str(tmp_path / name)) == 1
        assert cause in line.lower()
        assert names(out) == set()


def test_the_rest_of_a_run_is_written(
    reconstruct: Run, portrait: Path, out: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    broken = {*broken_photos(folder, portrait)} - {"missing.jpg"}
    shutil.copy(portrait, folder / "z.png")
    outcome = reconstruct(folder, tmp_path / "missing.jpg")
    assert outcome.code == 1
    assert names(out) == {"z.glb", "z.json", "z_overlay.png"}
    lines = outcome.stderr.splitlines()
    assert len(lines) == 4
    for name in (*broken, "missing.jpg"):
        assert sum(name in line for line in lines) == 1


def test_a_folder_without_photos(reconstruct: Run, tmp_path: Path) -> None:
    folder = tmp_path / "empty folder"
    folder.mkdir()
    outcome = reconstruct(folder)
    assert outcome.code == 1
    assert f"{folder}: no photos" in outcome.stderr


@pytest.mark.parametrize("shape", [(1, 1, 3), (64, 48, 3)])
def test_a_photo_without_a_face(
    reconstruct: Run, out: Path, tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    photo = tmp_path / "black.png"
    cv2.imwrite(str(photo), np.zeros(shape, np.uint8))
    outcome = reconstruct(photo, "--depth", "--pncc")
    assert outcome == (0, "", f"prnet: {photo}: no face found\n")
    assert names(out) == {"black.json"}
    record = read_json(out / "black.json")
    assert (record["faces"], record["files"]) == ([], {})
    assert (record["width"], record["height"]) == (shape[1], shape[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"drawn.png": [[200, 10, 220, 30]]}',
            "boxes[0]: box must lie at least partly in the photo",
        ),
        (
            '{"drawn.png": [[1, 2, 30, 40], [NaN, 1, 2, 3]]}',
            "boxes[1]: box must be four finite numbers",
        ),
        ('{"drawn.png": [[1, 2, 3]]}', "boxes must be (N, 4)"),
        ('{"drawn.png": [[1, 2, 3, 4], [5]]}', "numbers, got [[1, 2, 3, 4], [5]]"),
        ('{"drawn.png": "everywhere"}', "boxes must be (N, 4)"),
        ('{"drawn.png": {"x0": 1}}', "boxes must be (N, 4)"),
        ('{"drawn.png": null}', "boxes.json: has no boxes for it"),
        ('{"other.png": [[1, 2, 30, 40]]}', "boxes.json: has no boxes for it"),
        ("[1, 2, 3, 4]", "boxes must be (N, 4)"),
    ],
)
def test_boxes_that_fail_a_photo(
    reconstruct: Run, drawn_photo: Path, out: Path, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "boxes.json").write_text(content)
    outcome = reconstruct(drawn_photo, "--boxes", tmp_path / "boxes.json")
    assert outcome.code == 1
    *strangers, line = outcome.stderr.splitlines()
    assert strangers in ([], [f"prnet: {tmp_path}/boxes.json: 1 name fits no photo (other.png)"])
    assert line.startswith(f"prnet: {drawn_photo}: {tmp_path / 'boxes.json'}: ")
    assert message in line and "array" not in line
    assert names(out) == set()


@pytest.mark.parametrize("content", ["", "{", '"text"', "7"])
def test_a_boxes_file_that_is_none(
    reconstruct: Run, drawn_photo: Path, out: Path, tmp_path: Path, content: str
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(content)
    for path in (boxes, tmp_path / "missing.json"):
        outcome = reconstruct(drawn_photo, "--boxes", path)
        assert outcome.code == 2
        (line,) = outcome.stderr.splitlines()
        assert str(path) in line
    assert not out.exists()


def test_an_output_folder_that_cannot_be(
    reconstruct: Run, run: Run, portrait: Path, tmp_path: Path, model_folder: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "inner"):
        for outcome in (
            reconstruct(portrait, "--out", out),
            run("demo", "--out", out, "--model", model_folder),
        ):
            assert outcome.code == 2
            (line,) = outcome.stderr.splitlines()
            cause = "is a file, not a folder" if out.is_file() else "can't write into this folder"
            assert f"{out}: {cause}" in line


def test_a_result_that_cannot_be_written(reconstruct: Run, portrait: Path, out: Path) -> None:
    (out / "portrait.json").mkdir(parents=True)
    outcome = reconstruct(portrait)
    assert outcome.code == 1
    assert str(out / "portrait.json") in outcome.stderr
    assert names(out) == {"portrait.json"}  # nothing half done beside it


def test_a_photo_is_never_overwritten(reconstruct: Run, portrait: Path, tmp_path: Path) -> None:
    photo, other = tmp_path / "me.png", tmp_path / "me_obj.png"
    for path in (photo, other):
        shutil.copy(portrait, path)
    before = photo.read_bytes()
    outcome = reconstruct(photo, other, "--out", tmp_path, "--format", "obj")  # me's texture
    assert outcome.code == 1
    assert f"{other}: would overwrite a photo" in outcome.stderr
    assert photo.read_bytes() == other.read_bytes() == before
    assert reconstruct(photo, "--out", tmp_path).code == 0
    assert photo.read_bytes() == other.read_bytes() == before


def test_a_model_folder_that_is_none(run: Run, portrait: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "network.onnx").write_text("no network")
    for folder in (tmp_path / "nowhere", tmp_path / "bad", portrait):
        for command in (
            ("reconstruct", portrait, "--out", out),
            ("demo", "--out", out),
            ("bench",),
        ):
            outcome = run(*command, "--model", folder)
            assert outcome.code == 2
            (line,) = outcome.stderr.splitlines()
            assert str(folder) in line
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconstruct",),
        ("reconstruct", "x.jpg"),
        ("reconstruct", "x.jpg", "--out", "out", "--format", "stl"),
        ("reconstruct", "x.jpg", "--out", "out", "--max-faces", "0"),
        ("reconstruct", "x.jpg", "--out", "out", "--threads", "0"),
        ("reconstruct", "x.jpg", "--out", "out", "--nonsense"),
        ("sing",),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


def test_bench_needs_a_face(run: Run, model_folder: Path, tmp_path: Path) -> None:
    photo = tmp_path / "black.png"
    cv2.imwrite(str(photo), np.zeros((64, 64, 3), np.uint8))
    outcome = run("bench", photo, "--model", model_folder)
    assert outcome.code == 2
    assert f"{photo}: no face found" in outcome.stderr
    assert run("bench", tmp_path / "missing.png", "--model", model_folder).code == 1


def test_interrupting_leaves_nothing_half_done(
    reconstruct: Run, portrait: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    outcome = reconstruct(portrait)
    assert (outcome.code, outcome.stderr) == (130, "prnet: stopped after 0 of 1 photos\n")
    assert names(out) == set()


def test_names_that_are_no_unicode(reconstruct: Run, portrait: Path, out: Path) -> None:
    folder = out.parent / "odd"
    folder.mkdir()
    photo = folder / b"caf\xe9.png".decode("utf-8", "surrogateescape")
    try:
        shutil.copy(portrait, photo)
    except OSError:
        pytest.skip("this file system has only Unicode names")
    outcome = reconstruct(folder)
    assert outcome.code == 0
    assert "caf\\udce9" in outcome.stdout


def test_debug_shows_where_an_error_arose(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert run("--debug", "demo", "--model", "nowhere").code == 2
    assert "Traceback" in caplog.text
    caplog.clear()
    assert run("demo", "--model", "nowhere").code == 2
    assert caplog.text == ""
