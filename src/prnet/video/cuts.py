"""Frames → whether a new shot begins."""

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_WH = (16, 9)
THINNED_PX = 72  # about, on the shorter side, before the thumbnail is averaged
CHANGED = 10.0  # gray levels by which a cell must differ to count as changed
MOST_GAIN = 3.0  # by which brightness may change at once
CUT = 0.6  # part of the cells that change at a cut; less may be a person who walks by


class CutFinder:
    """Compares each frame with the one before it."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None

    def is_cut(self, frame: NDArray[np.uint8]) -> bool:
        """Tell whether a frame (H, W, 3) uint8 RGB begins a new shot; the first one doesn't."""
        step = max(min(frame.shape[:2]) // THINNED_PX, 1)
        thinned = np.ascontiguousarray(frame[::step, ::step])
        small = np.asarray(
            cv2.resize(thinned, THUMBNAIL_WH, interpolation=cv2.INTER_AREA), np.float32
        )
        last, self._last = self._last, small
        return last is not None and changed_part(last, small) > CUT

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None


def changed_part(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Which part of two thumbnails (H, W, 3) differs, in [0, 1].

    A change of the whole picture's brightness, as a flash or a fade makes, isn't counted.
    """
    gray, other = (each.mean(2) for each in (first, second))
    gain = float(np.clip(np.median((other + 1) / (gray + 1)), 1 / MOST_GAIN, MOST_GAIN))
    return float((np.abs(second - gain * first).max(2) > CHANGED * max(gain, 1)).mean())
