"""`prnet evaluate speed`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption
from prnet.cli.protocol import OutOption, finish, start

HELP = "Milliseconds per stage for one face, as `prnet bench`, on record."
EXAMPLES = (
    "prnet evaluate speed",
    "prnet evaluate speed photo.jpg --threads 4 --model FOLDER",
)


def run(
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
    """Measure a model by this protocol."""
    folder = start("speed", out)
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
    finish(Report(metrics, [Numbers(title, ("stage", "ms"), rows)], records, bars=times), folder)
