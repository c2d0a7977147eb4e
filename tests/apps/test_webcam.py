from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from prnet.apps.video import Overlay
from prnet.apps.webcam import NO_WINDOW, check_display, open_camera, watch
from prnet.errors import VideoReadError
from prnet.face import Face
from prnet.video.track import TrackedFace


class Camera:
    """Gives so many frames, the left half of them red."""

    def __init__(self, frames: int) -> None:
        self._left, self.is_released = frames, False

    def read(self) -> tuple[bool, Any]:
        self._left -= 1
        bgr = np.zeros((60, 80, 3), np.uint8)
        bgr[:, :40, 2] = 200
        return self._left >= 0, bgr if self._left >= 0 else None

    def release(self) -> None:
        self.is_released = True


@pytest.fixture
def tracker(make_face: Callable[..., Face]) -> Any:
    """Follows one face, and keeps what it was shown."""

    class StandIn:
        def __init__(self) -> None:
            self.frames: list[np.ndarray] = []
            self.times_s: list[float] = []

        def update(self, frame: np.ndarray, time_s: float) -> list[TrackedFace]:
            self.frames.append(frame)
            self.times_s.append(time_s)
            return [TrackedFace(1, make_face(scale=2.0, centre=(40, 30)), time_s)]

    return StandIn()


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A window: what it showed, and the keys that are pressed in it."""

    class Window:
        shown: list[np.ndarray] = []
        keys: list[int] = []
        is_open = 1.0

    made = Window()
    made.shown, made.keys = [], []
    monkeypatch.setattr(cv2, "imshow", lambda title, bgr: made.shown.append(bgr))
    monkeypatch.setattr(cv2, "waitKey", lambda ms: made.keys.pop(0) if made.keys else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda title, name: made.is_open)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    return made


def test_frames_are_shown_mirrored_with_their_faces(
    tracker: Any, window: Any, tmp_path: Path
) -> None:
    camera = Camera(3)
    assert watch(camera, tracker, Overlay(["landmarks"]), tmp_path) == 3
    assert camera.is_released and len(window.shown) == 3
    assert tracker.frames[0][30, 70].tolist() == [200, 0, 0]  # RGB, and red is on the right now
    assert tracker.times_s == sorted(tracker.times_s)
    assert (window.shown[0] != tracker.frames[0][..., ::-1]).any(2).sum() > 50


def test_keys_save_and_quit(tracker: Any, window: Any, tmp_path: Path) -> None:
    window.keys[:] = [ord("s"), ord(" "), ord("q")]
    (tmp_path / "webcam_1.png").write_bytes(b"mine")
    told: list[str] = []
    assert watch(Camera(9), tracker, Overlay([]), tmp_path, told.append, is_mirrored=False) == 3
    assert told == [str(tmp_path / f"webcam_{k}.png") for k in (2, 3)]
    assert (tmp_path / "webcam_1.png").read_bytes() == b"mine"
    saved = cv2.imread(told[0])
    assert saved[30, 2].tolist() == [0, 0, 200]


def test_a_closed_window_ends_it(tracker: Any, window: Any, tmp_path: Path) -> None:
    window.is_open = 0.0
    assert watch(Camera(9), tracker, Overlay([]), tmp_path) == 1


def test_without_camera_frames_or_window(
    tracker: Any, window: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VideoReadError, match="camera 97: can't be opened"):
        open_camera(97)
    with pytest.raises(VideoReadError, match="no frame"):
        watch(Camera(0), tracker, Overlay([]), tmp_path)

    def no_window(*_: Any) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "imshow", no_window)
    camera = Camera(2)
    with pytest.raises(VideoReadError, match="opencv-python") as error:
        watch(camera, tracker, Overlay([]), tmp_path)
    assert str(error.value) == NO_WINDOW and camera.is_released


def test_without_a_screen_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    check_display()
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(VideoReadError, match="no display"):
        check_display()
