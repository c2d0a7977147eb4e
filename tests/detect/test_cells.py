"""The network's numbers → boxes, and the file that gives them."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from prnet.detect.cells import (
    METADATA_KEY,
    OUTPUTS,
    STRIDES,
    cell_centers,
    decode_cells,
    find_faces,
)
from prnet.detect.network import EMBEDDED_FILE, FaceDetector
from prnet.errors import ModelFileError


def test_cells_lie_in_the_middle_of_their_squares() -> None:
    centers = cell_centers(64, 96)
    assert centers.shape == (8 * 12 + 4 * 6 + 2 * 3, 3)
    np.testing.assert_array_equal(centers[0], [3.5, 3.5, 8])
    np.testing.assert_array_equal(centers[13], [11.5, 11.5, 8])
    np.testing.assert_array_equal(centers[96], [7.5, 7.5, 16])
    np.testing.assert_array_equal(centers[-1], [79.5, 47.5, 32])


def test_decode_by_hand() -> None:
    cells = np.zeros((126, OUTPUTS), np.float32)
    cells[:, 0] = -9
    # one stride to the right, half a stride up; 64 × 32 pixels; the top of the head to the right
    cells[96] = [np.log(4), 1, -0.5, 0, -np.log(2), 0, 3]
    told, scores = decode_cells(cells.T, 64, 96, 0.5)
    np.testing.assert_allclose(told[:, 0], [23.5, -0.5, np.log(64), np.log(32), 0, 1], atol=1e-6)
    np.testing.assert_allclose(scores, [0.8], atol=1e-6)
    assert [decode_cells(cells.T, 64, 96, least)[1].size for least in (0.81, 0, 1)] == [0, 126, 0]
    boxes, scores = find_faces(cells.T, 64, 96, 0.5)
    np.testing.assert_allclose(boxes, [[23.5, -0.5, 64, 32, np.pi / 2]], atol=1e-5)
    assert boxes.dtype == scores.dtype == np.float32


def test_a_face_that_several_cells_tell_of() -> None:
    cells = np.zeros((126, OUTPUTS), np.float32)
    cells[:, 0] = -9
    cells[:, 5] = 1  # upright
    cells[96:98, 0] = 0, np.log(4)  # scores 0.5 and 0.8
    cells[97, 1] = -1  # both tell of the face in the middle of the first
    cells[97, 2] = 0.25
    boxes, scores = find_faces(cells.T, 64, 96, 0.7)
    np.testing.assert_allclose(scores, [0.8], atol=1e-6)
    share = 0.64 / (0.64 + 0.25)
    np.testing.assert_allclose(boxes, [[7.5, 7.5 + 4 * share, 64, 64, 0]], atol=1e-4)


def test_sizes_never_overflow() -> None:
    cells = np.full((126, OUTPUTS), 1e4, np.float32)
    boxes, scores = find_faces(cells.T, 64, 96, 0.5)
    assert len(boxes) and np.isfinite(boxes).all() and (scores <= 1).all()


def test_the_file_that_ships_is_small() -> None:
    assert EMBEDDED_FILE.stat().st_size <= 500_000


def test_pickled() -> None:
    detector = FaceDetector(min_score=0.7, smallest_face=0.1)
    copy = pickle.loads(pickle.dumps(detector))
    assert (copy.min_score, copy.smallest_face) == (0.7, 0.1)
    photo = skimage.data.astronaut()
    np.testing.assert_array_equal(copy.detect(photo).boxes, detector.detect(photo).boxes)


@pytest.mark.parametrize(
    ("min_score", "smallest_face"), [(-0.1, 0.1), (1.1, 0.1), (0.5, 0), (0.5, 2)]
)
def test_settings_are_checked(min_score: float, smallest_face: float) -> None:
    with pytest.raises(ValueError, match="must be in"):
        FaceDetector(min_score=min_score, smallest_face=smallest_face)


def test_wrong_files(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none.onnx: no such file; make it again with"):
        FaceDetector(tmp_path / "none.onnx")
    text = tmp_path / "text.onnx"
    text.write_text("not a network")
    with pytest.raises(ModelFileError, match=r"text.onnx: ONNX Runtime can't open it"):
        FaceDetector(text)
    with pytest.raises(ModelFileError, match="not a detector of prnet's"):
        FaceDetector(model_folder / "network.onnx")


def test_a_file_of_another_contract(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(EMBEDDED_FILE)
    for text, message in (
        (json.dumps({"strides": STRIDES, "unit_strides": 5.0, "outputs": OUTPUTS}), "made for"),
        ("no JSON", "unusable spec"),
        ("[1]", "unusable spec"),
    ):
        (entry,) = (each for each in model.metadata_props if each.key == METADATA_KEY)
        entry.value = text
        path = tmp_path / "other.onnx"
        onnx.save(model, path)
        with pytest.raises(ModelFileError, match=message):
            FaceDetector(path)
