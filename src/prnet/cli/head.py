"""`prnet head`: a photo → a head that can be animated."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import DeviceOption, ModelOption, ThreadsOption
from prnet.cli.terminal import FAILED, counted, say

HELP = """\
Turn the face of a photo into a whole head: eyes, teeth, tongue, skull, and
ARKit's expressions as morph targets, in a GLB that any viewer opens.

The head has the photo's expression, or that of --weights; several frames
of weights become an animation.
"""
EXAMPLES = (
    "prnet head photo.jpg -o head.glb",
    "prnet head photo.jpg -o scene.glb --scene",
    "prnet head photo.jpg -o talking.glb --weights captured.csv",
)


def run(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO|-", help="Photo, - for standard input.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="GLB to write.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Other expression weights by ARKit's names: JSON, or CSV with a line a frame.",
        ),
    ] = None,
    scene: Annotated[
        bool,
        typer.Option(
            "--scene",
            help="All faces in their places, the photo behind them and a camera that shows its "
            "view; without it, the best face alone, facing forward.",
        ),
    ] = False,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Reconstruct the photo and write its heads."""
    from prnet.apps.inputs import STDIN
    from prnet.apps.outputs import check_output
    from prnet.head.head import save_heads
    from prnet.head.weights import read_weights
    from prnet.image.read import read_image
    from prnet.morphable.head_model import embedded_head
    from prnet.reconstructor import Reconstructor

    check_output(out, [".glb"], [photo])
    frames = None if weights is None else read_weights(weights, embedded_head().expression_names)
    image = read_image(io.BytesIO(sys.stdin.buffer.read()) if photo == STDIN else photo)
    faces = Reconstructor(model, threads=threads, device=device)(image)
    if not faces:
        say(f"prnet: {photo}: no face found", sys.stderr)
        raise typer.Exit(FAILED)
    heads = [face.head() for face in (faces if scene else faces[:1])]
    if frames is not None:
        first = dict(zip(embedded_head().expression_names, frames.weights[0].tolist(), strict=True))
        heads = [head.with_weights(first) for head in heads]
    is_animation = frames is not None and len(frames.times) > 1
    save_heads(out, heads, scene, frames if is_animation else None)
    say(f"{photo}: {counted(len(heads), 'head')} → {out}")
