"""`prnet reconstruct`: photos → meshes, records and pictures in a folder."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from prnet.cli.options import MIN_SCORE, DeviceOption, ModelOption, ThreadsOption
from prnet.cli.photos import expand_all
from prnet.cli.terminal import FAILED, INTERRUPTED, counted, report, say
from prnet.errors import LabelError, OutputError
from prnet.progress import progress_bar

if TYPE_CHECKING:
    from prnet.apps.results import ResultFolder
    from prnet.face import Face
    from prnet.reconstructor import Reconstructor

HELP = """\
Turn photos into 3D faces.

Writes for each photo a mesh per face (<name>.glb for the best,
<name>_face2.glb for the second, …), <name>.json with each face's box,
score, pose and landmarks, and <name>_overlay.png. <name> is the photo's
without extension, or <name>-2 where another photo has it already, in the
same run or an earlier one: one of another path and content.

What an earlier run wrote of a photo is replaced. No other file is: where
one is in the way, the photo fails.

A photo without a face isn't a failure: its .json lists none, and stderr
says so.
"""
EXAMPLES = (
    "prnet reconstruct photo.jpg -o out",
    "prnet reconstruct holiday/ portrait.png -o out --format obj,ply --texture",
    "prnet reconstruct archive/ -o out --recursive --skip-existing",
    "prnet reconstruct archive/ -o out --format none --no-overlay --jsonl faces.jsonl",
    "prnet reconstruct photo.jpg -o out --head",
    "prnet reconstruct group.jpg -o out --max-faces 3 --depth --pncc",
    "prnet reconstruct photo.jpg -o out --boxes boxes.json",
    "curl -s https://example.org/photo.jpg | prnet reconstruct - -o out",
)

logger = logging.getLogger(__name__)


class MeshFormat(str, Enum):
    """The mesh files that prnet writes."""

    GLB = "glb"
    OBJ = "obj"
    PLY = "ply"


def _parse_formats(given: list[str]) -> tuple[str, ...]:
    """Lists with commas, given once or several times → names without repetition."""
    names = [name.strip().lower() for each in given for name in each.split(",")]
    known = [each.value for each in MeshFormat]
    for name in names:
        if name not in (*known, "none"):
            message = f"{name!r} is not one of {', '.join(known)}, none"
            raise typer.BadParameter(message, param_hint="--format")
    if "none" in names and len(set(names)) > 1:
        raise typer.BadParameter("none stands alone", param_hint="--format")
    return tuple(dict.fromkeys(name for name in names if name != "none"))


def run(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO|FOLDER|-", help="Photos, folders of photos, - for standard input."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the results; made if missing."),
    ],
    formats: Annotated[
        list[str],
        typer.Option(
            "--format",
            metavar="LIST",
            help="Mesh files: glb, obj, ply with commas between them, or none.",
        ),
    ] = ["glb"],  # noqa: B006
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="Whether to write <name>_overlay.png.")
    ] = True,
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
    head: Annotated[
        bool,
        typer.Option("--head", help="Also <name>_head.glb, a whole head that can be animated."),
    ] = False,
    topology: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also <name>_topology.obj, the face in this mesh's polygons: an OBJ with the "
            "atlas's UVs, or the .npz of `prnet data wrap`.",
        ),
    ] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="The texture in a GLB is a PNG, not a JPEG.")
    ] = False,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also one file for all photos: a line of JSON for each face."
        ),
    ] = None,
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
            min=1,
            metavar="N",
            help="At most N faces a photo: the best by score times size, or the first boxes.",
        ),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, metavar="X", help="Leave out detected faces of a lower score."
        ),
    ] = MIN_SCORE,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Also the photos of folders in folders.")
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out photos whose results are there; a photo is told by its content.",
        ),
    ] = False,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but what went wrong.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more: each face's score, size and pose.")
    ] = False,
) -> None:
    """Do one photo after the other; a bad one stops no other."""
    from prnet.apps.inputs import name_results, read_boxes, without_results
    from prnet.apps.results import ResultFolder, Wanted
    from prnet.reconstructor import Reconstructor
    from prnet.uv.topology import Topology

    meshes = _parse_formats(formats)
    found, failures = expand_all(photos, recursive, quiet)
    for result in set(found) - set(kept := without_results(found)):
        say(f"prnet: {result}: a result of prnet's, left out", sys.stderr)
    boxes_of, strangers = ({}, []) if boxes is None else read_boxes(boxes, list(name_results(kept)))
    if strangers and not quiet:
        fit = "1 name fits" if len(strangers) == 1 else f"{len(strangers)} names fit"
        say(f"prnet: {boxes}: {fit} no photo ({shorten(', '.join(strangers), 60)})", sys.stderr)
    reconstructor = Reconstructor(model, threads=threads, device=device)
    atlas = reconstructor.model.atlas
    try:
        mesh = None if topology is None else Topology.load(topology, atlas.canonical_map)
    except LabelError as error:
        raise ValueError(error) from error  # nothing is done without it
    wanted = Wanted(meshes, overlay, depth, texture, position_map, pncc, head, mesh, lossless)
    results = ResultFolder(out, wanted, kept)
    names = name_results(kept, results.may_have)
    tell = Telling(quiet, verbose)
    with (
        _open_lines(jsonl) as lines,
        progress_bar("Reconstructing", is_shown=len(names) > 1 and not quiet) as progress,
    ):
        done = 0
        try:
            for photo, name in names.items():
                progress(done, len(names))
                try:
                    given = boxes_of.get(photo)
                    if boxes is not None and given is None:
                        raise ValueError("has no boxes for it")
                    if skip_existing and results.is_done(photo, name):
                        tell.skipped(photo)
                    else:
                        reconstruct_photo(
                            photo, name, reconstructor, results, given, max_faces, min_score, tell
                        )
                    if lines is not None:
                        lines.writelines(f"{line}\n" for line in results.lines(name))
                except Exception as error:  # whatever one photo raises, the others are done
                    failures += 1
                    is_of_boxes = boxes is not None and isinstance(error, ValueError)
                    report(ValueError(f"{boxes}: {error}") if is_of_boxes else error, str(photo))
                done += 1
        except KeyboardInterrupt:
            say(f"prnet: stopped after {done} of {len(names)} photos", sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        progress(done, done)
    if failures:
        raise typer.Exit(FAILED)


class Telling:
    """What a run says of its photos.

    Args:
        quiet: Nothing of those that are done.
        verbose: A line for each face, too.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet, self.verbose = quiet, verbose

    def skipped(self, photo: Path) -> None:
        """Its results were there."""
        if not self.quiet:
            say(f"{photo}: done already")

    def done(self, photo: Path, faces: "list[Face]", written: list[Path]) -> None:
        """Its results are written."""
        if self.quiet:
            return
        if not faces:
            say(f"prnet: {photo}: no face found", sys.stderr)
            return
        say(f"{photo}: {counted(len(faces), 'face')} → {written[-1]}")
        for number, face in enumerate(faces if self.verbose else [], 1):
            x0, y0, x1, y1 = face.box
            pose = face.pose
            say(
                f"  face {number}: score {face.score:.2f}, {x1 - x0:.0f}×{y1 - y0:.0f} px at "
                f"({x0:.0f}, {y0:.0f}), yaw {pose.yaw:.0f}°, pitch {pose.pitch:.0f}°, "
                f"roll {pose.roll:.0f}°"
            )

    def left_out(self, photo: Path, scores: list[float], min_score: float) -> None:
        """Faces of a low score aren't taken."""
        if scores and not self.quiet:
            say(
                f"prnet: {photo}: {counted(len(scores), 'face')} left out, the best of score "
                f"{max(scores):.2f} (--min-score {min_score:g})",
                sys.stderr,
            )


def reconstruct_photo(
    photo: Path,
    name: str,
    reconstructor: "Reconstructor",
    results: "ResultFolder",
    boxes: Any = None,
    max_faces: int | None = None,
    min_score: float = MIN_SCORE,
    tell: Telling | None = None,
) -> list[Path]:
    """Do one photo, say what came of it, and give the files written."""
    from prnet.apps.inputs import STDIN
    from prnet.image.read import read_image

    tell = tell or Telling()
    image = read_image(io.BytesIO(sys.stdin.buffer.read()) if photo == STDIN else photo)
    faces = reconstructor(image, boxes, max_faces if boxes is not None else None)
    if boxes is None:
        low = [face.score for face in faces if face.score < min_score]
        faces = [face for face in faces if face.score >= min_score][:max_faces]
        tell.left_out(photo, low, min_score)
    written = results.write(photo, name, image, faces)
    tell.done(photo, faces, written)
    return written


@contextmanager
def _open_lines(path: Path | None) -> Iterator[TextIO | None]:
    """The file of `--jsonl`, which takes its name once all is done; never in another's place."""
    from prnet.apps.outputs import check_own
    from prnet.files import write_aside

    if path is None:
        yield None
        return
    check_own(path, ".jsonl")
    try:
        with write_aside(path) as aside, aside.open("w", encoding="utf-8") as lines:
            yield lines
    except OSError as error:
        raise OutputError(f"{path}: can't write this file ({error.strerror})") from error
