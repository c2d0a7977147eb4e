"""OpenCV's YuNet, with the user's own file."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.detect.detections import Detections
from prnet.detect.search import check_settings, search
from prnet.errors import ModelFileError

# Where the box around the 68 landmarks lies in YuNet's own: its center's offset, and its size, in
# units of YuNet's width and height. Medians over the facekit's train photos, each source weighing
# the same (`benchmarks/calibrate_yunet.py`).
OFFSET, SIZE = (0.008, 0.13), (1.027, 0.765)
# of its 15 numbers a face: the eyes' and the mouth's corners' x and y, and the score
EYES, MOUTH, SCORE = slice(4, 8), slice(10, 14), 14


class YuNetDetector:
    """OpenCV's YuNet with the user's own file; for one thread at a time.

    It looks for faces as `FaceDetector` does, but was made for upright ones. The angle is that of
    the line from the mouth to the eyes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        min_score: float = 0.6,
        smallest_face: float = 0.01,
    ) -> None:
        """Open the network.

        Args:
            path: `face_detection_yunet_*.onnx` of the OpenCV model zoo.
            min_score: As for `FaceDetector`.
            smallest_face: As for `FaceDetector`.

        Raises:
            ModelFileError: The file is missing or isn't YuNet.
            ValueError: A number isn't in its range.
        """
        check_settings(min_score, smallest_face)
        self.min_score = min_score
        self.smallest_face = smallest_face
        if not Path(path).is_file():
            raise ModelFileError(
                f"{path}: no such file; YuNet (face_detection_yunet_2023mar.onnx) is in the OpenCV "
                "model zoo, and FaceDetector needs no file"
            )
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(path), "", (32, 32), score_threshold=min_score
            )
            self.own_boxes(np.zeros((32, 32, 3), np.uint8))
        except (cv2.error, SystemError) as error:
            raise ModelFileError(f"{path}: OpenCV can't run it as YuNet ({error})") from error

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find the faces of a photo, as `Detector.detect` says."""
        return search(image, self.look, self.smallest_face)

    def own_boxes(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What the network itself says of a picture (H, W, 3) uint8 RGB.

        Returns:
            (N, 15) x y w h, five points' x and y, score; pixels.
        """
        self._network.setInputSize((picture.shape[1], picture.shape[0]))
        found = self._network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
        return np.empty((0, 15)) if found is None else found.astype(np.float64)

    def look(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Look once at a picture as it is.

        Args:
            picture: (H, W, 3) uint8 RGB.

        Returns:
            (N, 5) boxes as in `prnet.geometry.oriented`, pixels; (N,) scores.
        """
        found = self.own_boxes(picture)
        extent = found[:, 2:4]
        # pixels have their centers at integers here, half a pixel further there
        center = found[:, :2] - 0.5 + (0.5 + np.array(OFFSET)) * extent
        points = found[:, EYES].reshape(-1, 2, 2).mean(1), found[:, MOUTH].reshape(-1, 2, 2).mean(1)
        up = points[0] - points[1]
        angle = np.arctan2(up[:, 0], -up[:, 1])
        boxes = np.column_stack([center, extent * SIZE, angle])
        return boxes, np.clip(found[:, SCORE], 0, 1)
