"""`prnet evaluate profiles`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import OutOption, Split, measure, start

HELP = "Real profiles against points that humans set, and the shape that a front shows, on CFP."
EXAMPLES = (
    "prnet evaluate profiles ../shared/facekit",
    "prnet evaluate profiles facekit/ --model runs/lite/model --limit 20",
)


def run(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Which people.")] = Split.VAL,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only N people.")] = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure a model by this protocol."""
    folder = start("profiles", out)
    from prnet.evaluate.profiles import evaluate_profiles

    protocol = partial(evaluate_profiles, path, split=split.value, limit=limit)
    measure(protocol, model, threads, folder)
