"""A pack of the tiny facekit, and its photos in memory."""

import io
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from prnet.data.pack import BACKGROUNDS, WARM_START, pack_facekit
from prnet.morphable.linear import FaceModel

torch = pytest.importorskip("torch")


@pytest.fixture(scope="session")
def tiny_pack(
    tiny_facekit: Path, tiny_face_model: FaceModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What `pack_facekit` makes of the tiny facekit with six backgrounds."""
    kit = tmp_path_factory.mktemp("kit") / "kit"
    shutil.copytree(tiny_facekit, kit)
    (kit / BACKGROUNDS).parent.mkdir()
    rng = np.random.default_rng(0)
    with tarfile.open(kit / BACKGROUNDS, "w") as tar:
        for number in range(6):
            picture = np.full((60, 90, 3), 20 * number, np.uint8)
            picture[..., 0] = rng.integers(0, 255)
            encoded = cv2.imencode(".png", picture)[1].tobytes()
            info = tarfile.TarInfo(f"{number}.png")
            info.size = len(encoded)
            tar.addfile(info, io.BytesIO(encoded))
    (kit / WARM_START).parent.mkdir()
    (kit / WARM_START).write_bytes(b"weights")
    out = tmp_path_factory.mktemp("pack")
    pack_facekit(kit, out, tiny_face_model, part_mb=0.008)
    return out
