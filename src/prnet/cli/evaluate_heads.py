"""`prnet evaluate heads`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import LimitOption, OutOption, Split, measure, start

HELP = "Heads of photos: how near they are to the network's faces, and their skin without a seam."
EXAMPLES = (
    "prnet evaluate heads ../shared/facekit",
    "prnet evaluate heads facekit/ --model runs/lite/model",
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
    folder = start("heads", out)
    from prnet.evaluate.heads import evaluate_heads

    protocol = partial(evaluate_heads, path, split=split.value, limit=limit)
    measure(protocol, model, threads, folder)
