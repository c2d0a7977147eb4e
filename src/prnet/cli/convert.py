"""`prnet convert`: PRNet's published weights → a model folder."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra

HELP = """\
Turn PRNet's published weights into a model folder.

Give the folder to `prnet reconstruct --model FOLDER`, or to any command that takes a model.
The weights' authors allow research only.
"""
EXAMPLES = (
    "prnet convert --checkpoint PRNet/Data/net-data/256_256_resfcn256_weight "
    "--uv-data PRNet/Data/uv-data --out prnet-official",
)


def run(
    checkpoint: Annotated[
        Path,
        typer.Option(
            metavar="PREFIX",
            help="TensorFlow checkpoint: the path that its .index and .data files share.",
        ),
    ],
    uv_data: Annotated[Path, typer.Option(metavar="DIR", help="PRNet's folder Data/uv-data.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Model folder; made if missing.")],
) -> None:
    """Convert and say how exact it is."""
    need_extra("train")
    from prnet.export.prnet_official import convert as convert_checkpoint

    difference = convert_checkpoint(checkpoint, uv_data, out)
    typer.echo(f"{out}: converted; ONNX Runtime is within {difference:.1g} pixels of PyTorch")
