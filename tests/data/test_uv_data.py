import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from prnet.data.uv_data import FILES, load_uv_data
from prnet.errors import LabelError
from prnet.uv.atlas import EYE_NOSE_MOUTH, FACE, KEYPOINT, NECK, OUTSIDE, REGION_WEIGHTS, Atlas


@pytest.fixture(scope="module")
def uv_data(make_uv_data: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_uv_data(tmp_path_factory.mktemp("uv-data"))


@pytest.fixture(scope="module")
def converted(uv_data: Path) -> Atlas:
    return load_uv_data(uv_data)


@pytest.fixture(scope="module")
def small(uv_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with few of the triangles, which take longest to read."""
    copy = Path(shutil.copytree(uv_data, tmp_path_factory.mktemp("small") / "uv-data"))
    last = (copy / "triangles.txt").read_text().splitlines()[-300:]
    (copy / "triangles.txt").write_text("\n".join(last))
    load_uv_data(copy)
    return copy


@pytest.fixture
def broken(small: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    return Path(shutil.copytree(small, tmp_path / "uv-data"))


def corners(atlas: Atlas) -> np.ndarray:
    return atlas.canonical_vertices[atlas.triangles]


@pytest.fixture(scope="module")
def pixels68(uv_data: Path) -> np.ndarray:
    """Columns and rows of the iBUG points, (2, 68)."""
    return np.loadtxt(uv_data / "uv_kpt_ind.txt").astype(int)


def test_the_mean_face_is_in_cm_with_y_up(
    converted: Atlas, atlas: Atlas, pixels68: np.ndarray
) -> None:
    is_kept = np.isin(atlas.vertex_index, converted.vertex_index)
    expected = atlas.canonical_vertices[is_kept]
    expected = expected - expected.mean(0)
    right, left = (atlas.canonical_map[row, column] for column, row in pixels68.T[[36, 45]])
    expected = expected * 8.75 / np.linalg.norm(left - right)
    np.testing.assert_allclose(converted.canonical_vertices, expected, atol=1e-4)


def test_the_map_is_complete(converted: Atlas) -> None:
    covered = converted.canonical_vertices
    assert (converted.canonical_map >= covered.min(0)).all()
    assert (converted.canonical_map <= covered.max(0)).all()


def test_triangles_look_outwards_whichever_way_the_file_winds_them(
    converted: Atlas, atlas: Atlas
) -> None:
    def normals(each: Atlas) -> np.ndarray:
        a, b, c = corners(each).transpose(1, 0, 2)
        return np.cross(b - a, c - a)

    is_kept = np.isin(atlas.vertex_index, converted.vertex_index)[atlas.triangles].all(1)
    expected = normals(atlas)[is_kept]
    assert ((normals(converted) * expected).sum(1) > 0).all()


def test_landmarks_are_the_centres_of_their_pixels(converted: Atlas, pixels68: np.ndarray) -> None:
    np.testing.assert_allclose(converted.landmarks68_uv, (pixels68.T + 0.5) / 256, atol=1e-7)


def test_regions_and_the_papers_weights(
    converted: Atlas, atlas: Atlas, pixels68: np.ndarray
) -> None:
    expected = np.where(atlas.region >= EYE_NOSE_MOUTH, EYE_NOSE_MOUTH, FACE)
    expected[pixels68[1], pixels68[0]] = KEYPOINT
    expected[~converted.mask] = NECK
    expected[-1] = OUTSIDE
    np.testing.assert_array_equal(converted.region, expected)
    weights = REGION_WEIGHTS[converted.region]
    assert set(np.unique(weights[converted.mask])) == {3, 4, 16}
    assert (weights[~converted.mask] == 0).all()


def test_the_official_files(prnet_official: Path, atlas: Atlas, tmp_path: Path) -> None:
    for name in ("face_ind.txt", "uv_kpt_ind.txt", "uv_weight_mask.png"):
        shutil.copy(prnet_official / name, tmp_path)
    face_mask = cv2.imread(str(prnet_official / "uv_face_mask.png"), cv2.IMREAD_GRAYSCALE) > 0
    # the two that are not here, over the official pixels: a bowl, and a triangle for each square
    rows, columns = np.nonzero(face_mask)
    x, y = columns - 127.5, rows - 110.0
    depth = 180 - (x**2 + y**2) / 150
    np.save(tmp_path / "canonical_vertices.npy", np.stack([x * 0.85, y + 250, depth], 1))
    vertex = np.full(face_mask.shape, -1)
    vertex[rows, columns] = np.arange(len(rows))
    squares = np.stack([vertex[:-1, :-1], vertex[1:, :-1], vertex[:-1, 1:]], -1).reshape(-1, 3)
    np.savetxt(tmp_path / "triangles.txt", squares[(squares >= 0).all(1)])

    official = load_uv_data(tmp_path)
    assert len(official.vertex_index) == 43_867
    np.testing.assert_array_equal(official.mask, face_mask)
    counts = np.bincount(official.region[official.mask], minlength=6)
    assert counts[KEYPOINT] == 68
    assert counts[EYE_NOSE_MOUTH] == 10_429 + 396 + 49 + 2 + 96  # 64, and what is nearest to it
    assert counts.sum() == counts[FACE] + counts[EYE_NOSE_MOUTH] + counts[KEYPOINT]
    assert (official.region == OUTSIDE).sum() == 256  # a row of weight 0
    a, b, c = corners(official).transpose(1, 0, 2)
    assert np.cross(b - a, c - a)[:, 2].min() > 0


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(broken: Path, name: str) -> None:
    (broken / name).unlink()
    with pytest.raises(LabelError, match=f"no {name}; .*Data/uv-data"):
        load_uv_data(broken)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_something_else_is_named(broken: Path, name: str) -> None:
    (broken / name).write_bytes(b"\x00version https nonsense\n\xff" * 3)
    with pytest.raises(LabelError, match=name):
        load_uv_data(broken)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="nowhere: no face_ind.txt"):
        load_uv_data(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        # indices counted from 1
        ("triangles.txt", lambda values: values + 1, "whole numbers from 0"),
        ("triangles.txt", lambda values: values[:, :2], "any × 3"),
        ("triangles.txt", lambda values: values + 0.5, "whole numbers"),
        ("face_ind.txt", lambda values: values[:-5], "triangles.txt: must hold whole numbers"),
        ("face_ind.txt", lambda values: np.append(values, values[0]), "a pixel twice"),
        ("uv_kpt_ind.txt", lambda values: values.T, "2 × 68"),
        ("uv_kpt_ind.txt", lambda values: values * 0, "off the face"),
        ("uv_kpt_ind.txt", lambda values: values - 300, "whole numbers"),
    ],
)
def test_tables_that_do_not_fit(
    broken: Path, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    values = np.loadtxt(broken / name)
    np.savetxt(broken / name, change(values))
    with pytest.raises(LabelError, match=message):
        load_uv_data(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda vertices: vertices[1:], "as many as face_ind.txt"),
        (lambda vertices: vertices * np.nan, "finite"),
        # y up, mirrored, and seen from behind
        (lambda vertices: vertices * [1, -1, 1], "y down"),
        (lambda vertices: vertices * [-1, 1, 1], "x to the right"),
        (lambda vertices: vertices * [1, 1, -1], "toward the viewer"),
    ],
)
def test_a_mean_face_that_does_not_fit(
    broken: Path, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    path = broken / "canonical_vertices.npy"
    np.save(path, change(np.load(path)))
    with pytest.raises(LabelError, match=f"canonical_vertices.npy.*{message}"):
        load_uv_data(broken)


def test_a_mask_of_another_size(broken: Path) -> None:
    cv2.imwrite(str(broken / "uv_weight_mask.png"), np.zeros((128, 128), np.uint8))
    with pytest.raises(LabelError, match="256 × 256"):
        load_uv_data(broken)
