import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure

from prnet.evaluate import plots
from prnet.evaluate.plots import draw_error_curve, draw_examples, plot_training
from prnet.evaluate.report import Example

BLUE, ORANGE = np.array([31, 119, 180]), np.array([255, 127, 14])  # matplotlib's first two


def pixels(png: bytes) -> np.ndarray:
    return np.array(PIL.Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that became pictures so far."""
    drawn: list[Figure] = []
    save = plots._png

    def remember(figure: Figure) -> bytes:
        drawn.append(figure)
        return save(figure)

    monkeypatch.setattr(plots, "_png", remember)
    return drawn


def test_a_training_record_becomes_a_picture(tmp_path: Path, figures: list[Figure]) -> None:
    record = tmp_path / "log.csv"
    record.write_text(
        "step,hours,loss_total,loss_shape,nme\n100,1,3.0,2.5,9.0\n200,2,2.0,1.5,5.0\n",
        encoding="utf-8",
    )
    plot_training(record, tmp_path / "curves.png")
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "curves.png"}
    (figure,) = figures
    drawn = [
        {line.get_label(): np.transpose(line.get_data()).tolist() for line in axes.lines}
        for axes in figure.axes
    ]
    assert drawn == [
        {"loss_total": [[100, 3], [200, 2]], "loss_shape": [[100, 2.5], [200, 1.5]]},
        {"nme": [[100, 9], [200, 5]]},
    ]
    legends = [[text.get_text() for text in axes.get_legend().texts] for axes in figure.axes]
    assert legends == [list(lines) for lines in drawn]
    picture = pixels((tmp_path / "curves.png").read_bytes())
    left, right = np.array_split(picture, 2, axis=1)
    blue, orange = np.array([31, 119, 180]), np.array([255, 127, 14])  # matplotlib's first two
    assert [(np.abs(left - colour).max(2) < 10).any() for colour in (blue, orange)] == [True] * 2
    assert [(np.abs(right - colour).max(2) < 10).any() for colour in (blue, orange)] == [
        True,
        False,
    ]


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
    assert (np.abs(one - BLUE).max(2) < 10).any() and (np.abs(two - ORANGE).max(2) < 10).any()
    assert not (np.abs(one - ORANGE).max(2) < 10).any()


@pytest.mark.parametrize("points", [68, 5])
def test_examples_show_truth_and_prediction(points: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 60, (points, 3))
    photo = np.full((80, 80, 3), 128, np.uint8)
    picture = pixels(draw_examples([Example(str(k), photo, truth + 5, truth) for k in range(5)]))
    red, green, blue = np.moveaxis(picture, 2, 0)
    assert ((red > 200) & (green < 80) & (blue < 80)).any()
    assert ((green > 200) & (red < 80) & (blue < 80)).any()
