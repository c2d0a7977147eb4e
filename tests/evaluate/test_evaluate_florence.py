import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from prnet.data.florence import read_florence
from prnet.evaluate.florence import evaluate_florence
from prnet.geometry.pose import rotation_from_angles
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import decode_landmarks68

MM = 10.0


@pytest.fixture
def scans(atlas: Atlas, tmp_path: Path) -> Callable[..., Path]:
    """`scans(shape)`: a person whose scan is the mean face in millimetres, changed by `shape`."""

    def make(shape: Callable[[np.ndarray], np.ndarray] = lambda points: points) -> Path:
        person = tmp_path / "scans" / "subject_01"
        person.mkdir(parents=True)
        vertices = MM * shape(atlas.canonical_vertices) + [5, 1500, -20]
        mesh = trimesh.Trimesh(vertices[::8], np.array([[0, 1, 2]]), process=False)
        mesh.export(person / "scan.ply")
        points = MM * shape(decode_landmarks68(atlas.canonical_map, atlas)) + [5, 1500, -20]
        landmarks = {str(i): points[i].tolist() for i in (30, 8, 36, 45, 48, 54)}
        (person / "landmarks.json").write_text(json.dumps(landmarks), encoding="utf-8")
        for name in ("a.jpg", "b.png"):
            cv2.imwrite(str(person / name), np.zeros((200, 200, 3), np.uint8))
        (person / "boxes.json").write_text(json.dumps({"a.jpg": [50, 50, 150, 150]}))
        return tmp_path / "scans"

    return make


def test_the_person_itself_has_no_error(
    fake: Any, atlas: Atlas, posed: Any, scans: Callable[..., Path]
) -> None:
    """Whatever the pose; photos without a box go to the detector, which finds nothing here."""
    reconstructor = fake(atlas, lambda box: posed(35, -10, 5))
    report = evaluate_florence(read_florence(scans()), reconstructor)
    assert report.metrics["count"] == 2
    assert report.metrics["found_share"] == 50
    # the scan's unit is cut down to float32 by the PLY file
    assert report.metrics["error_landmarks"] == pytest.approx(0, abs=0.01)
    assert report.metrics["error"] == pytest.approx(0, abs=0.01)
    assert report.metrics["mean_face_error"] == pytest.approx(0, abs=0.01)
    assert report.metrics["error_yaw_30_60"] == report.metrics["error"]
    assert len(reconstructor.asked) == 1


def test_another_face_has_an_error(
    fake: Any, atlas: Atlas, posed: Any, scans: Callable[..., Path]
) -> None:
    """The scan is 15% longer, which no similarity mends; only the prediction knows."""

    def longer(points: np.ndarray) -> np.ndarray:
        return points * np.array([1, 1.15, 1], np.float32)

    def predict(box: np.ndarray) -> np.ndarray:
        frontal = posed() - [100, 100, 0]
        return frontal * np.array([1, 1.15, 1]) + [100, 100, 0]

    report = evaluate_florence(read_florence(scans(longer)), fake(atlas, predict))
    assert report.metrics["error"] < 0.3
    assert report.metrics["mean_face_error"] > report.metrics["error"] + 0.7
    assert report.metrics["mean_face_error_landmarks"] > 1


def test_landmarks_help_where_the_scan_is_turned(
    fake: Any,
    atlas: Atlas,
    posed: Any,
    scans: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prnet.evaluate.icp.ROUNDS", 10)  # it stays where it is wrong
    rotation = rotation_from_angles(0, 0, 100).astype(np.float32)
    records = read_florence(scans(lambda points: points @ rotation.T))
    report = evaluate_florence(records, fake(atlas, lambda box: posed()))
    assert report.metrics["error_landmarks"] == pytest.approx(0, abs=0.01)
    assert report.metrics["error"] > 1
