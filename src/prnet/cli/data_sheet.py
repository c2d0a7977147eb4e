"""`prnet data sheet`: a look at what training sees."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra
from prnet.errors import OutputError

HELP = """\
Draw samples of a recipe with their landmarks and wireframes, to look at before training.

The first time it rotates the photos in depth, as training does, which takes a quarter hour.
"""
EXAMPLES = ("prnet data sheet recipes/lite.toml --out samples.png",)


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A training recipe.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="PNG to write.")] = Path("samples.png"),
) -> None:
    """Draw one batch."""
    need_extra("train")
    if out.suffix.lower() != ".png":
        raise OutputError(f"{out}: the picture is a PNG, so its name must end in .png")
    from prnet.files import encode_png, write_files
    from prnet.train.batches import TrainingBatches
    from prnet.train.networks import build_network, load_atlas
    from prnet.train.recipe import load_recipe
    from prnet.train.sheet import draw_sheet
    from prnet.train.sources import open_data

    config = load_recipe(recipe)
    uv = load_atlas(config.network)
    training, _, targets = open_data(config, build_network(config.network, uv), uv)
    write_files({out: encode_png(draw_sheet(TrainingBatches(training, config), targets))})
    typer.echo(f"{out}: {config.batch_size} samples")
