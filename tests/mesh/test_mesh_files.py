import dataclasses
import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from prnet.errors import OutputError
from prnet.face import Face
from prnet.geometry.rasterize import rasterize
from prnet.mesh.files import write_mesh
from prnet.mesh.mesh import Mesh

VALIDATE = """
const validator = require('gltf-validator');
const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validator.validateBytes(bytes).then(report => console.log(JSON.stringify(report.issues)));
"""


@pytest.fixture(scope="module")
def face(make_face: Callable[..., Face]) -> Face:
    return make_face(35, -10, 8)


@pytest.fixture(scope="module")
def mesh(face: Face) -> Mesh:
    return face.mesh()


@pytest.fixture(scope="module")
def files(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the face in every form, moved after writing, with a name that isn't simple."""
    written = tmp_path_factory.mktemp("written")
    for suffix in (".glb", ".obj", ".ply"):
        write_mesh(written / f"Zoë 2.1{suffix}", mesh)
    write_mesh(written / "lossless.glb", mesh, lossless=True)
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    written.rename(moved)
    return moved


def reopen(path: Path) -> trimesh.Trimesh:
    loaded = trimesh.load(path, process=False)
    if isinstance(loaded, trimesh.Scene):
        (loaded,) = loaded.geometry.values()
    return loaded


def picture_of(mesh: trimesh.Trimesh) -> np.ndarray:
    material = mesh.visual.material
    picture = material.baseColorTexture if hasattr(material, "baseColorTexture") else material.image
    assert picture.mode == "RGB"
    return np.asarray(picture)


def test_which_files(files: Path) -> None:
    assert sorted(path.name for path in files.iterdir()) == [
        "Zo_2.1-ea63df7e.mtl",
        "Zo_2.1-ea63df7e_obj.png",
        *(f"Zoë 2.1{suffix}" for suffix in (".glb", ".obj", ".ply")),
        "lossless.glb",
    ]


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_same_mesh_when_reopened(face: Face, files: Path, suffix: str) -> None:
    mesh = reopen(files / f"Zoë 2.1{suffix}")
    np.testing.assert_array_equal(mesh.faces, face.triangles)
    np.testing.assert_allclose(mesh.vertices, face.mesh().vertices, atol=1e-7)
    if suffix != ".ply":
        np.testing.assert_allclose(mesh.visual.uv[:, 0], face.atlas.vertices_uv[:, 0], atol=1e-7)
        np.testing.assert_allclose(
            mesh.visual.uv[:, 1], 1 - face.atlas.vertices_uv[:, 1], atol=1e-7
        )


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_texture_lies_right_on_the_mesh(face: Face, files: Path, suffix: str) -> None:
    """Drawn with its texture, the reopened mesh looks like the photo it came from."""
    mesh = reopen(files / f"Zoë 2.1{suffix}")
    texture = picture_of(mesh)
    size = len(texture)
    points = np.asarray(mesh.vertices) * [800, -800, 800] + face.vertices.mean(0)  # 8 px per cm
    raster = rasterize(points, mesh.faces, face.image.shape[:2])
    uv = raster.interpolate(np.asarray(mesh.visual.uv) * [1, -1] + [0, 1], mesh.faces)
    x, y = cv2.split(uv * size - np.float32(0.5))
    drawn = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shown = cv2.erode((raster.is_covered).astype(np.uint8), np.ones((9, 9))) > 0
    error = np.abs(drawn[shown].astype(int) - face.image[shown]).max(1)
    assert np.median(error) <= 2 and np.percentile(error, 90) < 12


def test_ply_has_the_colours_at_the_vertices(face: Face, files: Path) -> None:
    colors = reopen(files / "Zoë 2.1.ply").visual.vertex_colors
    facing_half = face.visibility & (face.atlas.vertices_uv[:, 0] > 0.55)
    error = np.abs(colors[facing_half, :3].astype(int) - face.colors[facing_half]).max(1)
    assert np.median(error) <= 1


def test_no_dark_patches_where_skin_is_hidden(face: Face, files: Path) -> None:
    """The photo is 255 in blue on the face and black around it."""
    blue = reopen(files / "Zoë 2.1.ply").visual.vertex_colors[~face.visibility, 2]
    assert np.percentile(blue, 5) > 150
    texture = picture_of(reopen(files / "Zoë 2.1.glb"))
    assert (texture[..., 2] > 150).mean() > 0.97


def test_triangles_are_wound_outward(face: Face, files: Path) -> None:
    """glTF shows the side from which corners run counter-clockwise; y up, z toward the viewer."""
    mesh = reopen(files / "Zoë 2.1.glb")
    a, b, c = np.moveaxis(np.asarray(mesh.vertices)[mesh.faces], 1, 0)
    front = np.cross(b - a, c - a)[:, 2] > 0
    seen = face.visibility[face.triangles].all(1)
    assert front[seen].mean() > 0.999


def test_obj_numbers_are_written_as_python_would(mesh: Mesh, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vertices = (rng.normal(size=mesh.vertices.shape) * 10 ** rng.uniform(-8, 3, (1, 3))).astype(
        np.float32
    )
    write_mesh(tmp_path / "face.obj", dataclasses.replace(mesh, vertices=vertices))
    lines = (tmp_path / "face.obj").read_text().splitlines()
    written = [line for line in lines if line.startswith("v ")]
    expected = ["v " + " ".join(f"{x:.7f}" for x in row) for row in vertices.tolist()]
    assert written == [line.replace("-0.0000000", "0.0000000") for line in expected]
    triangle = " ".join(f"{corner}/{corner}" for corner in mesh.triangles[-1] + 1)
    assert lines[-1] == f"f {triangle}" and len(lines) == 2 + 2 * len(vertices) + len(
        mesh.triangles
    )


def test_obj_names_its_parts_relatively(files: Path) -> None:
    """And by names that any reader takes: no spaces, ASCII alone."""
    name = "Zo_2.1-ea63df7e"
    assert f"mtllib {name}.mtl\n" in (files / "Zoë 2.1.obj").read_text("utf-8")[:200]
    assert (files / f"{name}.mtl").read_text("ascii").endswith(f"\nmap_Kd {name}_obj.png\n")


def test_glb_in_detail(face: Face, files: Path) -> None:
    content = (files / "Zoë 2.1.glb").read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIII4s", content[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON")
    tree = json.loads(content[20 : 20 + size])
    (material,) = tree["materials"]
    assert material["doubleSided"] and material.get("alphaMode", "OPAQUE") == "OPAQUE"
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert material["pbrMetallicRoughness"]["roughnessFactor"] == 1
    assert [image["mimeType"] for image in tree["images"]] == ["image/jpeg"]
    assert all("uri" not in each for each in tree["images"] + tree["buffers"])
    (primitive,) = tree["meshes"][0]["primitives"]
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "TEXCOORD_0"}
    assert tree["accessors"][primitive["attributes"]["POSITION"]]["count"] == len(face.vertices)


def test_textures_keep_their_colors(mesh: Mesh, files: Path) -> None:
    for name in ("lossless.glb", "Zoë 2.1.obj"):
        np.testing.assert_array_equal(picture_of(reopen(files / name)), mesh.texture)
    error = picture_of(reopen(files / "Zoë 2.1.glb")).astype(int) - mesh.texture
    assert 0 < np.abs(error).mean() < 2 and np.abs(error.mean()) < 0.3


def test_khronos_validator(files: Path, repository: Path) -> None:
    """Runs where `npm install gltf-validator` was done in a folder that node finds from here."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    probe = [node, "-e", "require.resolve('gltf-validator')"]
    if subprocess.run(probe, cwd=repository, capture_output=True, check=False).returncode:
        pytest.skip("the npm package gltf-validator is not installed")
    done = subprocess.run(
        [node, "-e", VALIDATE, str(files / "Zoë 2.1.glb")],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    issues = json.loads(done.stdout)
    assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, issues


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_a_mesh_without_triangles(mesh: Mesh, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"points{suffix}"
    write_mesh(path, dataclasses.replace(mesh, triangles=mesh.triangles[:0]))
    assert path.stat().st_size > 20 * len(mesh.vertices)


@pytest.mark.parametrize("name", ["face", "face.stl", "face.glb.txt", ".obj"])
def test_unknown_extension(mesh: Mesh, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=rf"{name}: mesh files end in \.glb, \.obj, \.ply"):
        write_mesh(tmp_path / name, mesh)
    assert not list(tmp_path.iterdir())


def test_capital_extension(mesh: Mesh, tmp_path: Path) -> None:
    write_mesh(tmp_path / "face.PLY", mesh)
    assert [path.name for path in tmp_path.iterdir()] == ["face.PLY"]


@pytest.mark.parametrize("taken", ["face.obj", "face.mtl", "face_obj.png"])
def test_obj_is_written_whole_or_not_at_all(mesh: Mesh, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).mkdir()
    with pytest.raises(OutputError, match=taken):
        write_mesh(tmp_path / "face.obj", mesh)
    assert [path.name for path in tmp_path.iterdir()] == [taken]


def test_no_such_folder(mesh: Mesh, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"missing.*face\.glb: can't write"):
        write_mesh(tmp_path / "missing" / "face.glb", mesh)
