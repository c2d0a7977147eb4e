"""What researchers run: the commands that need the extras of training and evaluation."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from prnet.apps import evaluate
from prnet.apps.extras import need_extra
from prnet.errors import OutputError

FAILED = 1  # exit code: some inputs failed

data = typer.Typer(no_args_is_help=True, help="Make training data out of labelled data sets.")


def register(app: typer.Typer) -> None:
    """Add the research commands to the command line."""
    app.add_typer(data, name="data")
    app.add_typer(evaluate.app, name="evaluate")
    app.command(epilog=TRAIN_EXAMPLE)(train)
    app.command(epilog=EXPORT_EXAMPLE)(export)
    app.command(epilog=CONVERT_EXAMPLE)(convert)


@data.command(
    epilog="[bold]Examples[/bold]\n\n"
    "prnet data w300lp --root 300W_LP --bfm bfm --out cache/300wlp\n\n"
    "prnet data w300lp --root 300W_LP --bfm bfm --out cache/300wlp --flipped --processes 16"
)
def w300lp(
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="300W-LP, with the folders AFW, HELEN, IBUG, LFPW.")
    ],
    bfm: Annotated[
        Path,
        typer.Option(metavar="DIR", help="BFM 2009, as 3DDFA or face3d pack it, with its UVs."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the records go.")],
    flipped: Annotated[
        bool, typer.Option("--flipped", help="Also the mirrored folders AFW_Flip and so on.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Side of the cut-outs; without it, 384."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many work at it; without it, one per core."),
    ] = None,
) -> None:
    """Make float position maps of 300W-LP through the Basel Face Model.

    Writes for each photo <folder>/<name>.npz with a cut-out around the face and its position map,
    about 0.7 MB. A run that was stopped goes on where it was when it is given again.
    """
    need_extra("evaluate")  # SciPy reads the .mat files
    from prnet.data.w300lp import CUTOUT_SIZE, build_maps

    console = Console(stderr=True)
    with Progress(
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        task = progress.add_task("Position maps", total=None)
        built = build_maps(
            root,
            bfm,
            out,
            flipped=flipped,
            size=size or CUTOUT_SIZE,
            processes=processes,
            report=lambda done, total: progress.update(task, completed=done, total=total),
        )
    text = f"{out}: {built.made} records made, {built.kept} kept"
    if built.made:
        text += f"; BFM's points lie {built.distance:.1f}% of face size from the labels' own"
    typer.echo(text)
    for failure in built.failures:
        typer.echo(f"prnet: {failure}", err=True)
    if built.failures:
        typer.echo(
            f"prnet: {len(built.failures)} photos failed; mend or delete them and run again",
            err=True,
        )
        raise typer.Exit(FAILED)


@data.command(
    epilog="[bold]Example[/bold]\n\nprnet data atlas ../shared/facekit/ict_face_model.npz "
    "--out src/prnet/assets/lite/atlas.npz"
)
def atlas(
    face_model: Annotated[Path, typer.Argument(metavar="FILE", help="ict_face_model.npz")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Atlas to write.")],
) -> None:
    """Rebuild the UV atlas from the face model; equal input gives equal bytes."""
    from prnet.data.face_model import load_ict_face_model
    from prnet.uv.build_atlas import build_atlas

    built = build_atlas(load_ict_face_model(face_model).mesh)
    try:
        built.save(out)
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error})") from error
    typer.echo(f"{out}: {len(built.vertex_index)} vertices, {len(built.triangles)} triangles")


@data.command(epilog="[bold]Example[/bold]\n\nprnet data sheet recipes/lite.toml --out samples.png")
def sheet(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A training recipe.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="PNG to write.")] = Path("samples.png"),
) -> None:
    """Draw samples of a recipe with their landmarks and wireframes, to look at before training.

    The first time it turns the photos in depth, as training does, which takes a quarter hour.
    """
    need_extra("train")
    if out.suffix.lower() != ".png":
        raise OutputError(f"{out}: the picture is a PNG, so its name must end in .png")
    from prnet.output.files import encode_png, write_files
    from prnet.train.config import load_recipe
    from prnet.train.dataset import TrainingBatches
    from prnet.train.loop import open_data
    from prnet.train.networks import build_network, load_atlas
    from prnet.train.sheet import draw_sheet

    config = load_recipe(recipe)
    uv = load_atlas(config.network)
    training, _, targets = open_data(config, build_network(config.network, uv), uv)
    write_files({out: encode_png(draw_sheet(TrainingBatches(training, config), targets))})
    typer.echo(f"{out}: {config.batch_size} samples")


TRAIN_EXAMPLE = (
    "[bold]Examples[/bold]\n\nprnet train recipes/lite.toml\n\n"
    "prnet train recipes/resfcn256-facekit.toml --devices 8"
)
EXPORT_EXAMPLE = (
    "[bold]Example[/bold]\n\nprnet export runs/lite --out model --licence 'research only'"
)


def train(
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
    """Train a network by a recipe, or go on where a stopped run's last checkpoint ends.

    Writes checkpoint.pt, log.csv, curves.png and run.json; `prnet export` makes a model folder of
    it. A longer run: raise `steps` in the recipe and give the command again.
    """
    need_extra("train")
    from prnet.train.loop import train as run

    checkpoint = run(recipe, out or Path("runs") / recipe.stem, devices or "auto")
    typer.echo(f"{checkpoint}: trained; next: prnet export {checkpoint.parent} --out FOLDER")


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Model folder; made if missing.")],
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="What the weights may be used for.")
    ] = "as the training data allows",
    half: Annotated[
        bool, typer.Option("--half", help="Round weights to 16 bits: half the size.")
    ] = False,
) -> None:
    """Turn a training run's averaged weights into a model folder, checked against PyTorch."""
    need_extra("train")
    from prnet.train.export import export_run

    difference = export_run(run, out, licence, half)
    typer.echo(f"{out}: exported; ONNX Runtime is within {difference:.1g} pixels of PyTorch")


CONVERT_EXAMPLE = (
    "[bold]Example[/bold]\n\n"
    "prnet convert --checkpoint PRNet/Data/net-data/256_256_resfcn256_weight "
    "--uv-data PRNet/Data/uv-data --out prnet-official"
)


def convert(
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
    """Turn PRNet's published weights into a model folder.

    Give the folder to `prnet reconstruct --model FOLDER`, or to any command that takes a model.
    The weights' authors allow research only.
    """
    need_extra("train")
    from prnet.train.convert import convert as convert_checkpoint

    difference = convert_checkpoint(checkpoint, uv_data, out)
    typer.echo(f"{out}: converted; ONNX Runtime is within {difference:.1g} pixels of PyTorch")
