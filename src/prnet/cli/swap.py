"""`prnet swap`: one face on another."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra
from prnet.cli.one_face import find_faces, pick
from prnet.cli.options import ModelOption, ThreadsOption
from prnet.cli.terminal import FAILED, INTERRUPTED, say

HELP = """\
Put the face of a photo on the faces of another, or of a video, in their pose, expression and light.

A video keeps its frames' times and its sound; its faces have the numbers that `prnet video` shows.

Only with the consent of the people shown: a swapped face can deceive and hurt. Say that a picture
or a video is made where you show it.
"""
EXAMPLES = (
    "prnet swap me.jpg friend.jpg -o swapped.png",
    "prnet swap group.jpg group.jpg --pairs 1:2,2:1 -o swapped.png",
    "prnet swap me.jpg clip.mp4 -o swapped.mp4",
)
Pairs = list[tuple[int, int]]  # number of a face of SOURCE, and of TARGET


def run(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Photo with the face to use.")],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Photo or video whose faces get it.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="PNG to write; for a video .mp4, .m4v, .mov, .mkv or .webm. Replaces what prnet "
            "wrote, and no other file.",
        ),
    ],
    pairs: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="SOURCE's face:TARGET's face, 1 the best of each (of a video, the first seen), "
            "with commas between; all: every face of TARGET gets SOURCE's of its number, or the "
            "first where there are fewer.",
        ),
    ] = "all",
    look_ahead: Annotated[
        bool,
        typer.Option("--look-ahead", help="Smooth a video with what comes later known: no lag."),
    ] = False,
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Swap."""
    from prnet.apps.outputs import check_output
    from prnet.video.frames import CONTAINERS

    chosen = None if pairs == "all" else _parse(pairs)
    is_video = out.suffix.lower() in CONTAINERS
    if is_video:
        need_extra("video")
    check_output(out, [".png", *CONTAINERS], (source, target))
    if is_video:
        _swap_video(source, target, out, chosen, look_ahead, model, threads)
    elif look_ahead:
        raise typer.BadParameter("is for videos", param_hint="--look-ahead")
    else:
        _swap_photo(source, target, out, chosen, model, threads)


def _swap_photo(
    source: Path,
    target: Path,
    out: Path,
    chosen: Pairs | None,
    model: Path | None,
    threads: int | None,
) -> None:
    """Swap faces of a photo."""
    from dataclasses import replace

    from prnet.apps.pictures import write_picture
    from prnet.apps.swap import swap_face
    from prnet.reconstructor import Reconstructor

    reconstructor = Reconstructor(model, threads=threads)
    sources, targets = (find_faces(reconstructor, photo) for photo in (source, target))
    if chosen is None:
        chosen = [
            (number if number <= len(sources) else 1, number)
            for number in range(1, len(targets) + 1)
        ]
    picture = targets[0].image
    assert picture is not None
    for from_face, to_face in chosen:
        face = replace(pick(targets, to_face, target), image=picture)
        picture = swap_face(pick(sources, from_face, source), face)
    write_picture(out, picture)
    typer.echo(f"{out}: {len(chosen)} face{'s' if len(chosen) != 1 else ''} of {target} swapped")


def _swap_video(
    source: Path,
    target: Path,
    out: Path,
    chosen: Pairs | None,
    look_ahead: bool,
    model: Path | None,
    threads: int | None,
) -> None:
    """Swap faces of a video."""
    from prnet.apps.swap_video import VideoSwap
    from prnet.apps.video import OverlaySink, track_video
    from prnet.cli.video import tell
    from prnet.progress import progress_bar
    from prnet.reconstructor import Reconstructor
    from prnet.video.frames import VideoReader, VideoWriter
    from prnet.video.tracker import SMOOTH, Tracker

    with VideoReader(target, threads) as reader:
        reconstructor = Reconstructor(model, threads=threads)
        sources = find_faces(reconstructor, source)
        wanted = None if chosen is None else {to: pick(sources, of, source) for of, to in chosen}
        swap = VideoSwap(sources if wanted is None else wanted)
        tracker = Tracker(reconstructor, None if look_ahead else SMOOTH)
        writer = VideoWriter(out, reader.rate, reader.time_base, reader.audio, threads)
        with progress_bar("Swapping", things="frames") as progress:
            summary = track_video(
                reader,
                tracker,
                [OverlaySink(writer, swap)],
                progress,
                with_sound=True,
                look_ahead=SMOOTH if look_ahead else None,
            )
    tell(str(target), summary, [out], quiet=False)
    unseen = sorted((wanted or {}).keys() - swap.seen)
    if unseen:
        numbers = " and ".join(map(str, unseen))
        say(f"prnet: {target}: face {numbers} never seen, so not swapped", sys.stderr)
    if summary.is_interrupted or unseen:
        raise typer.Exit(INTERRUPTED if summary.is_interrupted else FAILED)


def _parse(pairs: str) -> Pairs:
    """Numbers of "1:2,2:1".

    Raises:
        BadParameter: Not such a list.
    """
    try:
        return [(int(a), int(b)) for a, b in (each.split(":") for each in pairs.split(","))]
    except ValueError:
        raise typer.BadParameter(
            f"pairs are numbers as in 1:2,2:1, or all; got {pairs!r}", param_hint="--pairs"
        ) from None
