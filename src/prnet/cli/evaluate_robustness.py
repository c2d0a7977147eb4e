"""`prnet evaluate robustness`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import LimitOption, OutOption, Split, measure, start

HELP = "Covered, small, shifted and mirrored faces, and what is none; smoothness and likeness."
EXAMPLES = (
    "prnet evaluate robustness ../shared/facekit",
    "prnet evaluate robustness facekit/ --model runs/lite/model --limit 100",
)


def run(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Which photos.")] = Split.VAL,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure a model by this protocol."""
    folder = start("robustness", out)
    from prnet.evaluate.robustness import evaluate_robustness

    protocol = partial(evaluate_robustness, path, split=split.value, limit=limit)
    measure(protocol, model, threads, folder)
