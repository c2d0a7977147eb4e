"""Faces cut out upright by their landmarks, as recognisers and generators want them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.pose import flip_y
from prnet.geometry.similarity import Similarity, fit_similarity
from prnet.image.crop import cut
from prnet.uv.position_map import decode_landmarks68

# of 112 pixels: eyes, nose tip, corners of the mouth; InsightFace's, which ArcFace (Deng et al.
# 2019) was trained with
ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
ARCFACE_SIZE = 112
MEAN_FACE_SHARE = 0.62  # height of the mean face's landmarks in a crop of the template 2d
TEMPLATES = ("arcface", "ffhq", "2d")


class Aligned(NamedTuple):
    """A face cut out.

    Attributes:
        crop: (S, S, 3) uint8 RGB; black past the photo's border.
        image_to_crop: Photo pixels → crop pixels.
        points5: (5, 2) float64, crop pixels: right and left eye, nose tip, right and left corner of
            the mouth (the subject's).
        points68: (68, 2) float64, crop pixels.
    """

    crop: NDArray[np.uint8]
    image_to_crop: Similarity
    points5: NDArray[np.floating]
    points68: NDArray[np.floating]

    def to_record(self) -> dict[str, Any]:
        """What JSON says of it."""
        return {
            "size": len(self.crop),
            "matrix": self.image_to_crop.matrix().round(6).tolist(),
            "points5": self.points5.round(4).tolist(),
            "points68": self.points68.round(4).tolist(),
        }


def align_face(face: Face, template: str = "arcface", size: int = 256) -> Aligned:
    """Cut a face out upright.

    Args:
        face: With its photo.
        template: "arcface": five points at InsightFace's places, scaled to the size. "ffhq": the
            square of FFHQ (Karras et al. 2019), by eyes and mouth, which holds all of the head.
            "2d": all 68 points nearest to the mean face's, seen from the front.
        size: Side of the crop in pixels.

    Returns:
        Aligned.

    Raises:
        ValueError: Another template, a size under 1, or the face has no photo.
    """
    if face.image is None:
        raise ValueError("a face that is cut out needs its photo")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    points = face.landmarks68[:, :2].astype(np.float64)
    five = points5(points)
    if template == "arcface":
        # pixel centres at integers in both sizes
        target = (ARCFACE_POINTS + 0.5) * (size / ARCFACE_SIZE) - 0.5
        move = fit_similarity(five, target)
    elif template == "ffhq":
        move = _ffhq(points, size)
    elif template == "2d":
        mean = flip_y(decode_landmarks68(face.atlas.canonical_map, face.atlas))[:, :2]
        low, high = mean.min(0).astype(np.float64), mean.max(0).astype(np.float64)
        scale = MEAN_FACE_SHARE * size / (high - low)[1]
        target = (mean - (low + high) / 2) * scale + (size - 1) / 2
        move = fit_similarity(points, target)
    else:
        raise ValueError(f"template must be one of {', '.join(TEMPLATES)}, got {template!r}")
    crop = cut(face.image, move, size)
    return Aligned(crop, move, move.apply(five), move.apply(points))


def points5(points68: NDArray[np.floating]) -> NDArray[np.float64]:
    """(5, 2) float64 of (68, 2): middle of each eye, nose tip, corners of the mouth."""
    eyes = points68[36:42].mean(0), points68[42:48].mean(0)
    return np.array([*eyes, points68[30], points68[48], points68[54]], np.float64)


def _ffhq(points: NDArray[np.float64], size: int) -> Similarity:
    """The square of FFHQ's description: its axes along the eyes and across to the mouth."""
    eyes = points[36:42].mean(0), points[42:48].mean(0)
    along, middle = eyes[1] - eyes[0], (eyes[0] + eyes[1]) / 2
    down = (points[48] + points[54]) / 2 - middle
    axis = along - np.array([-down[1], down[0]])
    half = max(np.linalg.norm(along) * 2.0, np.linalg.norm(down) * 1.8)
    cosine, sine = axis / np.linalg.norm(axis)
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    scale = float(size / (2 * half))
    centre = middle + down * 0.1
    return Similarity(scale, rotation, (size - 1) / 2 - scale * rotation @ centre)
