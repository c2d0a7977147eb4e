"""Reconstructors that say what a test wants, and photos whose labels are known."""

import io
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prnet.detect.detections import Detections
from prnet.face import Face
from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import decode_landmarks68

SIZE = 200  # pixels of a photo's side


@dataclass
class FakeReconstructor:
    """Gives for each box the map that `answer` has for it, and detects what it is told to.

    Attributes:
        atlas: Of the maps.
        answer: box → (256, 256, 3) position map, photo frame.
        detected: (N, 4) boxes that its detector finds in every photo.
        asked: The boxes that it was given.
    """

    atlas: Atlas
    answer: Callable[[np.ndarray], np.ndarray]
    detected: np.ndarray = field(default_factory=lambda: np.empty((0, 4), np.float32))
    asked: list[np.ndarray] = field(default_factory=list)

    @property
    def model(self) -> Any:
        return SimpleNamespace(atlas=self.atlas)

    @property
    def detector(self) -> Any:
        boxes = np.asarray(self.detected, np.float32).reshape(-1, 4)
        found = Detections(boxes, np.ones(len(boxes), np.float32))
        return SimpleNamespace(detect=lambda image: found)

    def __call__(self, photo: np.ndarray, boxes: Any = None, max_faces: int | None = None) -> list:
        boxes = self.detector.detect(photo).boxes if boxes is None else np.asarray(boxes)
        boxes = boxes[:max_faces]
        boxes = boxes[:, :4]
        self.asked += list(boxes)
        maps = [np.asarray(self.answer(box), np.float32) for box in boxes]
        return [Face(m, self.atlas, b, 1.0, photo) for m, b in zip(maps, boxes, strict=True)]


@pytest.fixture(scope="session")
def fake() -> type[FakeReconstructor]:
    return FakeReconstructor


@pytest.fixture(scope="session")
def posed(atlas: Atlas) -> Callable[..., np.ndarray]:
    """`posed(yaw, pitch, roll)`: the map of the mean face in the middle of a photo of 200×200."""

    def make(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
        rotation = rotation_from_angles(yaw, pitch, roll)
        centre = decode_landmarks68(atlas.canonical_map, atlas).mean(0)
        shift = np.array([SIZE / 2, -SIZE / 2, 0]) - 6.0 * rotation @ centre
        pose = Pose(6.0, rotation, shift)
        return pose.apply(atlas.canonical_map).astype(np.float32)

    return make


@pytest.fixture
def human_facekit(tiny_facekit: Path, tmp_path: Path) -> Callable[..., Path]:
    """`human_facekit(source, filenames, offsets, person=None)`: a kit with another source.

    All in `val`. Its photos are all the same one of the tiny kit, with the same label. `offsets`
    (N, 68, 2), or what broadcasts to it, says how far the human points lie beside the label's.
    """

    def make(
        source: str, filenames: list[str], offsets: Any, person: list[int] | None = None
    ) -> Path:
        folder = shutil.copytree(tiny_facekit, tmp_path / f"facekit-{source}")
        with np.load(folder / "labels/lfw.npz") as arrays:
            names = arrays["blendshape_names"]
            rows = {
                name: np.repeat(arrays[name][1:], len(filenames), 0)
                for name in set(arrays) - {"blendshape_names"}
            }
        rows |= {"blendshape_names": names}
        rows |= {"filename": np.array(filenames), "split": np.array(["val"] * len(filenames))}
        rows["person"] = np.array(person or range(len(filenames)))
        rows["human68"] = rows["landmarks68"][..., :2] + np.asarray(offsets)
        np.savez(folder / "labels" / f"{source}.npz", **rows)
        with tarfile.open(folder / "faces/lfw.tar") as tar:
            encoded = tar.extractfile("lfw_1.png").read()  # type: ignore[union-attr]
        with tarfile.open(folder / "faces" / f"{source}.tar", "w") as tar:
            for filename in filenames:
                info = tarfile.TarInfo(filename)
                info.size = len(encoded)
                tar.addfile(info, io.BytesIO(encoded))
        return folder

    return make
