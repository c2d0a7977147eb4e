"""`prnet fuse`: several photos of one person → one face."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prnet.cli.options import DeviceOption, ModelOption, ThreadsOption
from prnet.cli.photos import expand_all
from prnet.cli.terminal import FAILED, counted, report, say
from prnet.errors import ImageReadError
from prnet.progress import progress_bar

if TYPE_CHECKING:
    from prnet.face import Face

HELP = """\
Make one 3D face of several photos of the same person.

Of each photo the best face counts. Frontal photos settle the outline,
profiles the depth; expressions are taken away, and each part of the
texture comes from the photo that shows it best.
"""
EXAMPLES = (
    "prnet fuse front.jpg left.jpg right.jpg -o face.glb",
    "prnet fuse photos/ -o face.obj --texture-size 1024",
    "prnet fuse photos/ -o head.glb --head",
)


def run(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO|FOLDER", help="Photos, folders of photos.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The mesh: .glb, .obj or .ply.")
    ],
    head: Annotated[
        bool,
        typer.Option(
            "--head", help="A whole head with eyes, teeth and named expressions; only as .glb."
        ),
    ] = False,
    texture_size: Annotated[
        int, typer.Option(min=16, max=4096, metavar="N", help="Texels a side of the texture.")
    ] = 512,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but what went wrong.")
    ] = False,
) -> None:
    """Fuse the photos' faces."""
    from prnet.apps.outputs import check_output
    from prnet.mesh.files import WRITERS
    from prnet.reconstructor import Reconstructor
    from prnet.video.fuse import fuse

    check_output(out, [".glb"] if head else WRITERS, [Path(each) for each in photos])
    paths, failures = expand_all(photos, recursive=False, quiet=quiet)
    reconstructor = Reconstructor(model, threads=threads, device=device)

    def faces() -> Iterator["Face"]:
        nonlocal failures
        with progress_bar("Fusing", is_shown=not quiet) as progress:
            for done, path in enumerate(paths, 1):
                try:
                    found = reconstructor(path, max_faces=1)
                except ImageReadError as error:
                    failures += 1
                    report(error)
                    continue
                if not found and not quiet:
                    say(f"prnet: {path}: no face found", sys.stderr)
                yield from found
                progress(done, len(paths))

    try:
        fused = fuse(faces(), texture_size)
    except ValueError as error:
        raise ImageReadError(f"nothing to fuse: {error}") from error
    (fused.head() if head else fused).save(out)
    if not quiet:
        say(f"{counted(fused.count, 'photo')} → {out}")
    if failures:
        raise typer.Exit(FAILED)
