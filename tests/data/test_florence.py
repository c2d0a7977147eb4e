import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from prnet.data.florence import read_florence
from prnet.errors import LabelError

Make = Callable[..., Path]
LANDMARKS = {"30": [0, 0, 0], "36": [-45, 30, -30], "45": [45, 30, -30]}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(name, kind)`: a person's folder, complete."""

    def make(name: str = "subject_01", kind: str = "obj") -> Path:
        person = tmp_path / name
        person.mkdir()
        trimesh.creation.icosphere(3, radius=90).export(person / f"scan.{kind}")
        (person / "landmarks.json").write_text(json.dumps(LANDMARKS), encoding="utf-8")
        (person / "b.JPG").write_bytes(b"not looked at")
        (person / "a.png").write_bytes(b"not looked at")
        return person

    return make


@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_a_person_is_read(make: Make, tmp_path: Path, kind: str) -> None:
    person = make(kind=kind)
    (record,) = read_florence(tmp_path)
    assert record.person == "subject_01"
    assert record.scan == person / f"scan.{kind}"
    assert record.photos == (person / "a.png", person / "b.JPG")
    assert record.boxes == {}
    np.testing.assert_array_equal(record.landmarks[45], [45, 30, -30])
    vertices = record.read_vertices()
    assert vertices.shape == (642, 3) and vertices.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 90, rtol=1e-5)


def test_people_come_in_the_order_of_their_names(make: Make, tmp_path: Path) -> None:
    make("b", "obj"), make("a", "ply"), make("c", "obj")
    assert [record.person for record in read_florence(tmp_path)] == ["a", "b", "c"]


def test_boxes_belong_to_photos(make: Make, tmp_path: Path) -> None:
    person = make()
    (person / "boxes.json").write_text('{"a.png": [1, 2, 3, 4]}')
    (record,) = read_florence(tmp_path)
    np.testing.assert_array_equal(record.boxes[person / "a.png"], [1, 2, 3, 4])
    (person / "boxes.json").write_text('{"z.png": [1, 2, 3, 4]}')
    with pytest.raises(LabelError, match=r"z\.png: no such photo"):
        read_florence(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("landmarks.json", "nonsense", "can't read this file as JSON"),
        ("landmarks.json", "[1]", "can't read this file as JSON"),
        ("landmarks.json", '{"30": [0, 0, 0]}', r"\[36, 45\] missing"),
        ("landmarks.json", json.dumps(LANDMARKS | {"68": [0, 0, 0]}), "numbers must be 0 to 67"),
        ("landmarks.json", json.dumps(LANDMARKS | {"nose": [0, 0, 0]}), "must be iBUG numbers"),
        ("landmarks.json", json.dumps(LANDMARKS | {"8": [0, 0]}), "8 must be 3 finite numbers"),
        ("boxes.json", '{"a.png": [1, 2, NaN, 4]}', "a.png must be 4 finite numbers"),
    ],
)
def test_a_broken_file_is_named(
    make: Make, tmp_path: Path, file: str, content: str, message: str
) -> None:
    (make() / file).write_text(content, encoding="utf-8")
    with pytest.raises(LabelError, match=message):
        read_florence(tmp_path)


def test_what_is_missing_is_named(make: Make, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no person in it"):
        read_florence(tmp_path)
    person = make()
    (person / "landmarks.json").unlink()
    with pytest.raises(LabelError, match=r"landmarks\.json"):
        read_florence(tmp_path)
    (person / "landmarks.json").write_text(json.dumps(LANDMARKS))
    (person / "a.png").unlink(), (person / "b.JPG").unlink()
    with pytest.raises(LabelError, match="no photos in it"):
        read_florence(tmp_path)


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_a_scan_that_is_none_is_named(make: Make, tmp_path: Path, content: bytes) -> None:
    (make() / "scan.obj").write_bytes(content)
    (record,) = read_florence(tmp_path)
    with pytest.raises(LabelError, match=r"scan\.obj"):
        record.read_vertices()
