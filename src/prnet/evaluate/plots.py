"""Numbers → pictures: curves of training and of errors, the worst results."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from prnet.evaluate.report import Example
from prnet.files import write_files
from prnet.landmarks import PARTS

matplotlib.use("Agg")  # files only; never a window

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

DPI = 110
CURVE_END = 10.0  # per cent of face size, where the error curve ends
COLUMNS = 4  # of pictures side by side
AROUND = 0.35  # shown around a face on each side, in units of its box


def plot_training(
    record: Path,
    out: Path,
    measures: tuple[str, ...] = ("nme",),
    title: str = "NME of the averaged weights (%)",
) -> None:
    """Draw a training run's losses and errors over its steps; terms it doesn't have are left out.

    Args:
        record: The run's CSV, with a `step` column; losses' names begin with `loss_`.
        out: Picture to write; put in place whole.
        measures: What the names of the second picture's columns begin with.
        title: Of that picture.
    """
    with record.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        return
    steps = [int(row["step"]) for row in rows]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    for name in rows[0]:
        if not name.startswith(("loss_", *measures)):
            continue
        axis = axes[0] if name.startswith("loss_") else axes[1]
        values = np.array([float(row[name]) for row in rows])
        if np.nan_to_num(values).any():
            axis.plot(steps, values, label=name)
    axes[0].set(title="terms of the training loss", xlabel="step", yscale="log")
    axes[1].set(title=title, xlabel="step", yscale="log")
    for axis in axes:
        axis.grid(alpha=0.3, which="both")
        axis.legend()
    write_files({out: _png(figure)})


def draw_error_curve(
    curves: Mapping[str, NDArray[np.floating]], label: str, end: float = CURVE_END
) -> bytes:
    """Draw which share of the faces has at most so large an error.

    Args:
        curves: (N,) errors by name; NaN (not found) never counts as good enough.
        label: What the errors are, with their unit.
        end: The largest error shown.

    Returns:
        A PNG file.
    """
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for name, errors in curves.items():
        known = np.sort(errors[~np.isnan(errors)])
        share = 100 * np.arange(len(known) + 1) / len(errors)
        axis.step([0, *known], share, where="post", label=f"{name} ({len(errors)})")
    axis.set(xlim=(0, end), ylim=(0, 100), xlabel=label, ylabel="share of the faces, %")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    return _png(figure)


def draw_examples(examples: Sequence[Example]) -> bytes:
    """Draw results over their photos: truth in green, prediction in red, around each face.

    Sets of 68 points are joined along the parts of the face; points that are NaN aren't drawn.

    Args:
        examples: One or more.

    Returns:
        A PNG file.
    """
    columns = min(COLUMNS, len(examples))
    rows = -(-len(examples) // columns)
    size = (3 * columns, 3.2 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, example in zip(axes.flat, examples, strict=False):
        axis.imshow(example.photo)
        for points, color in ((example.truth, "lime"), (example.predicted, "red")):
            axis.plot(points[:, 0], points[:, 1], ".", color=color, markersize=2)
            for indices, is_closed in PARTS.values() if len(points) == 68 else ():
                line = [*indices, *indices[:is_closed]]
                axis.plot(points[line, 0], points[line, 1], color=color, linewidth=0.7)
        low, high = np.nanmin(example.truth[:, :2], 0), np.nanmax(example.truth[:, :2], 0)
        reach = (0.5 + AROUND) * (high - low).max()
        x, y = (low + high) / 2
        axis.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach))
        axis.set_title(example.title, fontsize=7)
    figure.suptitle("green: truth, red: prediction", fontsize=8)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    """The figure as a PNG file; closes it."""
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, dpi=DPI, format="png")
    plt.close(figure)
    return stream.getvalue()
