"""`prnet evaluate facekit`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import LimitOption, OutOption, Split, measure, start

HELP = "Landmarks, shape, openings and detection on the facekit, by source and yaw."
EXAMPLES = (
    "prnet evaluate facekit ../shared/facekit",
    "prnet evaluate facekit facekit/ --model runs/lite/model --limit 100 --no-rotated",
)


def run(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    model: ModelOption = None,
    split: Annotated[Split, typer.Option(help="Which photos.")] = Split.VAL,
    rotated: Annotated[bool, typer.Option(help="Also copies rotated in depth.")] = True,
    detector: Annotated[bool, typer.Option(help="Also with the detector's boxes.")] = True,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure a model by this protocol."""
    folder = start("facekit", out)
    from prnet.evaluate.facekit import evaluate_facekit

    protocol = partial(
        evaluate_facekit,
        path,
        split=split.value,
        limit=limit,
        rotated=rotated,
        detector=detector,
    )
    measure(protocol, model, threads, folder)
