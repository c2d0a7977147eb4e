from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Run = Callable[..., Any]


def test_photos_become_one_face(
    run: Run, portrait: Path, model_folder: Path, tmp_path: Path
) -> None:
    """What can't be read fails, what shows no face is told, and the rest is fused."""
    gray = tmp_path / "gray.png"
    cv2.imwrite(str(gray), np.full((60, 60, 3), 128, np.uint8))
    out = tmp_path / "face.glb"
    options = ["-o", out, "--texture-size", 64, "--model", model_folder, "--threads", 1]
    done = run("fuse", portrait, portrait, gray, tmp_path / "none.jpg", *options)
    assert done.code == 1 and f"2 photos → {out}" in done.stdout
    assert f"{gray}: no face found" in done.stderr and "none.jpg" in done.stderr
    assert out.read_bytes()[:4] == b"glTF"


def test_nothing_to_fuse(run: Run, tmp_path: Path, model_folder: Path) -> None:
    gray = tmp_path / "gray.png"
    cv2.imwrite(str(gray), np.full((60, 60, 3), 128, np.uint8))
    done = run("fuse", gray, "-o", tmp_path / "face.glb", "--model", model_folder)
    assert done.code == 1 and "nothing to fuse" in done.stderr
    assert not (tmp_path / "face.glb").exists()
    done = run("fuse", gray, "-o", tmp_path / "face.stl", "--model", model_folder)
    assert done.code == 2 and "its name must end in .glb or .obj or .ply" in done.stderr
    done = run("fuse", gray, "-o", tmp_path / "face.obj", "--head", "--model", model_folder)
    assert done.code == 2 and "its name must end in .glb" in done.stderr
