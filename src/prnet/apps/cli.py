"""The command line, `prnet`: one thin function each command."""

import io
import json
import logging
import os
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from prnet import __version__
from prnet.apps import research
from prnet.apps.extras import need_extra
from prnet.apps.options import ModelOption, ThreadsOption
from prnet.errors import ImageReadError, LabelError, PRNetError

if TYPE_CHECKING:
    from prnet.apps.results import ResultFolder
    from prnet.reconstructor import Reconstructor

# exit codes: some inputs failed; the command can't be done as given; as a shell says of Ctrl-C
FAILED, USAGE, INTERRUPTED = 1, 2, 130
DEMO_FOLDER = Path("prnet-demo")

logger = logging.getLogger(__name__)
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class MeshFormat(str, Enum):
    """The mesh files that prnet writes."""

    GLB = "glb"
    OBJ = "obj"
    PLY = "ply"


def _examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["[bold]Examples[/bold]", *lines])


def _print_version(is_wanted: bool) -> None:
    """Answer `prnet --version`."""
    if is_wanted:
        typer.echo(f"prnet {__version__}")
        raise typer.Exit


@app.callback(epilog=_examples("prnet demo", "prnet reconstruct photo.jpg --out out"))
def _prepare(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """3D faces from single photos.

    Exit codes: 0 all done; 1 some inputs failed (named on stderr, the rest written); 2 wrong usage.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("prnet").setLevel(logging.DEBUG if debug else logging.WARNING)


@app.command(epilog=_examples("prnet demo", "prnet demo --out somewhere/else"))
def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; made if missing.")
    ] = DEMO_FOLDER,
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Reconstruct a sample photo and write everything that prnet makes of a face."""
    from prnet.apps.results import ResultFolder, Wanted
    from prnet.apps.sample import write_sample_photo
    from prnet.reconstructor import Reconstructor

    reconstructor = Reconstructor(model, threads=threads)
    everything = Wanted(
        tuple(each.value for each in MeshFormat),
        depth=True,
        texture=True,
        position_map=True,
        pncc=True,
    )
    results = ResultFolder(out, everything, photos=[])
    photo = write_sample_photo(out)
    written = _reconstruct_photo(photo, photo.stem, reconstructor, results)
    typer.echo("\n".join(["Written:", *(f"  {path}" for path in (photo, *written))]))
    overlay, mesh = photo.with_name(f"{photo.stem}_overlay.png"), photo.with_suffix(".glb")
    typer.echo(f"\nLook at {overlay}, and open {mesh} in any 3D viewer.")
    typer.echo("Then try a photo of your own: prnet reconstruct photo.jpg --out out")


@app.command(
    epilog=_examples(
        "prnet reconstruct photo.jpg --out out",
        "prnet reconstruct holiday/ portrait.png --out out --format obj --format ply --texture",
        "prnet reconstruct group.jpg --out out --max-faces 3 --depth --pncc",
        "prnet reconstruct photo.jpg --out out --boxes boxes.json",
    )
)
def reconstruct(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO|FOLDER", help="Photos, and folders of photos."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; made if missing.")
    ],
    formats: Annotated[
        list[MeshFormat], typer.Option("--format", help="Mesh file; may be given several times.")
    ] = [MeshFormat.GLB],  # noqa: B006
    depth: Annotated[
        bool,
        typer.Option(
            "--depth",
            help="Also <name>_depth.png, 16 bit: 0 no face, 1…65535 the .json's depth_range.",
        ),
    ] = False,
    texture: Annotated[
        bool, typer.Option("--texture", help="Also <name>_texture.png, RGBA in UV space.")
    ] = False,
    position_map: Annotated[
        bool, typer.Option("--position-map", help="Also <name>_position_map.npy, photo pixels.")
    ] = False,
    pncc: Annotated[
        bool, typer.Option("--pncc", help="Also <name>_pncc.png, the photo's size.")
    ] = False,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON with the faces' boxes, tight around the 68 landmarks; nothing is detected "
            'then: {"photo.jpg": \\[\\[x0, y0, x1, y1], …], …}, or for one photo just the list.',
        ),
    ] = None,
    max_faces: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="At most N faces a photo: the largest, or the first boxes."
        ),
    ] = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Turn photos into 3D faces.

    Writes for each photo a mesh per face (<name>.glb for the largest,
    <name>_face2.glb for the second, …), <name>.json with each face's box,
    score, pose and landmarks, and <name>_overlay.png. <name> is the photo's
    without extension, or <name>-2 where another photo has it already.

    A photo without a face isn't a failure: its .json lists none, and stderr
    says so.
    """
    from prnet.apps.inputs import expand, name_results, read_boxes
    from prnet.apps.results import ResultFolder, Wanted
    from prnet.reconstructor import Reconstructor

    found: list[Path] = []
    failures = 0
    for path in photos:
        try:
            found += expand(path)
        except ImageReadError as error:
            failures += 1
            _report(error)
    names = name_results(found)
    boxes_of = {} if boxes is None else read_boxes(boxes, list(names))
    reconstructor = Reconstructor(model, threads=threads)
    wanted = Wanted(
        tuple(dict.fromkeys(each.value for each in formats)), depth, texture, position_map, pncc
    )
    results = ResultFolder(out, wanted, names)
    console = Console(stderr=True)
    with Progress(
        console=console,
        disable=not console.is_terminal or len(names) < 2,
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        for photo in progress.track(names, description="Reconstructing"):
            try:
                given = boxes_of.get(photo)
                if boxes is not None and given is None:
                    raise ValueError(f"{boxes} has no boxes for it")
                _reconstruct_photo(photo, names[photo], reconstructor, results, given, max_faces)
            except (PRNetError, ValueError) as error:
                failures += 1
                _report(error, photo)
    if failures:
        raise typer.Exit(FAILED)


def _reconstruct_photo(
    photo: Path,
    name: str,
    reconstructor: "Reconstructor",
    results: "ResultFolder",
    boxes: Any = None,
    max_faces: int | None = None,
) -> list[Path]:
    """Do one photo, say what came of it, and give the files written."""
    from prnet.image.read import read_image

    image = read_image(photo)
    faces = reconstructor(image, boxes, max_faces)
    written = results.write(photo, name, image, faces)
    if faces:
        count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
        _say(f"{photo}: {count} → {written[-1]}")
    else:
        _say(f"prnet: {photo}: no face found", sys.stderr)
    return written


@app.command(
    epilog=_examples(
        "prnet bench",
        "prnet bench photo.jpg --runs 50 --json",
        "prnet bench --peers ../shared/facekit",
    )
)
def bench(
    photo: Annotated[
        Path | None, typer.Argument(metavar="PHOTO", help="Without it, the sample photo.")
    ] = None,
    model: ModelOption = None,
    threads: Annotated[
        int, typer.Option(min=1, metavar="N", help="CPU threads of every stage.")
    ] = 1,
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds to take medians of.")] = 20,
    peers: Annotated[
        Path | None,
        typer.Option(
            metavar="FACEKIT",
            help="Also compare networks, one thread each: the model's, 3DDFA_V2's encoder (the "
            "facekit's init/mb05_120x120.pth without its last layer) and the paper's with random "
            "weights; needs PyTorch.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Time each stage from photo to GLB for one face, on one thread unless told otherwise."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # detector and NumPy read it when imported
    from prnet.apps.bench import measure

    if peers is not None:
        need_extra("train")
    record: dict[str, Any] = {"threads": threads, "runs": runs}
    record["median_ms"] = measure(photo, model, threads, runs)
    if peers is not None:
        from prnet.apps.peers import compare_with_peers

        record["networks"] = compare_with_peers(model, peers, runs)
    if as_json:
        typer.echo(json.dumps(record, indent=2))
        return
    stages = [(stage, f"{each:.1f}") for stage, each in record["median_ms"].items()]
    _print_table(("stage", "median ms"), stages)
    typer.echo(f"runs: {runs}, threads: {threads}")
    if peers is not None:
        networks = [
            (name, f"{each['median_ms']:.1f}", f"{each['ratio']:.2f}")
            for name, each in record["networks"].items()
        ]
        _print_table(("network", "median ms", "ratio"), networks)
        typer.echo(f"runs: {runs}, in turn, threads: 1; mb05_encoder is without its last layer")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print names in the first column and numbers in the others."""
    table = Table(*(Column(name, justify="right") for name in columns))
    table.columns[0].justify = "left"
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _report(error: Exception, photo: Path | None = None) -> None:
    """Tell on stderr what went wrong, in one line that names the photo."""
    logger.debug("", exc_info=error)
    text = " ".join(line.strip() for line in str(error).splitlines())
    if photo is not None and str(photo) not in text:
        text = f"{photo}: {text}"
    _say(f"prnet: {text}", sys.stderr)


def _say(line: str, stream: TextIO | None = None) -> None:
    """Write a line; unlike `typer.echo` above a progress bar that is on the screen."""
    (stream or sys.stdout).write(f"{line}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leaves by SystemExit with the exit code.

    Args:
        arguments: Without the program's name; None for those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no file's name may be unprintable
            stream.reconfigure(errors="backslashreplace")
    try:
        app(arguments, prog_name="prnet")
    except KeyboardInterrupt:  # so early that typer didn't see it
        sys.exit(INTERRUPTED)
    except (PRNetError, ValueError) as error:
        _report(error)
        sys.exit(FAILED if isinstance(error, (ImageReadError, LabelError)) else USAGE)


research.register(app)

if __name__ == "__main__":
    main()
