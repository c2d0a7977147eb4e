"""`prnet train`: recipe → weights."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra

HELP = """\
Train a network by a recipe, or go on where a stopped run's last checkpoint ends.

Writes checkpoint.pt, log.csv, curves.png and run.json; `prnet export` makes a model folder of
it. A longer run: raise `steps` in the recipe and give the command again.

A recipe that names a pack (`prnet data pack`) trains wholly on one device and ends by the
clock; its weights.pt takes the checkpoint's place.
"""
EXAMPLES = (
    "prnet train recipes/lite.toml",
    "prnet train recipes/lite-gpu.toml",
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
    from prnet.train.device_config import DeviceConfig
    from prnet.train.on_device import train_on_device
    from prnet.train.recipe import load_any_recipe
    from prnet.train.run import train

    config, folder = load_any_recipe(recipe), out or Path("runs") / recipe.stem
    if isinstance(config, DeviceConfig):
        if devices is not None:
            raise typer.BadParameter("a recipe that names a pack trains on one device")
        trained = train_on_device(config, folder)
    else:
        trained = train(recipe, folder, devices or "auto")
    typer.echo(f"{trained}: trained; next: prnet export {folder} --out FOLDER")
