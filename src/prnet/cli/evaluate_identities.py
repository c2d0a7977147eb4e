"""`prnet evaluate identities`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import LimitOption, OutOption, Split, measure, start

HELP = "Shape on warped photos and rendered heads of people whose shape is known exactly."
EXAMPLES = (
    "prnet evaluate identities ../shared/facekit",
    "prnet evaluate identities facekit/ --model runs/lite/model --limit 30",
)


def run(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Whose photos.")] = Split.VAL,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure a model by this protocol."""
    folder = start("identities", out)
    from prnet.evaluate.identities import evaluate_identities

    protocol = partial(evaluate_identities, path, split=split.value, limit=limit)
    measure(protocol, model, threads, folder)
