"""A file of expression weights → frames of them: JSON, or CSV as face capture apps write it."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.files import read_json, read_text

FRAMES_PER_SECOND = 30.0  # where a file gives no times
TIME = "time"
# what isn't moved: a shape that the head model hasn't got, and the other columns of Live Link Face
UNMOVED = ("tongueOut", "timecode", "blendShapeCount") + tuple(
    f"{part}{angle}"
    for part in ("head", "leftEye", "rightEye")
    for angle in ("Yaw", "Pitch", "Roll")
)


@dataclass(frozen=True, eq=False)
class Frames:
    """Expressions one after the other.

    Attributes:
        times: (F,) float64, seconds, rising; (1,) for a still one.
        weights: (F, E) float32 in [0, 1].
    """

    times: NDArray[np.float64]
    weights: NDArray[np.float32]


def read_weights(path: str | os.PathLike[str], names: Sequence[str]) -> Frames:
    """Read a file of weights.

    JSON: an object of weights by ARKit's names, as a face's `expression` in prnet's own records,
    or a list of such objects. CSV: a line of names, then a line of weights for each frame. A field
    `time` holds the frame's seconds; without it there are 30 frames a second. Names may begin with
    a capital; what isn't named is 0; tongueOut and what else `prnet video --csv` writes are passed
    over.

    Args:
        path: Ends in .json or .csv.
        names: E names of the head's expressions.

    Raises:
        ValueError: The file can't be read, holds no frame, an unknown name, or a weight outside
            [0, 1].
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".json":
            content = read_json(path)
            rows = content if isinstance(content, list) else [content]
        elif path.suffix.lower() == ".csv":
            rows = list(csv.DictReader(io.StringIO(read_text(path))))
        else:
            raise ValueError("weights are .json or .csv")
        if not rows:
            raise ValueError("it holds no weights")
        frames = [_frame(row, number, names) for number, row in enumerate(rows)]
        times = np.array([time for time, _ in frames])
        if (np.diff(times) <= 0).any():
            raise ValueError("its times must rise")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        cause = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{path}: can't read expression weights from this file ({cause})"
        ) from error
    return Frames(times - times[0], np.array([weights for _, weights in frames], np.float32))


def _frame(
    row: Mapping[str, Any], number: int, names: Sequence[str]
) -> tuple[float, NDArray[np.float64]]:
    """One frame's time and weights."""
    if not isinstance(row, Mapping):
        raise ValueError(f"expected weights by name, got {type(row).__name__}")
    weights = np.zeros(len(names))
    time = number / FRAMES_PER_SECOND
    for key, value in row.items():
        name = key[:1].lower() + key[1:] if isinstance(key, str) else str(key)
        if name == TIME:
            time = float(value)
        elif name in names:
            weight = float(value)
            if not 0 <= weight <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {weight:g}")
            weights[names.index(name)] = weight
        elif name not in UNMOVED:
            raise ValueError(f"{key!r} is not one of ARKit's expressions")
    return time, weights
