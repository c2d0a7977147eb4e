"""A head's file: what it holds, and what others make of it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh

from glb_reader import accessor, read
from prnet.errors import OutputError
from prnet.head.head import Head, encode_heads, save_heads
from prnet.head.layout import HeadLayout
from prnet.morphable.head_model import FACE

pytestmark = pytest.mark.weights
VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report.issues)));
"""
IMPORT = """
import json, sys
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[-1])
keys = {o.name: [k.name for k in o.data.shape_keys.key_blocks]
        for o in bpy.data.objects if o.type == 'MESH' and o.data.shape_keys}
print(json.dumps(keys))
"""


@pytest.fixture(scope="module")
def files(head: Head, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The head as in the photo, with an open mouth, closed eyes, and in its scene."""
    folder = tmp_path_factory.mktemp("heads")
    closed = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
    paths = {name: folder / f"{name}.glb" for name in ("photo", "open", "closed", "scene")}
    head.save(paths["photo"])
    head.with_weights({"jawOpen": 1.0}).save(paths["open"])
    head.with_weights(closed).save(paths["closed"])
    head.save(paths["scene"], scene=True)
    return paths


def test_it_holds_the_head(head: Head, files: dict[str, Path], layout: HeadLayout) -> None:
    file = read(files["photo"].read_bytes())
    (mesh,) = file.meshes
    assert mesh.extras.targetNames == list(head.names)
    np.testing.assert_allclose(mesh.weights, head.weights, atol=1e-4)
    names = [file.materials[each.material].name for each in mesh.primitives]
    assert names == ["face", "back", "gums", "teeth", "left eye", "right eye", "lashes"]
    face = mesh.primitives[0]
    shape = accessor(file, face.attributes.POSITION)
    for weight, target in zip(mesh.weights, face.targets, strict=True):
        shape = shape + weight * accessor(file, target.POSITION)
    own = head.vertices[layout.model.vertices_of(FACE)] / 100
    for axis in range(3):  # metres; rows are another order there, so only the extent is compared
        for extreme in (np.min, np.max):
            assert extreme(shape[:, axis]) == pytest.approx(extreme(own[:, axis]), abs=1e-4)
    uv = accessor(file, face.attributes.TEXCOORD_0)
    assert uv.min() >= 0 and uv.max() <= 1


def test_normals_move_with_the_targets(head: Head, files: dict[str, Path]) -> None:
    file = read(files["photo"].read_bytes())
    face = file.meshes[0].primitives[0]
    normals = accessor(file, face.attributes.NORMAL)
    target = face.targets[head.names.index("jawOpen")]
    turned = normals + accessor(file, target.NORMAL)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, atol=0.03)
    assert np.abs(turned - normals).max() > 0.5


def test_other_weights_change_nothing_else(head: Head, files: dict[str, Path]) -> None:
    first, second = (read(files[name].read_bytes()) for name in ("photo", "open"))
    assert first.blob == second.blob
    weights = dict(zip(head.names, second.meshes[0].weights, strict=True))
    assert {name for name, weight in weights.items() if weight} == {"jawOpen"}


def test_the_scene_opens_to_the_photo(head: Head, files: dict[str, Path]) -> None:
    """Camera and node put the head where the photo shows it."""
    file = read(files["scene"].read_bytes())
    nodes = {node.name: node for node in file.nodes}
    assert set(nodes) == {"head", "photo", "view"}
    lens = file.cameras[nodes["view"].camera].orthographic
    height, width = head.image.shape[:2]
    matrix = np.reshape(nodes["head"].matrix, (4, 4)).T
    points = head.vertices[::500].astype(np.float64)
    placed = points / 100 @ matrix[:3, :3].T + matrix[:3, 3]
    x = (placed[:, 0] / lens.xmag + 1) / 2 * width - 0.5
    y = (1 - placed[:, 1] / lens.ymag) / 2 * height - 0.5
    np.testing.assert_allclose(np.stack([x, y], 1), head.pose.apply(points)[:, :2], atol=0.01)
    camera_z = np.reshape(nodes["view"].matrix, (4, 4)).T[2, 3]
    photo_z = np.reshape(nodes["photo"].matrix, (4, 4)).T[2, 3]
    assert photo_z < placed[:, 2].min() < placed[:, 2].max() < camera_z - lens.znear
    assert camera_z - photo_z < lens.zfar


def test_several_heads_share_a_scene(head: Head) -> None:
    content = encode_heads([head, head.with_weights({"jawOpen": 0.5})], scene=True)
    file = read(content)
    assert [node.name for node in file.nodes] == ["head1", "head2", "photo", "view"]
    with pytest.raises(ValueError, match="expected one head"):
        encode_heads([head, head])
    with pytest.raises(ValueError, match="got 0"):
        encode_heads([])


def test_others_read_it(files: dict[str, Path]) -> None:
    scene = trimesh.load(files["photo"])
    assert len(scene.geometry) == 7
    assert scene.extents == pytest.approx([0.24, 0.33, 0.22], abs=0.05)  # metres


def test_wrong_names_and_weights(head: Head, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"head\.obj: a head's file ends in \.glb"):
        save_heads(tmp_path / "head.obj", [head])
    with pytest.raises(ValueError, match="'smile' is not one"):
        head.with_weights({"smile": 1.0})
    with pytest.raises(ValueError, match=r"jawOpen must lie in \[0, 1\], got 1.5"):
        head.with_weights({"jawOpen": 1.5})


def test_khronos_finds_no_fault(files: dict[str, Path]) -> None:
    """Needs Node.js and the npm package gltf-validator, found by way of NODE_PATH."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not here")
    found = subprocess.run([node, "-e", "require.resolve('gltf-validator')"], capture_output=True)
    if found.returncode:
        pytest.skip("the npm package gltf-validator is not on NODE_PATH")
    for name, path in files.items():
        run = subprocess.run(
            [node, "-e", VALIDATE, path], capture_output=True, text=True, check=True
        )
        issues = json.loads(run.stdout)
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), (name, issues["messages"])


def test_blender_has_all_shape_keys(head: Head, files: dict[str, Path], tmp_path: Path) -> None:
    """Needs a Python with the `bpy` wheel, named by BPY_PYTHON: it is of one version only."""
    python = os.environ.get("BPY_PYTHON")
    if not python:
        pytest.skip("BPY_PYTHON names no Python with Blender's bpy")
    script = tmp_path / "script.py"
    script.write_text(IMPORT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [python, script, files["scene"]],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert json.loads(run.stdout.splitlines()[-1]) == {"head": ["Basis", *head.names]}
