import numpy as np
import pytest

from prnet.evaluate.report import (
    YAW_COLUMNS,
    Example,
    Table,
    Worst,
    column,
    found_share,
    known,
    number,
    summarise_errors,
)


def test_the_worst_are_kept_worst_first() -> None:
    worst = Worst(3)
    points = np.zeros((2, 2))
    for k, error in enumerate([1.0, 5.0, 3.0, 5.0, 2.0, 0.5]):
        worst.add(error, Example(str(k), np.zeros((1, 1, 3), np.uint8), points, points))
    assert [example.title for example in worst.examples()] == ["1", "3", "2"]


def test_a_number_that_is_none_shows_as_a_dash() -> None:
    assert number(1.005) == "1.00"
    assert number(99.94, 1) == "99.9"
    assert number(float("nan")) == "–"


def test_metrics_without_a_value_are_left_out_and_plain() -> None:
    metrics = known({"count": 3, "a": np.float64(1.5), "b": np.nan})
    assert metrics == {"count": 3, "a": 1.5}
    assert type(metrics["a"]) is float and type(metrics["count"]) is int


def test_a_column_has_a_gap_where_nothing_was_measured() -> None:
    np.testing.assert_array_equal(column([{"a": 1}, {"b": 2}], "a"), [1, np.nan])


def test_errors_are_summarised_by_yaw() -> None:
    rows = [
        {"yaw_deg": 0.0, "x": 1.0},
        {"yaw_deg": -20.0, "x": 3.0},
        {"yaw_deg": 45.0, "x": 5.0},
        {"yaw_deg": -90.0, "x": 9.0},
        {"yaw_deg": 90.0},  # not found
    ]
    metrics, table = summarise_errors("Errors", rows, {"x": "an error", "y": "another"})
    assert metrics == pytest.approx(
        {
            **{"x": 4.5, "x_median": 4, "x_yaw_0_30": 2, "x_yaw_30_60": 5, "x_yaw_60_90": 9},
            "x_mean_of_bins": 16 / 3,
        }
    )
    cells = ["an error", "4", "4.50", "4.00", "2.00 (2)", "5.00 (1)", "9.00 (1)", "5.33"]
    assert table == Table("Errors", YAW_COLUMNS, [cells])
    assert len(cells) == len(YAW_COLUMNS)
    assert found_share(rows, "x") == 80
