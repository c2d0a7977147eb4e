"""`prnet bench`: milliseconds of each stage."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from prnet.cli.options import ModelOption
from prnet.cli.terminal import print_table

HELP = "Time each stage from photo to GLB for one face, and the whole call; one thread by default."
EXAMPLES = (
    "prnet bench",
    "prnet bench photo.jpg --runs 50 --json",
)


def run(
    photo: Annotated[
        Path | None, typer.Argument(metavar="PHOTO", help="Without it, the sample photo.")
    ] = None,
    model: ModelOption = None,
    threads: Annotated[
        int, typer.Option(min=1, metavar="N", help="CPU threads of every stage.")
    ] = 1,
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds to take medians of.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Time the stages and print their medians."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # detector and NumPy read it when imported
    from prnet.apps.bench import measure, peak_memory_mb

    record: dict[str, Any] = {"threads": threads, "runs": runs}
    record["median_ms"] = measure(photo, model, threads, runs)
    record["peak_memory_mb"] = peak_memory_mb()
    if as_json:
        typer.echo(json.dumps(record, indent=2))
        return
    stages = [(stage, f"{each:.1f}") for stage, each in record["median_ms"].items()]
    print_table(("stage", "median ms"), stages)
    typer.echo("call: a photo's pixels → box, landmarks and pose, in one go")
    typer.echo(f"runs: {runs}, threads: {threads}")
    if record["peak_memory_mb"] is not None:
        typer.echo(f"peak memory: {record['peak_memory_mb']:.0f} MB")
