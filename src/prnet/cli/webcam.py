"""`prnet webcam`: a camera's faces in a window."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import DeviceOption, ModelOption, ThreadsOption
from prnet.cli.terminal import say
from prnet.cli.video import DetectOption, MaxFacesOption, OverlayOption, SmoothOption, parse_styles

HELP = """\
Follow the faces that a camera sees, in a window.

q or Escape ends it; s or the space bar saves what the window shows as
webcam_1.png and so on.
"""
EXAMPLES = (
    "prnet webcam",
    "prnet webcam --camera 1 --overlay wireframe,pose",
)


def run(
    camera: Annotated[
        int, typer.Option(min=0, metavar="N", help="Which camera, 0 for the first.")
    ] = 0,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the pictures.")
    ] = Path(),
    overlay: OverlayOption = "landmarks",
    mirror: Annotated[
        bool, typer.Option("--mirror/--no-mirror", help="Whether to show it as a mirror does.")
    ] = True,
    max_faces: MaxFacesOption = None,
    smooth: SmoothOption = True,
    detect_every: DetectOption = 1.0,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Show the camera's faces."""
    styles = parse_styles(overlay)

    from prnet.apps.video import Overlay
    from prnet.apps.webcam import check_display, open_camera, watch
    from prnet.reconstructor import Reconstructor
    from prnet.video.tracker import SMOOTH, Tracker

    opened = open_camera(camera)
    check_display()
    reconstructor = Reconstructor(model, threads=threads, device=device)
    tracker = Tracker(reconstructor, SMOOTH if smooth else None, detect_every, max_faces)
    watch(opened, tracker, Overlay(styles), out, say, mirror)
