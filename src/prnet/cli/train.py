"""`prnet train`: recipe → weights."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra

HELP = """\
Train a network by a recipe, or go on where a stopped run's last checkpoint ends.

Writes checkpoint.pt, log.csv, curves.png and run.json; `prnet export` makes a model folder of
it. A longer run: raise `steps` in the recipe and give the command again.
"""
EXAMPLES = (
    "prnet train recipes/lite.toml",
    "prnet train recipes/resfcn256-facekit.toml --devices 8",
)


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file; see recipes/.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run; without it, runs/<recipe's name>."),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes that train together; without it, one a GPU."
        ),
    ] = None,
) -> None:
    """Train, and say what comes next."""
    need_extra("train")
    from prnet.train.run import train as run

    checkpoint = run(recipe, out or Path("runs") / recipe.stem, devices or "auto")
    typer.echo(f"{checkpoint}: trained; next: prnet export {checkpoint.parent} --out FOLDER")
