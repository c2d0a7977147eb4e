"""`prnet align`, `view`, `edit` and `swap`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

Run = Callable[..., Any]


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    path = tmp_path / "blank.png"
    cv2.imwrite(str(path), np.zeros((64, 48, 3), np.uint8))
    return path


def test_align(run: Run, model_folder: Path, portrait: Path, blank: Path, out: Path) -> None:
    command = "align", portrait, blank, "-o", out, "--model", model_folder, "--size", 96
    for _ in range(2):  # its own files may be replaced
        assert run(*command).code == 0
    record = json.loads((out / "portrait_aligned.json").read_text())
    (face,) = record["faces"]
    assert cv2.imread(str(out / face["crop"])).shape == (96, 96, 3)
    assert len(face["points5"]) == 5 and len(face["points68"]) == 68
    assert json.loads((out / "blank_aligned.json").read_text())["faces"] == []
    (out / "portrait_aligned.png").write_bytes(portrait.read_bytes())
    outcome = run(*command, out / "missing.jpg")
    assert outcome.code == 1 and "missing.jpg: no such file" in outcome.stderr
    assert "portrait_aligned.png: is there, and prnet didn't write it" in outcome.stderr
    assert run("align", portrait, "-o", out, "--template", "x").code == 2


def test_view(run: Run, model_folder: Path, portrait: Path, blank: Path, tmp_path: Path) -> None:
    picture = tmp_path / "view.png"
    command = "view", "--model", model_folder, "-o", picture
    for _ in range(2):
        assert run(*command, portrait, "--yaw", -30, "--style", "shaded").code == 0
    assert cv2.imread(str(picture), cv2.IMREAD_UNCHANGED).shape == (240, 240, 4)
    assert run(*command, portrait, "--style", "x").code == 2
    assert run(*command, portrait, "--light", "1,2").code == 2
    outcome = run(*command, blank)
    assert outcome.code == 1 and f"{blank}: no face found" in outcome.stderr
    outcome = run("view", portrait, "-o", portrait, "--model", model_folder)
    assert outcome.code == 2 and f"{portrait}: is an input" in outcome.stderr
    outcome = run("view", portrait, "-o", blank, "--model", model_folder)
    assert f"{blank}: is there, and prnet didn't write it" in outcome.stderr


def test_edit(run: Run, reconstruct: Run, model_folder: Path, portrait: Path, out: Path) -> None:
    assert reconstruct(portrait, "--texture", "--format", "none").code == 0
    texture = out / "portrait_texture.png"
    command = "edit", portrait, "--model", model_folder, "-o", out / "edited.png", "--texture"
    assert run(*command, texture).code == 0
    np.testing.assert_array_equal(cv2.imread(str(out / "edited.png")), cv2.imread(str(portrait)))
    pixels = cv2.imread(str(texture), cv2.IMREAD_UNCHANGED)
    pixels[pixels[..., 3] > 0, :3] = 255
    cv2.imwrite(str(texture), pixels)
    assert run(*command, texture).code == 0
    assert (cv2.imread(str(out / "edited.png")) == 255).all(2).mean() > 0.05
    outcome = run(*command, portrait.with_name("missing.png"))
    assert outcome.code == 1 and "missing.png: no such file" in outcome.stderr
    outcome = run(*command, texture, "--face", 2)
    assert "shows 1 face, so there is no face 2" in outcome.stderr
    for spoiled in (pixels[:100], pixels[::2, ::2]):
        cv2.imwrite(str(texture), spoiled)
        outcome = run(*command, texture)
        size = f"{spoiled.shape[1]}×{len(spoiled)}"
        assert outcome.code == 1
        assert f"{texture}: {size} texels; must be 1024×1024" in outcome.stderr


def test_swap(run: Run, model_folder: Path, portrait: Path, out: Path, tmp_path: Path) -> None:
    photo = cv2.imread(str(portrait))
    group = tmp_path / "group.png"
    cv2.imwrite(str(group), np.hstack([photo, (photo // 2)]))
    command = "swap", portrait, group, "--model", model_folder, "-o", tmp_path / "swapped.png"
    assert "2 faces of" in run(*command).stdout
    swapped = cv2.imread(str(tmp_path / "swapped.png"))
    assert swapped.shape == (240, 480, 3)
    assert "1 face of" in run(*command, "--pairs", "1:2").stdout
    outcome = run(*command, "--pairs", "1:3")
    assert outcome.code == 2 and f"{group}: shows 2 faces, so there is no face 3" in outcome.stderr
    assert run(*command, "--pairs", "1-2").code == 2
    assert "consent" in run("swap", "--help").stdout
