"""What a protocol found out: numbers by name, tables to print, rows per photo, pictures to draw."""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.evaluate.metrics import BinMeans, mean_by_yaw

Row = dict[str, Any]  # what was measured of one photo, by name; what wasn't is not there
NOTHING = "–"  # in a table, where there is no number


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: What its numbers are, with their unit.
        columns: Names; the first column holds the rows' names.
        rows: As many texts each as there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Example:
    """One result to look at.

    Attributes:
        title: What it is.
        photo: (H, W, 3) uint8 RGB.
        predicted: (P, 2 or 3) float, photo frame; NaN for points that aren't to be shown.
        truth: (P, 2 or 3) float, photo frame, likewise.
    """

    title: str
    photo: NDArray[np.uint8]
    predicted: NDArray[np.floating]
    truth: NDArray[np.floating]


@dataclass(frozen=True)
class Report:
    """Everything that a protocol gives.

    Attributes:
        metrics: Plain numbers by name; no NaN: what couldn't be measured isn't there.
        tables: To print, in order.
        rows: Per measured photo.
        curves: (N,) errors in per cent by what they are, NaN for faces not found: for the
            cumulative curve.
        worst: The worst results, worst first, by the name of their picture.
        notes: What the reader must know, as files that were left out.
        curve_label: What the curves' errors are.
    """

    metrics: Mapping[str, float]
    tables: Sequence[Table]
    rows: Sequence[Row]
    curves: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    worst: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    curve_label: str = "68-point NME, % of face size"


class Worst:
    """Keeps the examples of largest error, so that not every photo stays in memory."""

    def __init__(self, count: int = 12) -> None:
        self._count = count
        self._heap: list[tuple[float, int, Example]] = []
        self._added = 0

    def add(self, error: float, example: Example) -> None:
        """Keep an example if it is among the worst so far."""
        self._added += 1
        heapq.heappush(self._heap, (error, -self._added, example))
        if len(self._heap) > self._count:
            heapq.heappop(self._heap)

    def examples(self) -> list[Example]:
        """The worst, worst first; of equal ones the one added first."""
        return [example for _, _, example in sorted(self._heap, reverse=True, key=lambda e: e[:2])]


def number(value: float, digits: int = 2) -> str:
    """A number as a table shows it; NaN is `NOTHING`."""
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}"


def known(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are numbers: without the NaN ones; floats of NumPy become Python's."""
    plain = {
        name: value if isinstance(value, int) else float(value) for name, value in metrics.items()
    }
    return {name: value for name, value in plain.items() if not math.isnan(value)}


def column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    """One number of all rows: (N,) float64, NaN where it wasn't measured."""
    return np.array([row.get(name, np.nan) for row in rows], np.float64)


def where(rows: Sequence[Row], name: str, value: str) -> list[Row]:
    """The rows in which a column has a value."""
    return [row for row in rows if row[name] == value]


def yaw_cells(means: BinMeans) -> list[str]:
    """The mean and the number of photos of each bin of yaw, as a table shows them."""
    return [
        f"{number(mean)} ({means.counts[name]})" if means.counts[name] else NOTHING
        for name, mean in means.bins.items()
    ]


YAW_COLUMNS = "", "photos", "mean", "median", "0–30°", "30–60°", "60–90°", "mean of bins"


def found_share(rows: Sequence[Row], name: str) -> float:
    """Per cent of the rows in which an error was measured, the face being found."""
    return 100 * float((~np.isnan(column(rows, name))).mean())


def summarise_errors(
    title: str, rows: Sequence[Row], kinds: Mapping[str, str]
) -> tuple[dict[str, float], Table]:
    """Average errors over all photos and by yaw.

    Args:
        title: The table's.
        rows: With `yaw_deg`.
        kinds: Titles by the name of the error; those that no row has are left out.

    Returns:
        Metrics: for each kind `<name>`, the plain mean, `<name>_median`, `<name>_yaw_0_30`, …,
        `<name>_mean_of_bins`; and a table of them with `YAW_COLUMNS`.
    """
    metrics: dict[str, float] = {}
    cells = []
    for name, kind in kinds.items():
        errors = column(rows, name)
        if np.isnan(errors).all():
            continue
        means = mean_by_yaw(errors, column(rows, "yaw_deg"))
        median = float(np.nanmedian(errors))
        metrics |= {name: means.mean, f"{name}_median": median}
        metrics |= {f"{name}_yaw_{key}": mean for key, mean in means.bins.items()}
        metrics[f"{name}_mean_of_bins"] = means.mean_of_bins
        count = str(sum(means.counts.values()))
        averages = number(means.mean), number(median)
        cells.append([kind, count, *averages, *yaw_cells(means), number(means.mean_of_bins)])
    return metrics, Table(title, YAW_COLUMNS, cells)
