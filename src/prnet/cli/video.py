"""`prnet video`: the faces of a video → a video with them drawn in, and files of numbers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prnet.cli.extras import need_extra
from prnet.cli.options import DeviceOption, ModelOption, ThreadsOption
from prnet.cli.terminal import FAILED, INTERRUPTED, counted, say
from prnet.progress import progress_bar

if TYPE_CHECKING:
    from prnet.apps.video import Summary

HELP = """\
Follow the faces of a video.

Reads whatever FFmpeg reads. The video that is written keeps the frames'
times, the picture's rotation and the sound; its faces are drawn in. Each
face has a number that stays the same while it is followed.

What prnet wrote earlier is replaced, and no other file.

Ctrl-C ends the work, and leaves what is done by then.
"""
EXAMPLES = (
    "prnet video clip.mp4 -o faces.mp4",
    "prnet video clip.mp4 -o faces.mp4 --overlay wireframe,pose --max-faces 1",
    "prnet video clip.mp4 --jsonl faces.jsonl --npz faces.npz",
    "prnet video clip.mp4 --csv performance.csv --glb head.glb --max-faces 1",
)
OVERLAYS = "landmarks, pose, wireframe, overlay, shaded, textured, depth, pncc"
MIN_DETECT_S = 0.03

OverlayOption = Annotated[
    str,
    typer.Option(metavar="LIST", help=f"What is drawn, with commas between, or none: {OVERLAYS}."),
]
MaxFacesOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Follow at most N faces.")
]
SmoothOption = Annotated[
    bool, typer.Option("--smooth/--no-smooth", help="Whether jitter is filtered away.")
]
DetectOption = Annotated[
    float,
    typer.Option(
        "--detect-every", min=MIN_DETECT_S, metavar="S", help="Seconds between looks for new faces."
    ),
]


def parse_styles(given: str) -> list[str]:
    """A list with commas → names of styles; none for `none`."""
    from prnet.draw.styles import STYLES

    names = [name.strip().lower() for name in given.split(",")]
    if names == ["none"]:
        return []
    for name in names:
        if name not in STYLES:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(STYLES)}, none")
    return names


def run(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Any file that FFmpeg reads.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The video with faces: .mp4, .m4v, .mov, .mkv, .webm.",
        ),
    ] = None,
    overlay: OverlayOption = "landmarks",
    numbers: Annotated[
        bool, typer.Option("--numbers/--no-numbers", help="Whether each face's number is shown.")
    ] = True,
    jsonl: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A line of JSON for each face and frame: .jsonl."),
    ] = None,
    npz: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same numbers as NumPy arrays: .npz.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="One face's expression and head in Live Link Face's format, radians: .csv.",
        ),
    ] = None,
    glb: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One face's head, animated, with morph targets: .glb."),
    ] = None,
    face: Annotated[
        int, typer.Option(min=1, metavar="ID", help="The number of the face of --csv and --glb.")
    ] = 1,
    max_faces: MaxFacesOption = None,
    smooth: SmoothOption = True,
    look_ahead: Annotated[
        bool,
        typer.Option("--look-ahead", help="Filter with what comes later known: slower, no lag."),
    ] = False,
    detect_every: DetectOption = 1.0,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but what went wrong.")
    ] = False,
) -> None:
    """Follow the faces, frame by frame."""
    need_extra("video")
    from prnet.apps.head_motion import HeadSink
    from prnet.apps.live_link import LiveLinkSink
    from prnet.apps.outputs import check_output
    from prnet.apps.video import Overlay, OverlaySink, Sink, track_video
    from prnet.apps.video_records import ArraysSink, LinesSink
    from prnet.reconstructor import Reconstructor
    from prnet.video.frames import CONTAINERS, VideoReader, VideoWriter
    from prnet.video.tracker import SMOOTH, Tracker

    outputs = {"--out": out, "--jsonl": jsonl, "--npz": npz, "--csv": csv, "--glb": glb}
    given = {option: path for option, path in outputs.items() if path is not None}
    if not given:
        raise typer.BadParameter(f"name a file to write: {', '.join(outputs)}")
    for option, path in given.items():
        endings = CONTAINERS if option == "--out" else [f".{option[2:]}"]
        check_output(path, endings, [Path(video)])
    styles = parse_styles(overlay)
    with VideoReader(video, threads) as reader:
        reconstructor = Reconstructor(model, threads=threads, device=device)
        ahead = SMOOTH if smooth and look_ahead else None
        own = SMOOTH if smooth and not look_ahead else None
        tracker = Tracker(reconstructor, own, detect_every, max_faces)
        sinks: list[Sink] = []
        if jsonl is not None:
            sinks.append(LinesSink(jsonl, video))
        if npz is not None:
            sinks.append(ArraysSink(npz))
        if csv is not None:
            sinks.append(LiveLinkSink(csv, face, reader.rate))
        if glb is not None:
            sinks.append(HeadSink(glb, face))
        if out is not None:
            writer = VideoWriter(out, reader.rate, reader.time_base, reader.audio, threads)
            sinks.append(OverlaySink(writer, Overlay(styles, numbers)))
        with progress_bar("Following", not quiet, "frames") as progress:
            summary = track_video(reader, tracker, sinks, progress, out is not None, ahead)
    is_unseen = face not in summary.ids and not {"--csv", "--glb"}.isdisjoint(given)
    if is_unseen:
        given.pop("--glb", None)  # there is no head to write
    tell(video, summary, list(given.values()), quiet)
    if is_unseen:
        unwritten = "" if glb is None else f", so {glb} isn't written"
        say(f"prnet: {video}: face {face} was never seen{unwritten}", sys.stderr)
    if summary.is_interrupted or is_unseen:
        raise typer.Exit(INTERRUPTED if summary.is_interrupted else FAILED)


def tell(video: str, summary: "Summary", written: list[Path], quiet: bool) -> None:
    """Say what came of it."""
    frames, faces = counted(summary.frames, "frame"), counted(len(summary.ids), "face")
    if summary.skipped:
        say(f"prnet: {video}: {counted(summary.skipped, 'frame')} damaged, left out", sys.stderr)
    if summary.is_interrupted:
        say(f"prnet: {video}: stopped after {frames}", sys.stderr)
    if quiet:
        return
    if not summary.ids:
        say(f"prnet: {video}: no face found", sys.stderr)
    rate = summary.frames / max(summary.seconds, 1e-9)
    places = f" → {', '.join(map(str, written))}" if written else ""
    say(f"{video}: {frames}, {faces}, {rate:.0f} frames/s{places}")
