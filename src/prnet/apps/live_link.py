"""A video's face → the CSV file of Epic's Live Link Face app, which Unreal, Blender, Maya read.

Its columns are the timecode, how many numbers follow, the 52 weights in Apple's order, and the
angles of the head and of both eyes. Angles are in radians. The eyes' own are 0: no gaze is seen.
"""

import csv
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from prnet.apps.video import Tracked
from prnet.errors import OutputError
from prnet.face import Face
from prnet.files import write_aside
from prnet.video.frames import Sound

# Apple's order of `ARFaceAnchor.BlendShapeLocation` as the app writes it
ARKIT_NAMES = (
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft"),
    *("eyeSquintLeft", "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight"),
    *("eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight", "eyeWideRight", "jawForward"),
    *("jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight"),
    *("mouthLeft", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight"),
    *("mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp"),
    *("browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight"),
    *("noseSneerLeft", "noseSneerRight", "tongueOut"),
)
ANGLES = tuple(
    f"{part}{angle}"
    for part in ("Head", "LeftEye", "RightEye")
    for angle in ("Yaw", "Pitch", "Roll")
)
COUNT = len(ARKIT_NAMES) + len(ANGLES)
COLUMNS = (
    "Timecode",
    "BlendShapeCount",
    *(name[0].upper() + name[1:] for name in ARKIT_NAMES),
    *ANGLES,
)
DECIMALS = 8
GAZE = (f"{0:.{DECIMALS}f}",) * 6  # the eyes' angles: none is seen


def timecode(time_s: float, rate: Fraction) -> str:
    """Hours, minutes, seconds, frames and thousandths of a frame: HH:MM:SS:FF.mmm.

    Frames are counted through each second at the nominal rate, the next whole number.
    """
    nominal = max(round(rate), 1)
    thousandths = round(time_s * nominal * 1000)
    frames, part = divmod(thousandths, 1000)
    seconds, frame = divmod(frames, nominal)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}:{frame:02}.{part:03}"


def row(face: Face, time_s: float, rate: Fraction) -> list[str]:
    """What COLUMNS hold of a face.

    Raises:
        ValueError: The face has another UV space than the package's, so no expression.
    """
    weights = face.expression
    shapes = [weights.get(name, 0.0) for name in ARKIT_NAMES]
    pose = face.pose
    # yaw grows as the subject turns to their own left, pitch as they look up, roll as in `Pose`
    head = np.radians([-pose.yaw, pose.pitch, pose.roll]).tolist()
    numbers = [f"{value:.{DECIMALS}f}" for value in (*shapes, *head)]
    return [timecode(time_s, rate), str(COUNT), *numbers, *GAZE]


class LiveLinkSink:
    """Writes one face of a video.

    Args:
        path: Of the CSV file.
        id: Of the face.
        rate: Frames a second, for the timecode.
    """

    def __init__(self, path: Path, id: int, rate: Fraction) -> None:
        self._path, self._id, self._rate = path, id, rate
        self._stack = ExitStack()

    def take(self, item: Tracked | Sound) -> None:
        """Write a row, if the face is there."""
        if isinstance(item, Sound):
            return
        for each in item.faces:
            if each.id == self._id:
                try:
                    self._rows.writerow(row(each.face, item.time_s, self._rate))
                except OSError as error:
                    raise self._failure(error) from error

    def __enter__(self) -> "LiveLinkSink":
        """Open the file, aside."""
        try:
            aside = self._stack.enter_context(write_aside(self._path))
            stream = self._stack.enter_context(aside.open("w", encoding="utf-8", newline=""))
            self._rows: Any = csv.writer(stream, lineterminator="\n")
            self._rows.writerow(COLUMNS)
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(self, *details: Any) -> None:  # noqa: ANN401
        """Give the file its name; delete it after an error."""
        try:
            self._stack.__exit__(*details)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> OutputError:
        """What went wrong, in words."""
        return OutputError(f"{self._path}: can't write this file ({error.strerror})")
