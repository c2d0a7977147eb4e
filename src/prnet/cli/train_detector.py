"""`prnet train-detector`: recipe → the face detector."""

import dataclasses
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from prnet.cli.extras import need_extra

HELP = """\
Train the face detector by a recipe, for as long as it says.

Writes log.csv, curves.png, weights.pt, and detector.onnx, which `prnet evaluate detector
--detector` measures.
"""
EXAMPLES = (
    "prnet train-detector recipes/detector.toml",
    "prnet train-detector recipes/detector.toml --minutes 30 --start runs/detector/weights.pt",
)


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file; see recipes/.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run; without it, runs/<recipe's name>."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="In place of the recipe's.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="In place of the recipe's.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights to begin with.")
    ] = None,
) -> None:
    """Train, export, and say where the file is."""
    need_extra("train")
    from prnet.export.detector import export_detector
    from prnet.files import write_files
    from prnet.train.detector import train_detector
    from prnet.train.detector_recipe import load_detector_recipe

    given = {"minutes": minutes, "workers": workers, "start": None if start is None else str(start)}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = dataclasses.replace(load_detector_recipe(recipe), **changes)
    logging.getLogger("prnet.train").setLevel(logging.INFO)
    folder = out or Path("runs") / recipe.stem
    network = train_detector(settings, folder)
    path = folder / "detector.onnx"
    content = export_detector(network, {"recipe": dataclasses.asdict(settings)})
    write_files({path: content})
    typer.echo(f"{path}: trained; next: prnet evaluate detector FACEKIT --detector {path}")
