"""`prnet evaluate aflw-lfpa`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import Boxes, BoxesOption, LimitOption, OutOption, measure, spread, start

HELP = "The visible ones of 34 points on AFLW-LFPA."
EXAMPLES = (
    "prnet evaluate aflw-lfpa AFLW-LFPA",
    "prnet evaluate aflw-lfpa AFLW-LFPA --mapping mapping.json --boxes detector",
)


def run(
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
    """Measure a model by this protocol."""
    folder = start("aflw-lfpa", out)
    from prnet.data.aflw_lfpa import LFPA34, read_aflw_lfpa, read_mapping
    from prnet.evaluate.aflw_lfpa import evaluate_aflw_lfpa

    records, left_out = read_aflw_lfpa(path)
    for each in left_out:
        typer.echo(f"prnet: {each}: left out, its pt2d isn't (2, 34)", err=True)
    protocol = partial(
        evaluate_aflw_lfpa,
        spread(records, limit),
        mapping=LFPA34 if mapping is None else read_mapping(mapping),
        detector=boxes is Boxes.DETECTOR,
    )
    measure(protocol, model, threads, folder)
