"""`prnet batch`: folders too large for one process."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra
from prnet.cli.options import MIN_SCORE, DeviceOption, ModelOption
from prnet.cli.photos import expand_all
from prnet.cli.terminal import FAILED

HELP = """\
Reconstruct very many photos into a Parquet data set, a row a face, by Ray Data.

INPUT is a folder (with all folders in it), a glob, a .txt with a path or an s3:// or gs:// address
a line, a Parquet file with a column of paths or bytes, or several of these. A second start goes on
where the first was stopped, however it was stopped. A photo that fails gets a row with the cause.
"""
EXAMPLES = (
    "prnet batch photos/ -o faces",
    "prnet batch 'archive/*/portrait*.jpg' list.txt -o faces --workers 8 --vertices",
    "prnet batch crawl.parquet -o /shared/faces --address ray://head:10001 --workers 64",
)


def run(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT…", help="What to reconstruct.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DATASET", help="Folder of the data set.")
    ],
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes of one thread each; without it, one a core."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Of a Ray cluster that sees photos and DATASET; else this machine."
        ),
    ] = None,
    max_faces: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most N faces a photo, the best.")
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="X", help="Leave out faces of a lower score."),
    ] = MIN_SCORE,
    vertices: Annotated[
        bool,
        typer.Option(
            "--vertices", help="Also each face's vertices without its pose, cm, 16 bits: 376 KB."
        ),
    ] = False,
    meshes: Annotated[bool, typer.Option("--meshes", help="Also a GLB of each face.")] = False,
    crops: Annotated[
        bool, typer.Option("--crops", help="Also a PNG of each face, as `prnet align` cuts it.")
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Do them all."""
    need_extra("batch")
    from prnet.batch.inputs import find_photos
    from prnet.batch.run import run_batch
    from prnet.batch.work import Wanted
    from prnet.model.model import usable_cores
    from prnet.progress import progress_bar

    failures = 0

    def expand(folder: Path, recursive: bool) -> list[Path]:
        nonlocal failures
        found, failed = expand_all([str(folder)], recursive)
        failures += failed
        return found

    photos = find_photos(inputs, expand)
    if failures and not photos:
        raise typer.Exit(FAILED)
    wanted = Wanted(
        str(out.absolute()),
        None if model is None else str(model.absolute()),
        device,
        min_score,
        max_faces,
        vertices,
        meshes,
        crops,
    )
    with progress_bar("Reconstructing", things="faces") as progress:
        done = run_batch(photos, wanted, workers or usable_cores(), address, tell=progress)
    rate = f", {done.faces / done.seconds:.1f} faces/s" if done.faces else ""
    earlier = f" ({done.before} were done)" if done.before else ""
    typer.echo(f"{out}: {done.photos} photos{earlier}, {done.faces} faces{rate}")
    if done.failed:
        typer.echo(f"prnet: {done.failed} photos failed: see the rows with an error", err=True)
    if done.failed or failures:
        raise typer.Exit(FAILED)
