"""`prnet evaluate PROTOCOL PATH`: a table on stdout; numbers, rows and plots in a folder."""

import csv
import io
import json
import logging
import os
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from prnet.apps.extras import need_extra
from prnet.apps.options import ModelOption, ThreadsOption
from prnet.errors import OutputError

if TYPE_CHECKING:
    from prnet.evaluate.report import Report

DEFAULT_OUT = Path("prnet-evaluation")
WIDEST = 200  # characters of a table: better broken by the terminal than with a number cut short

logger = logging.getLogger(__name__)
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Measure a model by a benchmark's protocol; docs/experiments.md says where the data is.",
)

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


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate facekit ../shared/facekit\n\n"
    "prnet evaluate facekit facekit/ --model runs/lite/model --limit 100 --no-turned"
)
def facekit(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Which photos.")] = Split.VAL,
    turned: Annotated[bool, typer.Option(help="Also copies turned in depth.")] = True,
    detector: Annotated[bool, typer.Option(help="Also with the detector's boxes.")] = True,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Landmarks, shape, openings and detection on the facekit, by source and yaw."""
    folder = _start("facekit", out)
    from prnet.evaluate.facekit import evaluate_facekit

    protocol = partial(
        evaluate_facekit,
        path,
        split=split.value,
        limit=limit,
        turned=turned,
        detector=detector,
    )
    _measure(protocol, model, threads, folder)


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate robustness ../shared/facekit\n\n"
    "prnet evaluate robustness facekit/ --model runs/lite/model --limit 100"
)
def robustness(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Which photos.")] = Split.VAL,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Covered, small, shifted and mirrored faces, and what is none; smoothness and likeness."""
    folder = _start("robustness", out)
    from prnet.evaluate.robustness import evaluate_robustness

    protocol = partial(evaluate_robustness, path, split=split.value, limit=limit)
    _measure(protocol, model, threads, folder)


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate ibug ../shared/facekit\n\n"
    "prnet evaluate ibug facekit/ --model runs/lite/model"
)
def ibug(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Which photos.")] = Split.VAL,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Landmarks and openings against points that humans set, on AFW and Helen."""
    folder = _start("ibug", out)
    from prnet.evaluate.ibug import evaluate_ibug

    _measure(partial(evaluate_ibug, path, split=split.value, limit=limit), model, threads, folder)


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate profiles ../shared/facekit\n\n"
    "prnet evaluate profiles facekit/ --model runs/lite/model --limit 20"
)
def profiles(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Which people.")] = Split.VAL,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only N people.")] = None,
    threads: ThreadsOption = None,
) -> None:
    """Real profiles against points that humans set, and the shape that a front shows, on CFP."""
    folder = _start("profiles", out)
    from prnet.evaluate.profiles import evaluate_profiles

    protocol = partial(evaluate_profiles, path, split=split.value, limit=limit)
    _measure(protocol, model, threads, folder)


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate identities ../shared/facekit\n\n"
    "prnet evaluate identities facekit/ --model runs/lite/model --limit 30"
)
def identities(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Whose photos.")] = Split.VAL,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Shape on warped photos and rendered heads of people whose shape is known exactly."""
    folder = _start("identities", out)
    from prnet.evaluate.identities import evaluate_identities

    protocol = partial(evaluate_identities, path, split=split.value, limit=limit)
    _measure(protocol, model, threads, folder)


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate aflw2000 AFLW2000\n\n"
    "prnet evaluate aflw2000 AFLW2000 --boxes detector --model FOLDER --bfm BFM\n\n"
    "prnet evaluate aflw2000 AFLW2000 --annotations AFLW2000-3D-Reannotated.pts68.npy "
    "--poses AFLW2000-3D-new.pose.npy"
)
def aflw2000(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of .jpg and .mat pairs with pt3d_68.")
    ],
    out: OutOption = None,
    model: ModelOption = None,
    boxes: BoxesOption = Boxes.LABEL,
    bfm: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The Basel Face Model, for dense and reconstruction errors; needs a model with "
            "PRNet's official UV space.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="AFLW2000-3D.pts68.npy or AFLW2000-3D-Reannotated.pts68.npy."
        ),
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="AFLW2000-3D.pose.npy or AFLW2000-3D-new.pose.npy, for the split by yaw; without "
            "it, the yaw of Pose_Para.",
        ),
    ] = None,
    file_list: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="Photos in the order of those files, if not by name."
        ),
    ] = None,
    matlab_pixels: Annotated[
        bool,
        typer.Option(
            "--matlab-pixels",
            help="Take 1 off the annotation's pixels, which count from 1. Published errors don't.",
        ),
    ] = False,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Landmarks in 2D and 3D, pose, and with BFM dense points and shape, on AFLW2000-3D."""
    folder = _start("aflw2000", out)
    from prnet.data.aflw2000 import read_aflw2000, replace_labels
    from prnet.data.bfm import load_bfm
    from prnet.evaluate.aflw2000 import evaluate_aflw2000

    records, left_out = read_aflw2000(path)
    for each in left_out:
        typer.echo(f"prnet: {each}: left out, it has no pt3d_68", err=True)
    records = _spread(replace_labels(records, annotations, poses, file_list), limit)
    if matlab_pixels:
        records = [record.from_zero() for record in records]
    protocol = partial(
        evaluate_aflw2000,
        records,
        detector=boxes is Boxes.DETECTOR,
        bfm=None if bfm is None else load_bfm(bfm),
    )
    _measure(protocol, model, threads, folder)


@app.command(
    "aflw-lfpa",
    epilog="[bold]Examples[/bold]\n\nprnet evaluate aflw-lfpa AFLW-LFPA\n\n"
    "prnet evaluate aflw-lfpa AFLW-LFPA --mapping mapping.json --boxes detector",
)
def aflw_lfpa(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="Folder of .jpg and .mat pairs with pt2d (2, 34)."),
    ],
    out: OutOption = None,
    model: ModelOption = None,
    boxes: BoxesOption = Boxes.LABEL,
    mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON that says which iBUG points each of the 34 is the mean of; without it, the "
            "table in docs/experiments.md.",
        ),
    ] = None,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """The visible ones of 34 points on AFLW-LFPA."""
    folder = _start("aflw-lfpa", out)
    from prnet.data.aflw_lfpa import LFPA34, read_aflw_lfpa, read_mapping
    from prnet.evaluate.aflw_lfpa import evaluate_aflw_lfpa

    records, left_out = read_aflw_lfpa(path)
    for each in left_out:
        typer.echo(f"prnet: {each}: left out, its pt2d isn't (2, 34)", err=True)
    protocol = partial(
        evaluate_aflw_lfpa,
        _spread(records, limit),
        mapping=LFPA34 if mapping is None else read_mapping(mapping),
        detector=boxes is Boxes.DETECTOR,
    )
    _measure(protocol, model, threads, folder)


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate florence scans/\n\n"
    "prnet evaluate florence scans/ --model FOLDER --out out/florence"
)
def florence(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A folder a person, each with scan.obj or scan.ply, landmarks.json and photos; "
            "see docs/experiments.md.",
        ),
    ],
    out: OutOption = None,
    model: ModelOption = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only N people.")] = None,
    threads: ThreadsOption = None,
) -> None:
    """The reconstructed surface against scans, aligned by ICP, with and without landmarks."""
    folder = _start("florence", out)
    from prnet.data.florence import read_florence
    from prnet.evaluate.florence import evaluate_florence

    records = _spread(read_florence(path), limit)
    _measure(partial(evaluate_florence, records), model, threads, folder)


@app.command(
    epilog="[bold]Examples[/bold]\n\nprnet evaluate speed\n\n"
    "prnet evaluate speed photo.jpg --threads 4 --model FOLDER"
)
def speed(
    path: Annotated[
        Path | None, typer.Argument(metavar="PHOTO", help="Without it, the sample photo.")
    ] = None,
    out: OutOption = None,
    model: ModelOption = None,
    threads: Annotated[
        int, typer.Option(min=1, metavar="N", help="CPU threads of every stage.")
    ] = 1,
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds to take medians of.")] = 20,
) -> None:
    """Milliseconds per stage for one face, as `prnet bench`, on record."""
    folder = _start("speed", out)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # detector and NumPy read it when imported
    from prnet.apps.bench import measure
    from prnet.evaluate.report import Report, number
    from prnet.evaluate.report import Table as Numbers

    times = measure(path, model, threads, runs)
    times |= {"all": sum(times.values())}
    rows = [[stage, number(milliseconds, 1)] for stage, milliseconds in times.items()]
    title = f"Median of {runs} runs, {threads} thread(s), ms"
    metrics = {f"{stage}_ms": milliseconds for stage, milliseconds in times.items()}
    metrics |= {"threads": threads, "runs": runs}
    records = [{"stage": stage, "median_ms": each} for stage, each in times.items()]
    _finish(Report(metrics, [Numbers(title, ("stage", "ms"), rows)], records, bars=times), folder)


def _spread(records: Sequence[R], limit: int | None) -> list[R]:
    """At most so many records, evenly spread."""
    count = min(limit or len(records), len(records))
    return [records[round(k * (len(records) - 1) / max(count - 1, 1))] for k in range(count)]


def _start(protocol: str, out: Path | None) -> Path:
    """Find out before the work what would stop it after: make and give the results' folder."""
    need_extra("evaluate")
    folder = out or DEFAULT_OUT / protocol
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't make this folder ({error.strerror})") from error
    return folder


def _measure(
    protocol: Callable[..., "Report"], model: Path | None, threads: int | None, folder: Path
) -> None:
    """Run a protocol on a model, with a progress bar on a terminal; print and write its report."""
    from prnet.reconstructor import Reconstructor

    reconstructor = Reconstructor(model, threads=threads)
    console = Console(stderr=True)
    columns = TextColumn("Evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        report = protocol(
            reconstructor=reconstructor,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _finish(report, folder)


def _finish(report: "Report", folder: Path) -> None:
    """Print the tables, write everything."""
    from prnet.evaluate.plots import draw_bars, draw_error_curve, draw_examples
    from prnet.output.files import write_files

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
    if report.bars:
        contents[folder / "bars.png"] = draw_bars(report.bars, "ms")
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
