"""`prnet evaluate aflw2000`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.protocol import Boxes, BoxesOption, LimitOption, OutOption, measure, spread, start

HELP = "Landmarks in 2D and 3D, pose, and with BFM dense points and shape, on AFLW2000-3D."
EXAMPLES = (
    "prnet evaluate aflw2000 AFLW2000",
    "prnet evaluate aflw2000 AFLW2000 --boxes detector --model FOLDER --bfm BFM",
    "prnet evaluate aflw2000 AFLW2000 --annotations AFLW2000-3D-Reannotated.pts68.npy "
    "--poses AFLW2000-3D-new.pose.npy",
)


def run(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of .jpg and .mat pairs with pt3d_68.")
    ],
    out: OutOption = None,
    model: ModelOption = None,
    boxes: BoxesOption = Boxes.LABEL,
    bfm: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The Basel Face Model, for dense and reconstruction errors; needs a model with "
            "PRNet's official UV space.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="AFLW2000-3D.pts68.npy or AFLW2000-3D-Reannotated.pts68.npy."
        ),
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="AFLW2000-3D.pose.npy or AFLW2000-3D-new.pose.npy, for the split by yaw; without "
            "it, the yaw of Pose_Para.",
        ),
    ] = None,
    file_list: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="Photos in the order of those files, if not by name."
        ),
    ] = None,
    matlab_pixels: Annotated[
        bool,
        typer.Option(
            "--matlab-pixels",
            help="Take 1 off the annotation's pixels, which count from 1. Published errors don't.",
        ),
    ] = False,
    limit: LimitOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure a model by this protocol."""
    folder = start("aflw2000", out)
    from prnet.data.aflw2000 import read_aflw2000, replace_labels
    from prnet.data.bfm import load_bfm
    from prnet.evaluate.aflw2000 import evaluate_aflw2000

    records, left_out = read_aflw2000(path)
    for each in left_out:
        typer.echo(f"prnet: {each}: left out, it has no pt3d_68", err=True)
    records = spread(replace_labels(records, annotations, poses, file_list), limit)
    if matlab_pixels:
        records = [record.from_zero() for record in records]
    protocol = partial(
        evaluate_aflw2000,
        records,
        detector=boxes is Boxes.DETECTOR,
        bfm=None if bfm is None else load_bfm(bfm),
    )
    measure(protocol, model, threads, folder)
