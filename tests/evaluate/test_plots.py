import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from prnet.evaluate.plots import draw_error_curve, draw_examples, plot_training
from prnet.evaluate.report import Example


def pixels(png: bytes) -> np.ndarray:
    return np.array(PIL.Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_a_training_record_becomes_a_picture(tmp_path: Path) -> None:
    record = tmp_path / "log.csv"
    record.write_text("step,loss_total,nme\n100,3.0,9.0\n200,2.0,5.0\n", encoding="utf-8")
    plot_training(record, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "curves.png"}


def test_terms_that_a_run_does_not_have_are_left_out(tmp_path: Path) -> None:
    pictures = []
    for name, values in {
        "has": ("", "", ""),
        "has not": (",loss_shape,nme_rotated", ",0,nan", ",0,nan"),
    }.items():
        head, first, second = values
        record, picture = tmp_path / f"{name}.csv", tmp_path / f"{name}.png"
        record.write_text(f"step,loss_total,nme{head}\n1,3.0,9.0{first}\n2,2.0,5.0{second}\n")
        plot_training(record, picture)
        pictures.append(pixels(picture.read_bytes()))
    np.testing.assert_array_equal(*pictures)


def test_an_error_curve_draws_a_line_for_each_set() -> None:
    errors = np.array([1.0, 2.0, np.nan, 30.0])
    one = pixels(draw_error_curve({"a": errors}, "NME, %"))
    two = pixels(draw_error_curve({"a": errors, "b": 2 * errors}, "NME, %"))
    blue, orange = np.array([31, 119, 180]), np.array([255, 127, 14])  # matplotlib's first two
    assert (np.abs(one - blue).max(2) < 10).any() and (np.abs(two - orange).max(2) < 10).any()
    assert not (np.abs(one - orange).max(2) < 10).any()


@pytest.mark.parametrize("points", [68, 5])
def test_examples_show_truth_and_prediction(points: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 60, (points, 3))
    photo = np.full((80, 80, 3), 128, np.uint8)
    picture = pixels(draw_examples([Example(str(k), photo, truth + 5, truth) for k in range(5)]))
    red, green, blue = np.moveaxis(picture, 2, 0)
    assert ((red > 200) & (green < 80) & (blue < 80)).any()
    assert ((green > 200) & (red < 80) & (blue < 80)).any()
