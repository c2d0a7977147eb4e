"""`prnet evaluate expression`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import LimitOption, OutOption, Split, measure, start

HELP = "Expression weights against human points and MediaPipe's scores, on AFW and Helen."
EXAMPLES = (
    "prnet evaluate expression ../shared/facekit",
    "prnet evaluate expression facekit/ --model runs/lite/model",
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
    folder = start("expression", out)
    from prnet.evaluate.expression import evaluate_expression

    protocol = partial(evaluate_expression, path, split=split.value, limit=limit)
    measure(protocol, model, threads, folder)
