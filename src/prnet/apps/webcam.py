"""A camera's frames → a window that shows the faces in them, as they are followed."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.apps.video import Overlay, Tracked
from prnet.errors import VideoReadError
from prnet.files import encode_png, write_files
from prnet.video.tracker import Tracker

TITLE = "prnet"
QUIT_KEYS, SNAPSHOT_KEYS = (ord("q"), 27), (ord("s"), ord(" "))  # 27 is Escape
RATE_SHARE = 0.1  # of the newest frame in the frame rate that is shown
TEXT_COLOR = (255, 255, 255)
NO_WINDOW = (
    "this OpenCV shows no windows; put the one that does in its place: "
    "pip uninstall opencv-python-headless && pip install opencv-python"
)


def open_camera(number: int) -> Any:  # noqa: ANN401
    """Open a camera by its number, 0 for the first.

    Raises:
        VideoReadError: There is no such camera, or another program has it.
    """
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        camera.release()
        raise VideoReadError(
            f"camera {number}: can't be opened; is it there and free, and may this program use it?"
        )
    return camera


def check_display() -> None:
    """See that there is a screen, before OpenCV ends the program for want of one.

    Raises:
        VideoReadError: There is none.
    """
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        raise VideoReadError("webcam: there is no display here to show a window on")


def watch(
    camera: Any,  # noqa: ANN401
    tracker: Tracker,
    overlay: Overlay,
    folder: Path,
    tell: Callable[[str], None] = print,
    is_mirrored: bool = True,
) -> int:
    """Show a camera's faces until q or Escape is pressed; s or the space bar saves a picture.

    Args:
        camera: As OpenCV opens it; it is let go at the end.
        tracker: Fresh.
        overlay: How faces are drawn.
        folder: For the pictures, webcam_1.png and on; those that are there are left alone.
        tell: Called with a line for each picture.
        is_mirrored: Whether the picture is shown as a mirror shows it.

    Returns:
        How many frames were shown.

    Raises:
        VideoReadError: The camera gives no frame, or there is no window to show it in.
        OutputError: A picture can't be written.
    """
    start, rate, count = time.monotonic(), 0.0, 0
    try:
        for frame in _frames(camera, is_mirrored):
            before = time.monotonic()
            faces = tracker.update(frame, before - start)
            picture = overlay.draw(Tracked(count, before - start, frame, faces))
            shown = np.ascontiguousarray(picture[..., ::-1])
            cv2.putText(shown, f"{rate:.0f}/s", (8, 22), 0, 0.6, TEXT_COLOR, 1, cv2.LINE_AA)
            key = _show(shown)
            count += 1
            if key in SNAPSHOT_KEYS:
                path = _free_name(folder)
                write_files({path: encode_png(picture)})
                tell(str(path))
            if key in QUIT_KEYS:
                break
            newest = 1 / max(time.monotonic() - before, 1e-6)
            rate = newest if rate == 0 else rate + RATE_SHARE * (newest - rate)
    finally:
        camera.release()
        _close()
    if count == 0:
        raise VideoReadError("camera: it is open, and gives no frame")
    return count


def _frames(camera: Any, is_mirrored: bool) -> Iterator[NDArray[np.uint8]]:  # noqa: ANN401
    """Frames (H, W, 3) uint8 RGB until there is none."""
    while True:
        is_read, bgr = camera.read()
        if not is_read:
            return
        yield np.ascontiguousarray((bgr[:, ::-1] if is_mirrored else bgr)[..., ::-1])


def _show(bgr: NDArray[np.uint8]) -> int:
    """Show a frame; the key that was pressed, −1 for none, Escape for a window that was closed."""
    try:
        cv2.imshow(TITLE, bgr)
        key = cv2.waitKey(1)
        is_open = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error as error:
        raise VideoReadError(NO_WINDOW) from error
    return key & 0xFF if key >= 0 else -1 if is_open else QUIT_KEYS[-1]


def _close() -> None:
    """Close the window, if this OpenCV has any."""
    try:
        cv2.destroyAllWindows()
    except cv2.error:
        return


def _free_name(folder: Path) -> Path:
    """The first of webcam_1.png, webcam_2.png, … that isn't there."""
    number = 1
    while (path := folder / f"webcam_{number}.png").exists():
        number += 1
    return path
