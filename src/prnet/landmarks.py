"""The 68 iBUG points as 300W-LP places them: which is which, and what is measured on them.

Right and left are the subject's, so 0, at the right ear, lies on the left of a frontal photo. The
jaw, 0 to 16, lies on the 3D cheek outline, not on the outline that the photo shows.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Part(NamedTuple):
    """Points joined by a line.

    Attributes:
        points: In drawing order.
        is_closed: Whether the line comes back to its first point.
    """

    points: tuple[int, ...]
    is_closed: bool


PARTS = {
    "jaw": Part(tuple(range(17)), False),
    "right brow": Part(tuple(range(17, 22)), False),
    "left brow": Part(tuple(range(22, 27)), False),
    "nose bridge": Part(tuple(range(27, 31)), False),
    "nose base": Part(tuple(range(31, 36)), False),
    "right eye": Part(tuple(range(36, 42)), True),
    "left eye": Part(tuple(range(42, 48)), True),
    "outer lips": Part(tuple(range(48, 60)), True),
    "inner lips": Part(tuple(range(60, 68)), True),
}
JAW, INNER = slice(17), slice(17, 68)  # the outline, and all that lies within
BROWS = slice(17, 27)
LIDS, EYES_AND_MOUTH = slice(36, 48), slice(36, 68)
JAW_ENDS, CHIN = (0, 16), 8
NOSE_BRIDGE, NOSE_TIP, NOSE_BASE = 27, 30, 33
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 36, 45
# each eye with its brow, the nose, the mouth
FEATURES = (
    (*range(17, 22), *range(36, 42)),
    (*range(22, 27), *range(42, 48)),
    (*range(27, 36),),
    (*range(48, 68),),
)
# the points in the order in which a mirror shows them
MIRROR68 = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]
)
MIRROR68.flags.writeable = False
# what opens: pairs of points across it, then the pair along it
EYES = (((37, 41), (38, 40)), (36, 39)), (((43, 47), (44, 46)), (42, 45))
MOUTH = ((62, 66),), (48, 54)
# points that face each other across the eyes and the inner mouth
UPPER = (37, 38, 43, 44, 61, 62, 63)
LOWER = (41, 40, 47, 46, 67, 66, 65)


def interocular(landmarks68: Array | Mapping[int, Array]) -> float:
    """Distance of the outer eye corners, of (68, 2 or 3) points or some of them by number."""
    return float(np.linalg.norm(landmarks68[RIGHT_EYE_OUTER] - landmarks68[LEFT_EYE_OUTER]))


def eye_opening(landmarks68: Array) -> Array:
    """Distance of the lids over the eye's width, mean of both pairs of lid points and both eyes.

    Args:
        landmarks68: (..., 68, 2 or 3) float, any frame.

    Returns:
        (...) float.
    """
    return np.mean([_opening(landmarks68, *eye) for eye in EYES], axis=0)


def mouth_opening(landmarks68: Array) -> Array:
    """Distance of the inner lips in the middle over the mouth's width, as `eye_opening`."""
    return _opening(landmarks68, *MOUTH)


def _opening(points: Array, across: tuple[tuple[int, int], ...], along: tuple[int, int]) -> Array:
    """Mean distance of the pairs across an opening over that of the pair along it."""
    first, second = np.array([*across, along]).T
    distances = np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)
    return np.asarray(distances[..., :-1].mean(-1) / distances[..., -1])


def mirror_landmarks(landmarks68: Array, width: int) -> Array:
    """Flip the 68 points of a photo `width` pixels wide and rename them; its own inverse.

    Args:
        landmarks68: (68, 2 or 3) float, photo frame.
        width: Of the photo, pixels.

    Returns:
        (68, 2 or 3) float, a new array: point 0, at the jaw's left end, comes from point 16.
    """
    flipped = landmarks68[MIRROR68]
    flipped[:, 0] = width - 1 - flipped[:, 0]
    return flipped
