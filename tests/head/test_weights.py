import json
from pathlib import Path

import numpy as np
import pytest

from prnet.head.weights import read_weights
from prnet.morphable.head_model import embedded_head

NAMES = embedded_head().expression_names


def test_an_object_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text('{"jawOpen": 0.5, "MouthSmileLeft": 1, "tongueOut": 0.3}')
    frames = read_weights(path, NAMES)
    assert frames.times.tolist() == [0]
    expected = {"jawOpen": 0.5, "mouthSmileLeft": 1.0}
    assert frames.weights[0].tolist() == [expected.get(name, 0) for name in NAMES]


def test_a_faces_own_expression_is_read(tmp_path: Path) -> None:
    weights = dict(zip(NAMES, np.linspace(0, 1, len(NAMES)).round(4).tolist(), strict=True))
    (tmp_path / "own.json").write_text(json.dumps(weights))
    np.testing.assert_allclose(
        read_weights(tmp_path / "own.json", NAMES).weights[0], list(weights.values()), atol=1e-6
    )


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_many_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    values = [0.0, 0.25, 1.0]
    if suffix == "json":
        path.write_text(json.dumps([{"jawOpen": value} for value in values]))
    else:
        path.write_text("JawOpen,EyeBlinkLeft\n" + "".join(f"{value},0.5\n" for value in values))
    frames = read_weights(path, NAMES)
    assert frames.weights[:, NAMES.index("jawOpen")].tolist() == values
    np.testing.assert_allclose(frames.times, [0, 1 / 30, 2 / 30])


def test_times_are_the_files(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text("time,jawOpen\n2.5,0\n3,1\n")
    assert read_weights(path, NAMES).times.tolist() == [0, 0.5]


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("a.json", '{"smile": 1}', "'smile' is not one of ARKit's"),
        ("a.json", '{"jawOpen": 1.5}', r"jawOpen must lie in \[0, 1\], got 1.5"),
        ("a.json", '{"jawOpen": "wide"}', "could not convert"),
        ("a.json", '{"jawOpen": null}', "NoneType"),
        ("a.json", "[]", "no weights"),
        ("a.json", "[3]", "weights by name, got int"),
        ("a.json", "{", "property name"),
        ("a.csv", "", "no weights"),
        ("a.csv", "jawOpen\n1,2\n", "not one of ARKit's"),
        ("a.csv", "time,jawOpen\n1,0\n1,1\n", "times must rise"),
        ("a.txt", "", r"are \.json or \.csv"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, name: str, text: str, cause: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name}: can't read expression weights .*{cause}"):
        read_weights(tmp_path / name, NAMES)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.json: can't read .*No such file"):
        read_weights(tmp_path / "none.json", NAMES)
