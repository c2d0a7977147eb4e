"""`prnet export`: a training run → a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra

HELP = "Turn a training run's averaged weights into a model folder, checked against PyTorch."
EXAMPLES = ("prnet export runs/lite --out model --licence 'research only'",)


def run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Model folder; made if missing.")],
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="What the weights may be used for.")
    ] = "as the training data allows",
    half: Annotated[
        bool, typer.Option("--half", help="Round weights to 16 bits: half the size.")
    ] = False,
) -> None:
    """Export and say how exact it is."""
    need_extra("train")
    from prnet.export.onnx import export_run

    difference = export_run(run, out, licence, half)
    typer.echo(f"{out}: exported; ONNX Runtime is within {difference:.1g} pixels of PyTorch")
