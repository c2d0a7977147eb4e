"""The detector's protocol on a few scenes, and its choice of photos."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from prnet.data import scene_choice
from prnet.data.scene_choice import choose_photos, read_backgrounds, upright_face
from prnet.errors import LabelError, ModelFileError
from prnet.evaluate.detector import OURS, YUNET, evaluate_detector
from prnet.geometry.pose import rotation_from_angles


def test_upright_face_by_hand() -> None:
    # 4 wide and 2 high, then tilted by 30 degrees with the top to the right
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-2, -1], [2, -1], [2, 1], [-2, 1.0]])
    rotation = rotation_from_angles(0, 0, 30) @ rotation_from_angles(40, 0, 0)
    face, yaw = upright_face(corners @ turn.T + [10, 20], rotation)
    np.testing.assert_allclose(face, [10, 20, 4, 2, angle], atol=1e-5)
    assert yaw == pytest.approx(40, abs=1e-6)


@pytest.fixture(autouse=True)
def few_backgrounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seventh of the facekit's."""
    monkeypatch.setattr(
        scene_choice, "read_backgrounds", lambda folder: islice(read_backgrounds(folder), 0, 40)
    )


def test_chosen_photos(facekit: Path) -> None:
    def find_boxes(picture: np.ndarray) -> np.ndarray:
        # one where the label is, and one in the corner, whatever the picture's size
        side = picture.shape[0]
        return np.array([[0.3, 0.3, 0.4, 0.4], [0.0, 0.0, 0.1, 0.1]]) * side

    chosen = list(choose_photos(facekit, "val", {"lfw": 4, "turned": 2}, find_boxes, {"lfw": 125}))
    lfw = [photo for photo in chosen if photo.source == "lfw"]
    assert [photo.source for photo in chosen[:6]] == ["lfw"] * 4 + ["turned"] * 2
    assert all(photo.held_out for photo in chosen)
    assert all(photo.pixels.shape == (125, 125, 3) for photo in lfw)
    for photo in lfw:
        assert 35 < photo.face[2] < 70 and abs(photo.face[4]) < 0.3
        # the corner's at both scales; the label's is the face itself
        np.testing.assert_allclose(photo.ignored, [[0, 0, 12.5, 12.5]] * 2, atol=0.2)
    assert all(photo.yaw > 30 for photo in chosen[4:6])
    backgrounds = chosen[6:]
    assert len(backgrounds) == 8  # a fifth
    assert np.isnan(backgrounds[0].face).all()


def test_no_backgrounds(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="can't read the facekit's backgrounds"):
        next(read_backgrounds(tmp_path))


def test_no_facekit(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"yunet.onnx: no such file"):
        evaluate_detector(tmp_path)


def test_a_small_run(facekit: Path) -> None:
    looks = []
    report = evaluate_detector(
        facekit, scenes=12, counts={"lfw": 8}, progress=lambda *done: looks.append(done)
    )
    assert looks[-1] == (12, 12)
    assert report.metrics["faces"] == len(report.rows) > 5
    for name in (OURS, YUNET):
        assert 0 <= report.metrics[f"{name}_recall"] <= 100
        assert len(report.curves[name]) == len(report.rows)
    counts = [int(row[1]) for row in report.tables[0].rows[1:5]]
    assert sum(counts) <= len(report.rows)  # the smallest are in no class
