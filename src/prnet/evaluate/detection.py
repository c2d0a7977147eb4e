"""Detections against labelled boxes: which face each one finds, recall and false detections."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.oriented import to_upright

# A detection finds a face if its center lies within half the face's size of the face's center, and
# its size is between half and twice the face's: generous, so that detectors whose boxes mean
# something else are compared by what they find, not by how they frame it.
CENTER_REACH, SIZE_RATIO = 0.5, 2.0
FALSE, IGNORED = -1, -2


class Matches(NamedTuple):
    """What the detections of many scenes found.

    Attributes:
        scores: (D,) float, of all detections, best first; ignored ones left out.
        face: (D,) int, the face that each found first, counted over all scenes; −1 for a false one.
        error: (D,) float, see `box_error`; NaN for false ones.
        angle_error_deg: (D,) float, likewise.
        faces: How many faces there are.
        scenes: How many scenes there are.
    """

    scores: NDArray[np.float64]
    face: NDArray[np.intp]
    error: NDArray[np.float64]
    angle_error_deg: NDArray[np.float64]
    faces: int
    scenes: int

    def score_at(self, false_per_scene: float) -> float:
        """The lowest score down to which there are at most so many false detections a scene."""
        false = np.cumsum(self.face == FALSE)
        over = np.flatnonzero(false > false_per_scene * self.scenes)
        if not len(over):
            return float(self.scores[-1]) if len(self.scores) else 1.0
        # scores as high as that of the first one too many are left out, it among them
        return float(np.nextafter(self.scores[over[0]], np.inf))

    def found(self, min_score: float) -> NDArray[np.bool_]:
        """(faces,) bool, which are found by detections of at least this score."""
        found = np.zeros(self.faces, bool)
        found[self.face[(self.face >= 0) & (self.scores >= min_score)]] = True
        return found


def match_scene(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    faces: NDArray[np.floating],
    ignored: NDArray[np.floating],
) -> NDArray[np.intp]:
    """Tell which face each detection finds; each face is found once, by the best-scored.

    Args:
        boxes: (D, 5) float, as in `prnet.geometry.oriented`; angles don't matter.
        scores: (D,) float.
        faces: (G, 5) float.
        ignored: (K, 4) float x0 y0 x1 y1; a detection centered in one, if it finds no face, is
            neither right nor wrong.

    Returns:
        (D,) index of the face, FALSE or IGNORED.
    """
    result = np.full(len(boxes), FALSE)
    if len(faces):
        size = np.sqrt(faces[:, 2] * faces[:, 3])
        own_size = np.sqrt(boxes[:, 2] * boxes[:, 3])
        away = np.linalg.norm(boxes[:, None, :2] - faces[None, :, :2], axis=2) / size
        ratio = np.abs(np.log2(own_size[:, None] / size))
        fits = (away <= CENTER_REACH) & (ratio <= np.log2(SIZE_RATIO))
        cost = np.where(fits, away + 0.3 * ratio, np.inf)
        for i in np.argsort(-scores, kind="stable"):
            best = int(cost[i].argmin())
            if np.isfinite(cost[i, best]):
                result[i] = best
                cost[:, best] = np.inf
    x, y = boxes[:, 0, None], boxes[:, 1, None]
    inside = (x > ignored[:, 0]) & (x < ignored[:, 2]) & (y > ignored[:, 1]) & (y < ignored[:, 3])
    result[(result == FALSE) & inside.any(1)] = IGNORED
    return result


class SceneDetections(NamedTuple):
    """What was found in a scene and what is there, see `match_scene`."""

    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    faces: NDArray[np.floating]
    ignored: NDArray[np.floating]


def gather_matches(scenes: Iterable[SceneDetections]) -> Matches:
    """Match the detections of many scenes and put them together."""
    parts, faces, count = [np.empty((0, 4))], 0, 0
    for boxes, scores, truth, ignored in scenes:
        face = match_scene(boxes, scores, truth, ignored)
        row = np.full((len(boxes), 4), np.nan)
        hit = face >= 0
        row[:, 0], row[:, 1] = scores, np.where(hit, face + faces, face)
        row[hit, 2] = box_error(boxes[hit], truth[face[hit]])
        row[hit, 3] = angle_error_deg(boxes[hit], truth[face[hit]])
        parts.append(row[face != IGNORED])
        faces += len(truth)
        count += 1
    rows = np.concatenate(parts)
    scores, face, error, turn = rows[np.argsort(-rows[:, 0], kind="stable")].T
    return Matches(scores, face.astype(np.intp), error, turn, faces, count)


def box_error(boxes: NDArray[np.floating], faces: NDArray[np.floating]) -> NDArray[np.floating]:
    """How far each box's sides are from its face's, over the face's size: (D, 5) each → (D,).

    Both in the face's upright frame; the mean over the four sides.
    """
    along = to_upright(boxes[:, :2] - faces[:, :2], faces[:, 4])
    grown = (boxes[:, 2:4] - faces[:, 2:4]) / 2
    sides = np.concatenate([along + grown, along - grown], 1)
    size = np.sqrt(faces[:, 2] * faces[:, 3])
    error: NDArray[np.floating] = np.abs(sides).mean(1) / size
    return error


def angle_error_deg(
    boxes: NDArray[np.floating], faces: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Degrees between the angles of (D, 5) boxes and of their faces: (D,) in [0, 180]."""
    turn = np.angle(np.exp(1j * (boxes[:, 4] - faces[:, 4])))
    error: NDArray[np.floating] = np.abs(np.degrees(turn))
    return error
