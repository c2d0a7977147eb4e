"""`prnet demo`: a sample photo and everything that prnet makes of it."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.reconstruct import MeshFormat, reconstruct_photo

DEMO_FOLDER = Path("prnet-demo")

HELP = "Reconstruct a sample photo and write everything that prnet makes of a face."
EXAMPLES = (
    "prnet demo",
    "prnet demo --out somewhere/else",
)


def run(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the results; made if missing."),
    ] = DEMO_FOLDER,
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Reconstruct the sample photo."""
    from prnet.apps.results import ResultFolder, Wanted
    from prnet.apps.sample import SAMPLE_NAME, write_sample_photo
    from prnet.reconstructor import Reconstructor

    reconstructor = Reconstructor(model, threads=threads)
    everything = Wanted(
        tuple(each.value for each in MeshFormat),
        overlay=True,
        depth=True,
        texture=True,
        position_map=True,
        pncc=True,
    )
    results = ResultFolder(out, everything, photos=[out / SAMPLE_NAME])
    photo = write_sample_photo(out)
    written = reconstruct_photo(photo, photo.stem, reconstructor, results)
    typer.echo("\n".join(["Written:", *(f"  {path}" for path in (photo, *written))]))
    overlay, mesh = photo.with_name(f"{photo.stem}_overlay.png"), photo.with_suffix(".glb")
    typer.echo(f"\nLook at {overlay}, and open {mesh} in any 3D viewer.")
    typer.echo("Then try a photo of your own: prnet reconstruct photo.jpg --out out")
