"""`prnet data w300lp`: 300W-LP's labels → position maps."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra
from prnet.cli.terminal import FAILED
from prnet.progress import progress_bar

HELP = """\
Make float position maps of 300W-LP through the Basel Face Model.

Writes for each photo <folder>/<name>.npz with a face crop around the face and its position map,
about 0.7 MB. A run that was stopped goes on where it was when it is given again.
"""
EXAMPLES = (
    "prnet data w300lp --root 300W_LP --bfm bfm --out cache/300wlp",
    "prnet data w300lp --root 300W_LP --bfm bfm --out cache/300wlp --flipped --processes 16",
)


def run(
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
        typer.Option(min=1, metavar="PIXELS", help="Side of the face crops; without it, 384."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many work at it; without it, one per core."),
    ] = None,
) -> None:
    """Make the records that are missing."""
    need_extra("evaluate")  # SciPy reads the .mat files
    from prnet.data.w300lp import FACE_CROP_SIZE, build_maps

    with progress_bar("Position maps") as report:
        built = build_maps(
            root,
            bfm,
            out,
            flipped=flipped,
            size=size or FACE_CROP_SIZE,
            processes=processes,
            report=report,
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
