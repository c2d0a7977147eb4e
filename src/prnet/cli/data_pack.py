"""`prnet data pack`: a facekit → what training on one device reads."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.progress import progress_bar

HELP = """\
Pack a facekit for training on one device: photos as squares around the faces, labels, face model.

The files are small enough to carry to another machine; each part holds random photos, so that one
part alone serves for a trial.
"""
EXAMPLES = (
    "prnet data pack ../shared/facekit --out cache/pack",
    "prnet data pack ../shared/facekit --out cache/pack --part-mb 25",
)


def run(
    facekit: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the facekit.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the parts go; made if missing.")],
    part_mb: Annotated[
        float, typer.Option(min=1, metavar="MB", help="Largest size of a part.")
    ] = 60.0,
) -> None:
    """Write the parts."""
    from prnet.data.facekit import FACE_MODEL_FILE
    from prnet.data.pack import pack_facekit
    from prnet.morphable.linear import load_ict_face_model

    model = load_ict_face_model(facekit / FACE_MODEL_FILE)
    with progress_bar("Packing") as report:
        written = pack_facekit(facekit, out, model, part_mb=part_mb, report=report)
    size = sum(path.stat().st_size for path in written) / 1e6
    typer.echo(f"{out}: {len(written)} files, {size:.0f} MB")
