"""Photo → faces: the whole way in one place, one step a method; `prnet bench` times the same."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray

from prnet.detect.detections import Detections, Detector
from prnet.detect.network import FaceDetector
from prnet.face import Face
from prnet.geometry.oriented import tight_oriented
from prnet.geometry.pose import in_plane_angle
from prnet.geometry.similarity import Similarity
from prnet.image.crop import check_boxes, crop_face
from prnet.image.read import take_image
from prnet.model.model import MAX_BATCH, Model
from prnet.uv.position_map import (
    PositionMap,
    crop_to_image,
    decode_landmarks68,
    fit_pose,
)

DEFAULT_PASSES = 1
# If the network is less sure of a face than this, it sees it at other angles too: where the angle
# isn't known, and where the detector has told it.
UNSURE, UNSURE_DETECTED = 0.6, 0.5
CLEARLY_SURER = 0.05
OTHER_ANGLES_DEG = (90.0, 180.0, 270.0)
# What was detected and is then taken for a face no more than this is left out; more is asked for
# where the detector itself scores under SURE_SCORE.
LEAST_CONFIDENCE, LEAST_CONFIDENCE_UNSURE, SURE_SCORE = 0.15, 0.4, 0.85
Image = str | os.PathLike[str] | PIL.Image.Image | NDArray[np.uint8]


class Crops(NamedTuple):
    """What the network sees.

    Attributes:
        pixels: (N, S, S, 3) uint8 RGB.
        image_to_crop: N similarities, photo pixels → crop pixels.
    """

    pixels: NDArray[np.uint8]
    image_to_crop: list[Similarity]


@dataclass(frozen=True, eq=False)
class Found:
    """A photo and where its faces are.

    Attributes:
        photo: (H, W, 3) uint8 RGB.
        boxes: (N, 5) float32 x0 y0 x1 y1 and the angle, see `Detections.oriented`.
        scores: (N,) float32, the detector's; None for boxes given by hand.
    """

    photo: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32] | None


class Reconstructor:
    """Finds the faces of photos and reconstructs each; opens its model once.

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
        device: str = "cpu",
    ) -> None:
        """Open the model.

        Args:
            model: A model folder, or an open model; None for the one in the package.
            detector: None for `FaceDetector`.
            threads: CPU threads of the network; None for one per usable core.
            passes: 1 or more.
            device: Where the network runs: see `prnet.model.model.DEVICES`.

        Raises:
            ModelFileError: The model folder is incomplete, or its parts don't match.
            ValueError: threads or passes isn't positive, the device isn't there, or threads or a
                device comes with an open model.
        """
        if passes < 1:
            raise ValueError(f"passes must be 1 or more, got {passes}")
        if isinstance(model, Model) and threads is not None:
            raise ValueError("threads must be None with an open model: it has its own already")
        if isinstance(model, Model) and device != "cpu":
            raise ValueError("device can't be given with an open model: it has its own already")
        self.model = model if isinstance(model, Model) else Model(model, threads, device)
        self.detector: Detector = FaceDetector() if detector is None else detector
        self.passes = passes

    def __call__(
        self,
        image: Image,
        boxes: ArrayLike | None = None,
        max_faces: int | None = None,
    ) -> list[Face]:
        """Reconstruct the faces of a photo.

        Args:
            image: A photo's path, a PIL image, or pixels (H, W, 3) uint8 RGB.
            boxes: (N, 4) numbers x0 y0 x1 y1, photo pixels, tight around the 68 landmarks of each
                face; they may reach beyond the photo. Or (N, 5), with the angle in degrees by which
                each is turned, see `Detections`; without one, and where it is NaN, a face that
                doesn't look upright is looked for at other angles. With boxes the detector isn't
                asked.
            max_faces: At most so many: the first in the order below; None for all.

        Returns:
            Faces, those of the highest score times visible size first, or in the order of
            `boxes`; none if the photo shows none.

        Raises:
            ImageReadError: The file is missing or not a photo.
            ValueError: Pixels of another shape or type, max_faces isn't positive, or a box isn't
                finite, has no size or lies outside the photo.
        """
        return self.reconstruct([self.find(image, boxes, max_faces)], max_faces)[0]

    def many(
        self, images: Iterable[Image], max_faces: int | None = None, batch_size: int = MAX_BATCH
    ) -> Iterator[list[Face]]:
        """Reconstruct the faces of many photos; the network sees faces of several at a time.

        Args:
            images: Photos as in a call; taken one by one, when they are needed.
            max_faces: See a call.
            batch_size: Faces that the network sees at a time, about.

        Yields:
            The faces of each photo, in the photos' order.

        Raises:
            ImageReadError: A file is missing or not a photo.
            ValueError: See a call; or batch_size isn't positive.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        waiting: list[Found] = []
        for image in images:
            waiting.append(self.find(image, None, max_faces))
            if sum(len(each.boxes) for each in waiting) >= batch_size:
                yield from self.reconstruct(waiting, max_faces)
                waiting = []
        yield from self.reconstruct(waiting, max_faces)

    def find(
        self, image: Image, boxes: ArrayLike | None = None, max_faces: int | None = None
    ) -> Found:
        """The steps read and detect: see a call for arguments and errors."""
        photo = take_image(image)
        if max_faces is not None and max_faces < 1:
            raise ValueError(f"max_faces must be 1 or more, got {max_faces}")
        if boxes is not None:
            return Found(photo, check_boxes(boxes, *photo.shape[1::-1])[:max_faces], None)
        found = self.detect(photo)
        return Found(photo, found.oriented(), found.scores)

    def detect(self, photo: NDArray[np.uint8]) -> Detections:
        """The step detect: the faces of a photo, largest first."""
        return self.detector.detect(photo)

    def crop(self, photo: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Crops:
        """The step crop: cut the square of each box (N, 5) out of its photo, the face upright."""
        spec = self.model.spec
        pixels = np.empty((len(boxes), spec.input_size, spec.input_size, 3), np.uint8)
        moves = []
        for crop, box in zip(pixels, boxes, strict=True):
            *corners, angle_deg = box.tolist()
            upright = 0.0 if math.isnan(angle_deg) else angle_deg
            crop[:], image_to_crop = crop_face(
                photo, corners, spec.input_size, spec.crop_scale, upright
            )
            moves.append(image_to_crop)
        return Crops(pixels, moves)

    def place(
        self, crop_maps: Iterable[PositionMap], image_to_crop: Sequence[Similarity]
    ) -> list[PositionMap]:
        """The step place: bring the crops' maps into their photos, z centred."""
        atlas = self.model.atlas
        return [
            crop_to_image(crop_map, move, atlas)
            for crop_map, move in zip(crop_maps, image_to_crop, strict=True)
        ]

    def reconstruct(
        self, photos: Sequence[Found], max_faces: int | None = None
    ) -> list[list[Face]]:
        """The rest of the way for several photos at a time: crop, network, place.

        Args:
            photos: What `find` gave.
            max_faces: At most so many faces a photo.

        Returns:
            The faces of each in the order of a call.
        """
        owners = np.repeat(np.arange(len(photos)), [len(each.boxes) for each in photos])
        if not len(owners):
            return [[] for _ in photos]
        views = self._look(photos, owners, np.concatenate([each.boxes for each in photos]))
        views = self._look_around(photos, owners, views)
        for _ in range(self.passes - 1):
            views = self._look(photos, owners, self._boxes_seen(photos, owners, views))
        faces: list[list[Face]] = [[] for _ in photos]
        number = np.concatenate([np.arange(len(each.boxes)) for each in photos])
        for owner, i, view in zip(owners.tolist(), number.tolist(), views, strict=True):
            found = photos[owner]
            sure = None if found.scores is None else float(found.scores[i])
            own_score = 1.0 if sure is None else sure
            score = own_score if view.confidence is None else view.confidence
            if view.confidence is not None and sure is not None:
                least = LEAST_CONFIDENCE if sure >= SURE_SCORE else LEAST_CONFIDENCE_UNSURE
                if score < least:
                    continue
            box, atlas = found.boxes[i, :4], self.model.atlas
            faces[owner].append(Face(view.position_map, atlas, box, score, found.photo, sure))
        for own, found in zip(faces, photos, strict=True):
            if found.scores is not None and len(own) > 1:
                # what a network trusts little, a far face or none, never comes before a whole one
                own.sort(key=lambda face: -face.score * _visible_size(face.box, found.photo))
        return [own[:max_faces] for own in faces]

    def _look(
        self, photos: Sequence[Found], owners: NDArray[np.intp], boxes: NDArray[np.float32]
    ) -> list["_View"]:
        """One pass: the face in each box (N, 5), which lies in the photo that owns it."""
        crops = [
            self.crop(photos[owner].photo, box[None])
            for owner, box in zip(owners.tolist(), boxes, strict=True)
        ]
        pixels = np.concatenate([each.pixels for each in crops])
        crop_maps, confidences = self.model.regress_lazily(pixels)
        maps = self.place(crop_maps, [move for each in crops for move in each.image_to_crop])
        sure = [None] * len(maps) if confidences is None else confidences.tolist()
        return [_View(*each) for each in zip(maps, sure, boxes, strict=True)]

    def _look_around(
        self, photos: Sequence[Found], owners: NDArray[np.intp], views: list["_View"]
    ) -> list["_View"]:
        """Faces of which the network isn't sure, seen at other angles; the surest of each."""
        unsure = [
            i
            for i, view in enumerate(views)
            if view.confidence is not None
            and view.confidence < (UNSURE if np.isnan(view.box[4]) else UNSURE_DETECTED)
        ]
        if not unsure:
            return views
        count, own = len(unsure), owners[unsure]
        boxes = np.nan_to_num(np.stack([views[i].box for i in unsure]))
        turned = np.concatenate([boxes + [0, 0, 0, 0, angle] for angle in OTHER_ANGLES_DEG])
        others = self._look(photos, np.tile(own, len(OTHER_ANGLES_DEG)), turned)
        best = [_surest(views[i], *others[k::count]) for k, i in enumerate(unsure)]
        # what is left of the angle is up to 45 degrees, and the box wasn't drawn for it
        again = self._look(photos, own, self._boxes_seen(photos, own, best))
        views = list(views)
        for i, *both in zip(unsure, best, again, strict=True):
            views[i] = _surest(*both)
        return views

    def _boxes_seen(
        self, photos: Sequence[Found], owners: NDArray[np.intp], views: list["_View"]
    ) -> NDArray[np.float32]:
        """Boxes (N, 5) tight around landmarks, at their angles; old ones outside the photo."""
        boxes = np.stack([np.nan_to_num(view.box) for view in views]).astype(np.float32)
        atlas = self.model.atlas
        for box, owner, view in zip(boxes, owners.tolist(), views, strict=True):
            angle = in_plane_angle(fit_pose(view.position_map, atlas).rotation)
            x, y, *extent, _ = tight_oriented(decode_landmarks68(view.position_map, atlas), angle)
            reach_x, reach_y = np.array(extent) / 2
            corners = x - reach_x, y - reach_y, x + reach_x, y + reach_y
            height, width = photos[owner].photo.shape[:2]
            is_inside = corners[0] < width - 0.5 and corners[1] < height - 0.5
            if is_inside and corners[2] > -0.5 and corners[3] > -0.5:
                box[:] = *corners, np.degrees(angle)
        return boxes


class _View(NamedTuple):
    """What the network said of a crop.

    Attributes:
        position_map: Photo frame, z centred.
        confidence: None from a network without.
        box: (5,) float32, what the crop was cut by.
    """

    position_map: PositionMap
    confidence: float | None
    box: NDArray[np.float32]


def _surest(first: _View, *others: _View) -> _View:
    """Of views of one face the first, unless the network is clearly surer of another."""
    best = max(others, key=lambda view: view.confidence or 0.0)
    is_clear = (best.confidence or 0.0) > (first.confidence or 0.0) + CLEARLY_SURER
    return best if is_clear else first


def _visible_size(box: NDArray[np.float32], photo: NDArray[np.uint8]) -> float:
    """Side of a square as large as the part of a box that the photo shows, in pixels."""
    height, width = photo.shape[:2]
    shown = np.clip(box, -0.5, [width - 0.5, height - 0.5] * 2)
    return float(np.sqrt((shown[2:] - shown[:2]).prod()))
