"""`prnet evaluate florence`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import OutOption, measure, spread, start

HELP = "The reconstructed surface against scans, aligned by ICP, with and without landmarks."
EXAMPLES = (
    "prnet evaluate florence scans/",
    "prnet evaluate florence scans/ --model FOLDER --out out/florence",
)


def run(
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
    """Measure a model by this protocol."""
    folder = start("florence", out)
    from prnet.data.florence import read_florence
    from prnet.evaluate.florence import evaluate_florence

    records = spread(read_florence(path), limit)
    measure(partial(evaluate_florence, records), model, threads, folder)
