"""What the commands of `prnet evaluate` share: options, the way from protocol to files."""

import csv
import importlib
import io
import json
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from prnet.cli.extras import need_extra
from prnet.cli.options import ModelOption, ThreadsOption
from prnet.errors import OutputError
from prnet.progress import progress_bar

if TYPE_CHECKING:
    from prnet.evaluate.report import Report

DEFAULT_OUT = Path("prnet-evaluation")
WIDEST = 200  # characters of a table: better broken by the terminal than with a number cut short

R = TypeVar("R")


class Boxes(str, Enum):
    """Where the faces' boxes come from."""

    LABEL = "label"
    DETECTOR = "detector"


class Split(str, Enum):
    """Of the facekit."""

    VAL = "val"
    TRAIN = "train"


OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help=f"Folder for metrics.json, the CSV and the plots; without it, {DEFAULT_OUT}/PROTOCOL.",
    ),
]
BoxesOption = Annotated[
    Boxes, typer.Option(help="Boxes tight around the true landmarks, or the detector's.")
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Only N photos, spread evenly; for a try.")
]


def spread(records: Sequence[R], limit: int | None) -> list[R]:
    """At most so many records, evenly spread."""
    from prnet.geometry.sampling import spread_evenly

    return [records[k] for k in spread_evenly(len(records), limit)]


def start(protocol: str, out: Path | None) -> Path:
    """Find out before the work what would stop it after: make and give the results' folder."""
    need_extra("evaluate")
    folder = out or DEFAULT_OUT / protocol
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't make this folder ({error.strerror})") from error
    return folder


def measure(
    protocol: Callable[..., "Report"], model: Path | None, threads: int | None, folder: Path
) -> None:
    """Run a protocol on a model, with a progress bar on a terminal; print and write its report."""
    from prnet.reconstructor import Reconstructor

    reconstructor = Reconstructor(model, threads=threads)
    with progress_bar("Evaluating") as progress:
        report = protocol(reconstructor=reconstructor, progress=progress)
    finish(report, folder)


def facekit_command(name: str) -> Callable[..., None]:
    """The command of a protocol on the facekit's photos: `evaluate_NAME` of `evaluate/NAME.py`."""

    def run(
        path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
        out: OutOption = None,
        model: ModelOption = None,
        split: Annotated[Split, typer.Option(help="Which photos.")] = Split.VAL,
        limit: LimitOption = None,
        threads: ThreadsOption = None,
    ) -> None:
        """Measure a model by this protocol."""
        folder = start(name, out)
        protocol = getattr(importlib.import_module(f"prnet.evaluate.{name}"), f"evaluate_{name}")
        measure(partial(protocol, path, split=split.value, limit=limit), model, threads, folder)

    return run


def finish(report: "Report", folder: Path) -> None:
    """Print the tables, write everything."""
    from prnet.evaluate.plots import draw_error_curve, draw_examples
    from prnet.files import write_files

    console = Console()
    for each in report.tables:
        table = Table(title=each.title, title_justify="left", box=box.SIMPLE_HEAD)
        for number, name in enumerate(each.columns):
            table.add_column(name, justify="right" if number else "left")
        for row in each.rows:
            table.add_row(*row)
        room = console.options.update(max_width=WIDEST)
        console.width = max(console.width, console.measure(table, options=room).maximum)
        console.print(table)
    for note in report.notes:
        typer.echo(f"prnet: {note}", err=True)
    contents = {folder / "metrics.json": (json.dumps(report.metrics, indent=2) + "\n").encode()}
    if report.rows:
        contents[folder / "rows.csv"] = _csv(report).encode()
    if report.curves:
        contents[folder / "error_curve.png"] = draw_error_curve(report.curves, report.curve_label)
    for name, examples in report.worst.items():
        if examples:
            contents[folder / f"{name}.png"] = draw_examples(examples)
    write_files(contents)
    typer.echo(f"Written to {folder}: {', '.join(path.name for path in contents)}")


def _csv(report: "Report") -> str:
    """The rows under all names that occur, in the order of their first use."""
    names = list(dict.fromkeys(name for row in report.rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(report.rows)
    return stream.getvalue()
