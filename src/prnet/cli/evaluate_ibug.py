"""`prnet evaluate ibug`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import LimitOption, OutOption, Split, measure, start

HELP = "Landmarks and openings against points that humans set, on AFW and Helen."
EXAMPLES = (
    "prnet evaluate ibug ../shared/facekit",
    "prnet evaluate ibug facekit/ --model runs/lite/model",
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
    folder = start("ibug", out)
    from prnet.evaluate.ibug import evaluate_ibug

    protocol = partial(evaluate_ibug, path, split=split.value, limit=limit)
    measure(protocol, model, threads, folder)
