import json
from collections.abc import Callable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

from prnet.video.frames import Shown, VideoReader, VideoWriter

pytest.importorskip("av")
pytestmark = pytest.mark.weights

Run = Callable[..., Any]


@pytest.fixture
def outputs(tmp_path: Path) -> dict[str, Path]:
    """A file for each option."""
    numbers = {f"--{kind}": tmp_path / f"o.{kind}" for kind in ("jsonl", "npz", "csv", "glb")}
    return {"-o": tmp_path / "o.mp4", **numbers}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut in eight frames, moving to the right."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    photo = skimage.data.astronaut()[20:260, 40:400]
    with VideoWriter(path, Fraction(25), Fraction(1, 1000)) as writer:
        for number in range(8):
            frame = np.ascontiguousarray(np.roll(photo, 2 * number, axis=1))
            writer.write(Shown(frame, number / 25))
    return path


def test_a_video_with_its_faces(run: Run, clip: Path, tmp_path: Path) -> None:
    out, lines, arrays = (tmp_path / name for name in ("o.mp4", "o.jsonl", "o.npz"))
    options = ["-o", out, "--jsonl", lines, "--npz", arrays, "--overlay", "landmarks,pose"]
    done = run("video", clip, *options, "--threads", 1)
    assert done.code == 0 and "8 frames, 1 face, " in done.stdout
    with VideoReader(out) as reader, VideoReader(clip) as source:
        drawn = [each.rgb for each in reader.read() if isinstance(each, Shown)]
        plain = [each.rgb for each in source.read() if isinstance(each, Shown)]
    assert len(drawn) == 8 and drawn[0].shape == plain[0].shape
    records = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert [record["frame"] for record in records] == list(range(8))
    change = np.abs(drawn[4].astype(int) - plain[4]).max(2) > 60
    x0, y0, x1, y1 = np.rint(records[4]["box"]).astype(int)
    assert change[y0:y1, x0:x1].mean() > 0.02 and change[y1 + 40 :].mean() < 0.002
    x = [record["landmarks68"][30][0] for record in records]
    assert np.diff(x[3:]).mean() == pytest.approx(2, abs=0.5)
    with np.load(arrays) as loaded:
        np.testing.assert_allclose(loaded["landmarks68"][:, 30, 0], x, atol=1e-4)


@pytest.fixture
def gray(tmp_path: Path) -> Path:
    """A frame without a face."""
    path = tmp_path / "gray.mkv"
    with VideoWriter(path, Fraction(25), Fraction(1, 1000)) as writer:
        writer.write(Shown(np.full((60, 80, 3), 90, np.uint8), 0.0))
    return path


def test_no_face_is_no_failure(run: Run, gray: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    done = run("video", gray, "-o", out)
    assert done.code == 0 and "no face found" in done.stderr and out.is_file()
    assert f"{gray}: 1 frame, 0 faces, " in done.stdout
    assert run("video", gray, "-o", out, "-q") == (0, "", "")


def test_without_the_face_of_a_head_the_rest_is_kept(
    run: Run, gray: Path, outputs: dict[str, Path]
) -> None:
    done = run("video", gray, *chain(*outputs.items()))
    glb = outputs.pop("--glb")
    assert done.code == 1 and f"face 1 was never seen, so {glb} isn't written" in done.stderr
    assert done.stdout.endswith(f" → {', '.join(map(str, outputs.values()))}\n")
    assert all(path.is_file() for path in outputs.values()) and not glb.exists()
    assert run("video", gray, "--glb", glb).stdout.endswith(" frames/s\n")


def test_a_face_that_never_comes_is_told(run: Run, clip: Path, tmp_path: Path) -> None:
    done = run("video", clip, "--csv", tmp_path / "o.csv", "--face", 7, "-q")
    assert done == (1, "", f"prnet: {clip}: face 7 was never seen\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.mp4", "-o", "o.mp4"], 1, "none.mp4: not a video that can be read"),
        (["CLIP"], 2, "name a file to write"),
        (["CLIP", "-o", "CLIP"], 2, "is an input"),
        (["CLIP", "-o", "o.gif"], 2, "o.gif: its name must end in .mp4 or .m4v or "),
        (["CLIP", "--csv", "o.jpg"], 2, "o.jpg: its name must end in .csv"),
        (["CLIP", "--jsonl", "o.json"], 2, "o.json: its name must end in .jsonl"),
        (["CLIP", "--npz", "o"], 2, "o: its name must end in .npz"),
        (["CLIP", "--glb", "o.gltf"], 2, "o.gltf: its name must end in .glb"),
        (["CLIP", "-o", "o.mp4", "--overlay", "glitter"], 2, "'glitter' is not one of landmarks"),
        (["CLIP", "-o", "o.mp4", "--max-faces", "0"], 2, "max-faces"),
    ],
)
def test_what_is_wrong_is_told(
    run: Run,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    done = run("video", *(clip if each == "CLIP" else each for each in arguments))
    assert done.code == code and message in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_nobody_elses_file_is_replaced(run: Run, clip: Path, outputs: dict[str, Path]) -> None:
    """Its own are: the second run writes over the first one's."""
    for _ in range(2):
        assert run("video", clip, *chain(*outputs.items()), "--threads", 1).code == 0
    for path in outputs.values():
        path.write_bytes(b"mine")
    for option, path in outputs.items():
        done = run("video", "none.mp4", option, path)
        assert done.code == 2
        assert f"{path}: is there, and prnet didn't write it; name another file" in done.stderr
    done = run("swap", "none.jpg", "none.mp4", "-o", outputs["-o"])
    assert done.code == 2 and "didn't write it" in done.stderr
    assert {path.read_bytes() for path in outputs.values()} == {b"mine"}


def test_without_pyav_it_says_how_to_get_it(
    run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run("video", clip, "-o", "o.mp4")
    assert done.code == 2 and "pip install 'prnet[video]'" in done.stderr


def test_without_a_camera_webcam_says_so(run: Run) -> None:
    done = run("webcam", "--camera", 97)
    assert done.code == 1 and "camera 97: can't be opened" in done.stderr


def test_a_swap(run: Run, clip: Path, tmp_path: Path) -> None:
    """The same face: the film hardly changes. A face that never comes is told."""
    photo, out = tmp_path / "photo.png", tmp_path / "swapped.mp4"
    pixels = skimage.data.astronaut()[20:260, 40:400]
    cv2.imwrite(str(photo), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    done = run("swap", photo, clip, "-o", out, "--pairs", "1:1,1:7", "--threads", 1)
    assert done.code == 1 and "face 7 never seen" in done.stderr
    assert "8 frames, 1 face, " in done.stdout
    encoded = tmp_path / "encoded.mp4"
    assert run("video", clip, "-o", encoded, "--overlay", "none", "--no-numbers").code == 0
    with VideoReader(out) as reader, VideoReader(encoded) as source:
        swapped = [each for each in reader.read() if isinstance(each, Shown)]
        plain = [each for each in source.read() if isinstance(each, Shown)]
    assert [each.time_s for each in swapped] == [each.time_s for each in plain]
    for one, other in zip(swapped, plain, strict=True):
        change = np.abs(one.rgb.astype(int) - other.rgb).mean()
        assert change < 2
    assert run("swap", photo, photo, "-o", tmp_path / "x.png", "--look-ahead").code == 2
    assert run("swap", photo, clip, "-o", clip).code == 2
    done = run("swap", photo, clip, "-o", tmp_path / "x.avi")
    assert done.code == 2 and "x.avi: its name must end in .png or .mp4 or " in done.stderr
