"""Photo → faces: the whole way in one place, one call per step."""

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.detect.detections import Detections, Detector
from prnet.detect.network import FaceDetector
from prnet.face import Face
from prnet.geometry.oriented import tight_oriented
from prnet.geometry.pose import fit_pose, in_plane_angle
from prnet.image.crop import check_box, crop_face
from prnet.image.read import check_image, read_image
from prnet.model.model import Model
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import (
    centre_depth,
    crop_to_image,
    decode_landmarks68,
    decode_vertices,
)

DEFAULT_PASSES = 1
# Of a box without a known angle the network sees the face as the photo shows it. If it is less sure
# than this, it sees the three quarter turns too.
UNSURE = 0.6
QUARTER_TURNS_DEG = (90.0, 180.0, 270.0)


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
            detector: None for `FaceDetector`.
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
        self.detector: Detector = FaceDetector() if detector is None else detector
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
                face; they may reach beyond the photo. Or (N, 5) with the faces' in-plane angles in
                degrees, see `Detections`; without, and where it is NaN, a face that doesn't look
                upright is looked for at the other angles. With boxes the detector isn't asked.
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
        oriented = found.oriented()[:max_faces]
        face_boxes = oriented[:, :4]
        views = self._look(photo, face_boxes, oriented[:, 4])
        for _ in range(self.passes - 1):
            views = self._look_again(photo, views)
        atlas = self.model.atlas
        return [
            Face(
                centre_depth(view.position_map, atlas),
                atlas,
                box,
                float(score if view.confidence is None else view.confidence),
                photo,
            )
            for view, box, score in zip(views, face_boxes, found.scores[:max_faces], strict=True)
        ]

    def _look(
        self,
        photo: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        angles_deg: NDArray[np.float32],
    ) -> list["_View"]:
        """The face in each box; where the angle is NaN and the face may not be upright, turned."""
        views = self._regress(photo, boxes, np.nan_to_num(angles_deg))
        unsure = [
            i
            for i, view in enumerate(views)
            if np.isnan(angles_deg[i]) and view.confidence is not None and view.confidence < UNSURE
        ]
        if not unsure:
            return views
        turns = np.repeat(np.array(QUARTER_TURNS_DEG, np.float32), len(unsure))
        turned = self._regress(photo, np.tile(boxes[unsure], (len(QUARTER_TURNS_DEG), 1)), turns)
        best = [
            max([views[i], *turned[k :: len(unsure)]], key=lambda view: view.confidence or 0)
            for k, i in enumerate(unsure)
        ]
        # a quarter turn leaves up to 45 degrees, and the box was not drawn for them
        for i, first, again in zip(unsure, best, self._look_again(photo, best), strict=True):
            views[i] = max(first, again, key=lambda view: view.confidence or 0)
        return views

    def _look_again(self, photo: NDArray[np.uint8], views: list["_View"]) -> list["_View"]:
        """The faces seen in boxes and at angles of the landmarks just found."""
        height, width = photo.shape[:2]
        boxes = np.empty((len(views), 4), np.float32)
        angles_deg = np.empty(len(views), np.float32)
        for i, view in enumerate(views):
            box, angle_deg = view.seen_box(self.model.atlas)
            low, high = box[:2], box[2:]
            is_inside = (low < [width - 0.5, height - 0.5]).all() and (high > -0.5).all()
            boxes[i], angles_deg[i] = (box, angle_deg) if is_inside else (view.box, view.angle_deg)
        return self._regress(photo, boxes, angles_deg)

    def _regress(
        self,
        photo: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        angles_deg: NDArray[np.float32],
    ) -> list["_View"]:
        """The face in each box, turned upright by its angle."""
        spec = self.model.spec
        crops = np.empty((len(boxes), spec.input_size, spec.input_size, 3), np.uint8)
        moves = []
        for crop, box, angle_deg in zip(crops, boxes, angles_deg, strict=True):
            crop[:], image_to_crop = crop_face(
                photo, box, spec.input_size, spec.crop_scale, float(angle_deg)
            )
            moves.append(image_to_crop)
        crop_maps, confidences = self.model.regress(crops)
        return [
            _View(
                crop_to_image(crop_map, move),
                None if confidences is None else float(confidences[i]),
                boxes[i],
                float(angles_deg[i]),
            )
            for i, (crop_map, move) in enumerate(zip(crop_maps, moves, strict=True))
        ]


class _View(NamedTuple):
    """What the network said of a crop.

    Attributes:
        position_map: (256, 256, 3) float32, photo frame, z not centred.
        confidence: None from a network without.
        box: (4,) float32, what the crop was cut by.
        angle_deg: Likewise.
    """

    position_map: NDArray[np.float32]
    confidence: float | None
    box: NDArray[np.float32]
    angle_deg: float

    def seen_box(self, atlas: Atlas) -> tuple[NDArray[np.float32], float]:
        """The box tight around the landmarks once upright, and the angle."""
        rigid = atlas.rigid_vertices
        vertices = decode_vertices(self.position_map, atlas)[rigid]
        angle = in_plane_angle(fit_pose(atlas.canonical_vertices[rigid], vertices).rotation)
        box = tight_oriented(decode_landmarks68(self.position_map, atlas), angle)
        reach = box[2:4] / 2
        return np.concatenate([box[:2] - reach, box[:2] + reach]), float(np.degrees(angle))


def _check_boxes(boxes: ArrayLike, photo: NDArray[np.uint8]) -> Detections:
    """Boxes from outside as detections of score 1; ValueError names the box that is wrong."""
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(boxes, np.float64).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"boxes must be (N, 4) or (N, 5) numbers ({error})") from error
    if array.shape == (0,):
        return Detections.empty()
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise ValueError(f"boxes must be (N, 4) or (N, 5) numbers, got {array.shape}")
    height, width = photo.shape[:2]
    for i, box in enumerate(array[:, :4]):
        try:
            check_box(box, width, height)
        except ValueError as error:
            raise ValueError(f"boxes[{i}]: {error}") from error
    angles_deg = array[:, 4] if array.shape[1] == 5 else np.full(len(array), np.nan, np.float32)
    if np.isinf(angles_deg).any():
        raise ValueError(f"boxes: angles must not be infinite, got {angles_deg.tolist()}")
    return Detections(array[:, :4], np.ones(len(array), np.float32), angles_deg)
