from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.errors import LabelError
from prnet.face import Face
from prnet.geometry.sampling import sample_map
from prnet.uv.atlas import Atlas
from prnet.uv.topology import Topology, read_obj

OBJ = """# mine
mtllib mine.mtl
v 0 0 0 1 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0.3 0.6
vt 0.5 0.6
vt 0.5 0.4
vt 0.3 0.4
vn 0 0 1
g forehead
usemtl skin
s 1
f 1/1/1 2/2/1 3/3/1 -1/-1/-1
"""


@pytest.fixture
def obj(tmp_path: Path) -> Path:
    (tmp_path / "mine.obj").write_text(OBJ)
    return tmp_path / "mine.obj"


def test_a_mesh_keeps_its_polygons_groups_and_uvs(obj: Path, atlas: Atlas) -> None:
    topology = Topology.load(obj, atlas.canonical_map)
    np.testing.assert_allclose(topology.uv, [[0.3, 0.4], [0.5, 0.4], [0.5, 0.6], [0.3, 0.6]])
    text = topology.to_obj(np.arange(12.0).reshape(4, 3)).decode()
    expected = [line for line in OBJ.splitlines() if not line.startswith("vn")]
    expected[2:6] = ["v 0.000000 1.000000 2.000000 1 0 0", "v 3.000000 4.000000 5.000000"] + [
        "v 6.000000 7.000000 8.000000",
        "v 9.000000 10.000000 11.000000",
    ]
    expected[-1] = "f 1/1 2/2 3/3 4/4"
    assert text.splitlines() == expected


def test_it_takes_a_faces_shape(obj: Path, atlas: Atlas, make_face: Callable[..., Face]) -> None:
    face = make_face(30, 10, -5)
    topology = Topology.load(obj, atlas.canonical_map)
    vertices = face.in_topology(topology)
    in_photo = sample_map(face.position_map, topology.uv)
    centred = (in_photo - face.vertices.mean(0)) * [1, -1, 1]
    np.testing.assert_allclose(vertices, centred / face.pose.scale / 100, atol=1e-5)


def test_what_the_atlas_does_not_show_follows(atlas: Atlas, tmp_path: Path, obj: Path) -> None:
    whole = Topology.load(obj, atlas.canonical_map)
    uv = whole.uv.copy()
    uv[3] = np.nan
    mean = whole.mean.copy()
    mean[3] += [0, 0, -9]
    topology = Topology(whole.text, uv, mean)
    topology.save(tmp_path / "mine.npz")
    again = Topology.load(tmp_path / "mine.npz", atlas.canonical_map)
    moved = atlas.canonical_map + np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(again.shape(moved), mean + [1, 2, 3], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not an OBJ mesh"),
        ("v 0 0\nf 1 1 1\n", "not an OBJ mesh"),
        ("v 0 0 zero\n", "line 1 is not OBJ's"),
        ("v 0 0 0\nf 1 2 3\n", "line 2 is not OBJ's .*names what isn't there"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "vertex 1 has no UV; `prnet data wrap`"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, atlas: Atlas, text: str, cause: str) -> None:
    (tmp_path / "bad.obj").write_text(text)
    with pytest.raises(LabelError, match=rf"bad\.obj: .*{cause}"):
        Topology.load(tmp_path / "bad.obj", atlas.canonical_map)


def test_missing_and_damaged_files(tmp_path: Path, atlas: Atlas) -> None:
    for name in ("none.obj", "none.npz"):
        with pytest.raises(LabelError, match="no such file"):
            Topology.load(tmp_path / name, atlas.canonical_map)
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(LabelError, match=r"bad\.npz: not a mesh that faces"):
        Topology.load(tmp_path / "bad.npz", atlas.canonical_map)
    with pytest.raises(LabelError, match="no such file"):
        read_obj(tmp_path / "none.obj")
    with pytest.raises(ValueError, match="a row for each of the 1 vertices"):
        Topology("v 0 0 0", np.zeros((2, 2), np.float32), np.zeros((2, 3), np.float32))
