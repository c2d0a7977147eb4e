from collections.abc import Callable
from pathlib import Path

import pytest

from prnet.cli.main import main
from prnet.errors import OutputError
from prnet.face import Face
from prnet.mesh.own import check_sides, is_own_mesh


@pytest.fixture(scope="module")
def face(make_face: Callable[..., Face]) -> Face:
    return make_face(10)


FOREIGN = {
    "a text": b"mine\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "another program's GLB": b"glTF\2\0\0\0\x44\0\0\0\x2e\0\0\0JSON"
    b'{"asset":{"version":"2.0","generator":"other"}}',
    "half a GLB": b"glTF\2\0\0\0\x44\0\0\0\x2e\0\0\0JSON{",
    "an OBJ of other names": b"mtllib other.mtl\nusemtl other_obj\n",
    "another program's PLY": b"ply\nformat ascii 1.0\ncomment https://github.com/mikedh/trimesh\n",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", ["glb", "obj", "ply"])
def test_own_files_are_known(face: Face, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"Ä b.{kind}"
    face.save(path)
    assert is_own_mesh(path)
    face.save(path)
    if kind == "glb":
        face.head().save(path)
        assert is_own_mesh(path)


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("kind", ["glb", "obj", "ply"])
def test_others_are_told_apart(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"face.{kind}"
    path.write_bytes(content)
    assert not is_own_mesh(path)


@pytest.mark.parametrize("name", ["me_obj.png", "me.mtl"])
def test_what_has_the_name_of_an_obj_s_other_files_stays(
    face: Face, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=f"{name}: is there, and prnet didn't write it; me.obj"):
        face.save(tmp_path / "me.obj")
    with pytest.raises(OutputError, match="prnet didn't write it"):
        check_sides(tmp_path / "me.obj")
    assert [each.name for each in tmp_path.iterdir()] == [name]
    face.save(tmp_path / "me.glb")


@pytest.mark.parametrize("command", ["head", "fuse"])
def test_commands_write_over_no_one_else_s_file(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.glb"
    mine.write_text("mine")
    with pytest.raises(SystemExit) as left:
        main([command, str(tmp_path / "photo.jpg"), "-o", str(mine)])
    assert left.value.code == 2 and mine.read_text() == "mine"
    assert "mine.glb: is there, and prnet didn't write it" in capsys.readouterr().err
