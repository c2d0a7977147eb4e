"""Labels whose eyes and mouths open as far as MediaPipe's reference landmarks do.

The face model's fit follows their lids and lips only in part (the facekit's README: slope 0.8 for
eyes, 0.9 for mouths), and a network that learns from it follows even less.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prnet.evaluate.metrics import trend
from prnet.landmarks import eye_opening, mouth_opening
from prnet.morphable.linear import LandmarkModel

# expressions that open or close a part and move nothing else
EYE_MODES = "eyeBlink_L", "eyeBlink_R"
MOUTH_MODES = "mouthLowerDown_L", "mouthLowerDown_R"
MAX_CHANGE = 0.6  # of a coefficient, beyond which the reference is more likely wrong than the fit
ROUNDS = 4  # of Newton's method


def follow_reference(
    coefficients: NDArray[np.float32],
    measured: NDArray[np.float32],
    is_valid: NDArray[np.bool_],
    landmarks: LandmarkModel,
    expression_names: Sequence[str],
) -> NDArray[np.float32]:
    """Change the expressions so that openings vary one to one with the reference's.

    The two measure at slightly different points, so their means differ: the labels keep theirs.
    Where the measure isn't valid, the labels' own opening is stretched by the trend of the others.

    Args:
        coefficients: (N, 100 + 53) float32, identity then expression.
        measured: (N, 2) float32, openings of eyes and mouth by MediaPipe.
        is_valid: (N,) bool, where they are to be trusted.
        landmarks: The face model's iBUG points.
        expression_names: Of the last 53 coefficients.

    Returns:
        (N, 153) float32, a new array.
    """
    coefficients = coefficients.copy()
    first = coefficients.shape[1] - len(expression_names)
    parts = (eye_opening, EYE_MODES), (mouth_opening, MOUTH_MODES)
    for (opening, modes), teacher in zip(parts, measured.T, strict=True):
        columns = [first + list(expression_names).index(mode) for mode in modes]
        step = landmarks.basis[columns].sum(0)
        points = landmarks.points(coefficients)
        label = opening(points)
        line = trend(label[is_valid], teacher[is_valid])
        middle = label[is_valid].mean()
        wanted = middle + np.where(
            is_valid, teacher - teacher[is_valid].mean(), (label - middle) / line.slope
        )
        wanted = np.maximum(wanted, 0)
        change = np.zeros(len(coefficients), np.float32)
        for _ in range(ROUNDS):
            moved = points + change[:, None, None] * step
            now, slightly = opening(moved), opening(moved + 0.05 * step)
            change += (wanted - now) * 0.05 / (slightly - now)
            change = np.clip(change, -MAX_CHANGE, MAX_CHANGE).astype(np.float32)
        coefficients[:, columns] += change[:, None]
    return coefficients
