"""`prnet evaluate detector`."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.protocol import OutOption, finish, start
from prnet.progress import progress_bar

HELP = "The face detector and YuNet on scenes composed of the facekit's held-out photos."
EXAMPLES = (
    "prnet evaluate detector ../shared/facekit",
    "prnet evaluate detector facekit/ --detector runs/detector/detector.onnx --scenes 300",
)


def run(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The facekit's folder.")],
    out: OutOption = None,
    detector: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A detector's file; without it, the built-in one."),
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, metavar="N", help="Scenes to compose.")] = 1000,
) -> None:
    """Measure a detector."""
    folder = start("detector", out)
    from prnet.detect.network import FaceDetector
    from prnet.evaluate.detector import evaluate_detector

    opened = FaceDetector(detector)
    with progress_bar("Evaluating") as progress:
        report = evaluate_detector(path, detector=opened, scenes=scenes, progress=progress)
    finish(report, folder)
