import io
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from prnet.apps.inputs import search
from prnet.batch.inputs import Photo, find_photos
from prnet.batch.work import open_photo
from prnet.errors import ImageReadError, LabelError
from prnet.image.read import read_image


def names(photos: list[Photo]) -> list[str]:
    return [Path(photo.source).name for photo in photos]


def expand(folder: Path, recursive: bool) -> list[Path]:
    return search(folder, recursive).photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "inner/b.png", "inner/c.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_folders_globs_and_lists(folder: Path, tmp_path: Path) -> None:
    assert names(find_photos([str(folder)], expand)) == ["a.jpg", "b.png"]
    assert names(find_photos([f"{folder}/**/*.png", f"{folder}/a.jpg"], expand)) == [
        "b.png",
        "a.jpg",
    ]
    listed = tmp_path / "list.txt"
    listed.write_text("\ufeff# mine\nphotos/a.jpg\n\ns3://bucket/d.jpg\n", encoding="utf-8")
    found = find_photos([str(listed), str(folder)], expand)  # each once
    assert [photo.source for photo in found] == [
        str(folder / "a.jpg"),
        "s3://bucket/d.jpg",
        str(folder / "inner/b.png"),
    ]


@pytest.mark.parametrize("name", ["missing", "missing/*.jpg", "missing.txt"])
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageReadError, match="missing"):
        find_photos([str(tmp_path / name)], expand)


def png(value: int) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_tables_of_paths_and_of_bytes(folder: Path, tmp_path: Path) -> None:
    paths = tmp_path / "paths.parquet"
    parquet.write_table(pa.table({"path": [str(folder / "a.jpg")], "x": [1]}), paths)
    assert find_photos([str(paths)], expand) == [Photo(str(folder / "a.jpg"))]
    contents = [png(value) for value in (10, 20, 30)]
    table = tmp_path / "bytes.parquet"
    parquet.write_table(pa.table({"bytes": contents}), table, row_group_size=2)
    photos = find_photos([str(table)], expand)
    assert [photo.source for photo in photos] == [f"{table}#{number}" for number in range(3)]
    assert [read_image(open_photo(photo))[0, 0, 0] for photo in photos] == [10, 20, 30]
    faces = pa.array([{"bytes": contents[1], "path": "x"}])  # as Hugging Face has images
    parquet.write_table(pa.table({"image": faces, "name": ["mine"]}), table)
    (photo,) = find_photos([str(table)], expand)
    assert photo.source == "mine" and read_image(open_photo(photo))[0, 0, 0] == 20


def test_tables_that_are_none(tmp_path: Path) -> None:
    table = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"y": [1]}), table)
    with pytest.raises(LabelError, match="x.parquet: has no column of paths or bytes"):
        find_photos([str(table)], expand)
    table.write_bytes(b"nonsense")
    with pytest.raises(LabelError, match="x.parquet: not a Parquet file"):
        find_photos([str(table)], expand)


def test_addresses(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    path = tmp_path / "a.png"
    path.write_bytes(png(7))
    (photo,) = find_photos([f"file://{path}"], expand)
    assert read_image(open_photo(photo))[0, 0, 0] == 7
