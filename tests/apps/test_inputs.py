import json
from pathlib import Path

import pytest

from prnet.apps.inputs import name_results, read_boxes, search


def test_a_folder_is_its_photos_by_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.webp", "notes.txt", "._b.jpg", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "inner.jpg").mkdir()
    (tmp_path / "inner.jpg" / "d.jpg").touch()
    assert [path.name for path in search(tmp_path).photos] == ["a.png", "b.JPG", "c.webp"]


def test_a_file_is_itself_whatever_its_name(tmp_path: Path) -> None:
    assert search(tmp_path / "missing.xyz").photos == [tmp_path / "missing.xyz"]


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (error,) = search(tmp_path).errors
    assert str(error).startswith(f"{tmp_path}: no photos in this folder")


def test_pictures_of_other_kinds_are_counted_other_files_are_not(tmp_path: Path) -> None:
    for name in ("a.png", "b.HEIC", "c.heic", "in/d.avif", "in/e.mp4", "f.txt", "in/.g.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert search(tmp_path).foreign == [".heic", ".heic"]
    assert search(tmp_path, recursive=True).foreign == [".heic", ".heic", ".avif"]


@pytest.mark.parametrize(
    ("photos", "names"),
    [
        (["a/x.jpg", "a/y.jpg"], ["x", "y"]),
        (["a/x.jpg", "b/x.jpg", "b/x.png"], ["x", "x-2", "x-3"]),
        (["a/x.jpg", "b/x-2.jpg", "b/x.png"], ["x", "x-2", "x-3"]),
        (["a/x.jpg", "b/X.jpg"], ["x", "X-2"]),  # one file on many disks
        (["a/x.jpg", "a/x_face2.jpg"], ["x", "x_face2-2"]),  # the second face of x
        (["a/x.png", "a/x_overlay.png"], ["x", "x_overlay-2"]),  # results of an earlier run
        (["a/x_face2_texture.png", "a/x.png"], ["x_face2_texture", "x-2"]),
        (["a/archive.tar.jpg", "a/ .jpg"], ["archive.tar", " "]),
        (["a/x.jpg", "a/../a/x.jpg"], ["x"]),  # the same photo twice
    ],
)
def test_no_two_photos_share_a_result(photos: list[str], names: list[str]) -> None:
    assert list(name_results(Path(each) for each in photos).values()) == names


def test_boxes_by_file_name_or_path(tmp_path: Path) -> None:
    photos = [Path("a/x.jpg"), Path("b/x.jpg"), Path("b/y.jpg")]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"x.jpg": [[1, 2, 3, 4]], "b/x.jpg": [], "z.jpg": [[0, 0, 1, 1]]}))
    assert read_boxes(file, photos) == ({photos[0]: [[1, 2, 3, 4]], photos[1]: []}, ["z.jpg"])


def test_boxes_alone_for_one_photo(tmp_path: Path) -> None:
    file = tmp_path / "boxes.json"
    file.write_text("[[1, 2, 3, 4]]")
    assert read_boxes(file, [Path("x.jpg")]) == ({Path("x.jpg"): [[1, 2, 3, 4]]}, [])
    with pytest.raises(ValueError, match=r"boxes\.json: boxes for 2 photos must be a JSON object"):
        read_boxes(file, [Path("x.jpg"), Path("y.jpg")])


@pytest.mark.parametrize("content", [b"", b"{", b'"text"', b"3", b"null", b"\xff\xfe\x00"])
def test_boxes_that_are_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "boxes.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"boxes\.json: "):
        read_boxes(file, [Path("x.jpg")])
    with pytest.raises(ValueError, match="No such file"):
        read_boxes(tmp_path / "missing.json", [Path("x.jpg")])
