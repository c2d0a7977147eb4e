"""`prnet reconstruct`: photos → meshes, records and pictures in a folder."""

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.terminal import FAILED, report, say
from prnet.errors import ImageReadError, PRNetError
from prnet.progress import progress_bar

if TYPE_CHECKING:
    from prnet.apps.results import ResultFolder
    from prnet.reconstructor import Reconstructor

HELP = """\
Turn photos into 3D faces.

Writes for each photo a mesh per face (<name>.glb for the largest,
<name>_face2.glb for the second, …), <name>.json with each face's box,
score, pose and landmarks, and <name>_overlay.png. <name> is the photo's
without extension, or <name>-2 where another photo has it already.

A photo without a face isn't a failure: its .json lists none, and stderr
says so.
"""
EXAMPLES = (
    "prnet reconstruct photo.jpg --out out",
    "prnet reconstruct holiday/ portrait.png --out out --format obj --format ply --texture",
    "prnet reconstruct group.jpg --out out --max-faces 3 --depth --pncc",
    "prnet reconstruct photo.jpg --out out --boxes boxes.json",
)


class MeshFormat(str, Enum):
    """The mesh files that prnet writes."""

    GLB = "glb"
    OBJ = "obj"
    PLY = "ply"


def run(
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
    """Do one photo after the other; a bad one stops no other."""
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
            report(error)
    names = name_results(found)
    boxes_of = {} if boxes is None else read_boxes(boxes, list(names))
    reconstructor = Reconstructor(model, threads=threads)
    wanted = Wanted(
        tuple(dict.fromkeys(each.value for each in formats)), depth, texture, position_map, pncc
    )
    results = ResultFolder(out, wanted, names)
    with progress_bar("Reconstructing", is_shown=len(names) > 1) as progress:
        for done, photo in enumerate(names):
            progress(done, len(names))
            try:
                given = boxes_of.get(photo)
                if boxes is not None and given is None:
                    raise ValueError(f"{boxes} has no boxes for it")
                reconstruct_photo(photo, names[photo], reconstructor, results, given, max_faces)
            except (PRNetError, ValueError) as error:
                failures += 1
                report(error, photo)
        progress(len(names), len(names))
    if failures:
        raise typer.Exit(FAILED)


def reconstruct_photo(
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
        say(f"{photo}: {count} → {written[-1]}")
    else:
        say(f"prnet: {photo}: no face found", sys.stderr)
    return written
