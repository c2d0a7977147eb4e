"""Crops without a face, from which the network learns when not to trust itself."""

import os
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import Facekit
from prnet.image.crop import cut, square_to_crop
from prnet.train.augment import degrade
from prnet.train.config import AugmentConfig

SOURCE = "lfw"  # head and shoulders in front of something, mostly one person a photo
MAX_COVER = 0.1  # of a crop's middle by the face's box
TRIES = 20
P_PAINTED, P_SHUFFLED = 0.15, 0.15
TILES = 5  # along each side of a shuffled crop


class Negatives:
    """Places beside the face in the facekit's photos, faces in pieces, and painted blotches.

    Args:
        facekit: Folder of the facekit; its training photos are used.
        size: Side of the crops in pixels.
    """

    def __init__(self, facekit: str | os.PathLike[str], size: int) -> None:
        self.facekit, self.size = facekit, size

    @cached_property
    def _kit(self) -> Facekit:
        return Facekit(self.facekit, "train", (SOURCE,))

    def __getstate__(self) -> dict[str, Any]:
        """Without the records, which each process reads for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_kit"}

    def sample(self, settings: AugmentConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Make a crop.

        Args:
            settings: Of the degradation.
            rng: Source of randomness.

        Returns:
            (S, S, 3) uint8 RGB.
        """
        record = self._kit.records[int(rng.integers(len(self._kit.records)))]
        photo, kind = self._kit.photo(record), rng.random()
        if kind < P_PAINTED:
            crop = paint_blotches(self.size, rng)
        elif kind < P_PAINTED + P_SHUFFLED:
            x0, y0, x1, y1 = record.box
            side = float(x1 - x0 + y1 - y0) * rng.uniform(0.6, 0.9)
            crop = shuffle_tiles(self._cut(photo, (x0 + x1) / 2, (y0 + y1) / 2, side), rng)
        else:
            crop = self._cut(photo, *place_beside(record.box, photo.shape[:2], rng))
        other = np.asarray(cv2.resize(photo, (self.size, self.size)), np.uint8)
        return degrade(crop, other, settings, rng)

    def _cut(self, photo: NDArray[np.uint8], x: float, y: float, side: float) -> NDArray[np.uint8]:
        """The square around a place, (S, S, 3) uint8."""
        return cut(photo, square_to_crop(np.array([x, y]), side, self.size), self.size)


def place_beside(
    box: NDArray[np.floating], shape_hw: tuple[int, ...], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Choose a square of a photo in whose middle there is hardly any face.

    Args:
        box: (4,) float x0 y0 x1 y1, the face's, photo pixels.
        shape_hw: The photo's height and width.
        rng: Source of randomness.

    Returns:
        x and y of the middle and the side, photo pixels; of the tries, the one least covered.
    """
    height, width = shape_hw
    x0, y0, x1, y1 = (float(value) for value in box)
    usual = 0.75 * (x1 - x0 + y1 - y0)  # the side that the face's own crop has
    best, least = (0.0, 0.0, usual), np.inf
    for _ in range(TRIES):
        side = usual * float(np.exp(rng.uniform(np.log(0.25), np.log(1.2))))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        half = side / 3  # a face would fill two thirds of its crop
        across = max(0.0, min(x + half, x1) - max(x - half, x0))
        along = max(0.0, min(y + half, y1) - max(y - half, y0))
        cover = across * along / (2 * half) ** 2
        if cover < least:
            best, least = (x, y, side), cover
        if least < MAX_COVER:
            break
    return best


def shuffle_tiles(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a crop into square tiles and put them back in another order, each turned."""
    edges = np.linspace(0, len(crop), TILES + 1).astype(int)
    size = int(edges[1])
    shuffled = np.zeros_like(crop)
    places = [(row, column) for row in edges[:-1] for column in edges[:-1]]
    for k, (row, column) in zip(rng.permutation(len(places)), places, strict=True):
        top, left = places[k]
        tile = np.rot90(crop[top : top + size, left : left + size], int(rng.integers(4)))
        shuffled[row : row + size, column : column + size] = tile
    return shuffled


def paint_blotches(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Smooth noise of a few grains over one color, (size, size, 3) uint8."""
    picture = np.full((size, size, 3), rng.uniform(0, 255, 3))
    for _ in range(int(rng.integers(1, 5))):
        grain = int(np.exp(rng.uniform(np.log(2), np.log(size))))
        blotches = rng.normal(0, rng.uniform(5, 60), (grain, grain, 3 if rng.random() < 0.7 else 1))
        flags = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_NEAREST]))
        scaled = cv2.resize(blotches, (size, size), interpolation=flags)
        picture += scaled.reshape(size, size, -1)
    return np.clip(picture, 0, 255).astype(np.uint8)
