"""`prnet head`, and what `prnet reconstruct --head` and `prnet data head` write."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prnet.geometry.sampling import sample_map
from prnet.morphable.head_model import HEAD_FILE
from prnet.uv.atlas import embedded_atlas
from prnet.uv.topology import read_obj

Run = Callable[..., Any]  # see conftest.py: gives (code, stdout, stderr)
FAST = ("--threads", 1)


@pytest.fixture
def head(run: Run, model_folder: Path) -> Run:
    return lambda *arguments: run("head", *arguments, "--model", model_folder, *FAST)


def read(path: Path) -> Any:
    """The JSON of a GLB."""
    content = path.read_bytes()
    return json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])


def test_a_photos_head_with_weights_of_ones_own(head: Run, portrait: Path, tmp_path: Path) -> None:
    out, weights = tmp_path / "head.glb", tmp_path / "weights.json"
    weights.write_text('{"jawOpen": 0.5}')
    outcome = head(portrait, "-o", out, "--weights", weights)
    assert outcome == (0, f"{portrait}: 1 head → {out}\n", "")
    (mesh,) = read(out)["meshes"]
    given = dict(zip(mesh["extras"]["targetNames"], mesh["weights"], strict=True))
    assert {name for name, weight in given.items() if weight} == {"jawOpen"}
    assert "animations" not in read(out)


def test_frames_become_an_animation_of_the_scene(head: Run, portrait: Path, tmp_path: Path) -> None:
    out, weights = tmp_path / "scene.glb", tmp_path / "weights.csv"
    weights.write_text("time,JawOpen\n0,0\n0.5,1\n1,0\n")
    assert head(portrait, "-o", out, "--weights", weights, "--scene").code == 0
    file = read(out)
    (animation,) = file["animations"]
    (sampler,), (channel,) = animation["samplers"], animation["channels"]
    times, values = (file["accessors"][sampler[name]] for name in ("input", "output"))
    assert (times["count"], times["max"]) == (3, [1.0]) and values["count"] == 3 * 51
    assert channel["target"]["path"] == "weights" and len(file["cameras"]) == 1


def test_what_can_not_be_done_is_said(head: Run, portrait: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.zeros((64, 48, 3), np.uint8))
    outcome = head(blank, "-o", tmp_path / "head.glb")
    assert outcome == (1, "", f"prnet: {blank}: no face found\n")
    assert head(portrait, "-o", tmp_path / "head.obj").code == 2
    (tmp_path / "bad.json").write_text('{"grin": 1}')
    outcome = head(portrait, "-o", tmp_path / "head.glb", "--weights", tmp_path / "bad.json")
    assert outcome.code == 2 and "bad.json: can't read expression weights" in outcome.stderr
    assert head(tmp_path / "none.jpg", "-o", tmp_path / "head.glb").code == 1
    assert not (tmp_path / "head.glb").exists()


def test_reconstruct_writes_heads_too(reconstruct: Run, portrait: Path, out: Path) -> None:
    assert reconstruct(portrait, "--head", "--format", "none", "--no-overlay").code == 0
    record = json.loads((out / f"{portrait.stem}.json").read_text("utf-8"))
    (face,) = record["faces"]
    assert face["files"] == {"head": f"{portrait.stem}_head.glb"}
    assert set(record["written"]) == {f"{portrait.stem}_head.glb", f"{portrait.stem}.json"}
    assert read(out / face["files"]["head"])["meshes"][0]["name"] == "head"
    again = reconstruct(portrait, "--head", "--format", "none", "--no-overlay", "--skip-existing")
    assert again.stdout == f"{portrait}: done already\n"


def test_the_head_model_is_rebuilt(run: Run, facekit: Path, tmp_path: Path) -> None:
    out = tmp_path / "head.npz"
    outcome = run("data", "head", facekit / "ict_face_model.npz", "--out", out)
    assert outcome.code == 0 and "50 identities, 51 expressions, 6.5 MB" in outcome.stdout
    assert out.read_bytes() == HEAD_FILE.read_bytes()
    assert run("data", "head", tmp_path / "none.npz", "--out", out).code == 1


def test_a_mesh_of_ones_own(
    run: Run,
    reconstruct: Run,
    portrait: Path,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wrapped once, then filled with the photo's face: a grid over every fifth pixel of its map."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as where no extra is installed
    atlas = embedded_atlas()
    is_face = atlas.mask[::5, ::5]
    rows, columns = np.nonzero(is_face)
    number = np.cumsum(is_face).reshape(is_face.shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    whole = is_face[:-1, :-1] & is_face[:-1, 1:] & is_face[1:, 1:] & is_face[1:, :-1]
    triangles = np.concatenate([np.stack(each, -1)[whole] for each in ((a, d, c), (a, c, b))])
    mesh, points = tmp_path / "mesh.obj", tmp_path / "points.json"
    vertices = atlas.canonical_map[5 * rows, 5 * columns]
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    mesh.write_text("\n".join([*lines, *("f {} {} {}".format(*each) for each in triangles)]))
    landmarks = sample_map(atlas.canonical_map, atlas.landmarks68_uv)
    points.write_text(json.dumps(landmarks.tolist()))
    wrapped = tmp_path / "mesh.npz"
    outcome = run("data", "wrap", mesh, "--landmarks", points, "--out", wrapped)
    assert outcome.code == 0 and "vertices lie on the face" in outcome.stdout
    options = "--topology", wrapped, "--format", "none", "--no-overlay"
    assert reconstruct(portrait, *options).code == 0
    written = read_obj(out / f"{portrait.stem}_topology.obj")
    np.testing.assert_array_equal(written.triangles, triangles - 1)
    size = np.ptp(vertices, axis=0) / 100  # m; the stand-in sees the mean face
    np.testing.assert_allclose(np.ptp(written.vertices, axis=0), size, rtol=0.02)
    assert run("data", "wrap", mesh, "--landmarks", mesh, "--out", wrapped).code == 1
    assert reconstruct(portrait, "--topology", tmp_path / "none.obj").code == 2
