"""What a look finds, in plain numbers: a photo has few faces, for which NumPy takes longer."""

import math
from typing import NamedTuple

import numpy as np

from prnet.geometry.oriented import keep_distinct

SAME_FACE = 0.6  # part of the smaller box's area; the higher-scored one of such two is kept


class FoundBox(NamedTuple):
    """A box as in `prnet.geometry.oriented`, and its score."""

    x: float
    y: float
    width: float
    height: float
    angle: float
    score: float

    @property
    def size(self) -> float:
        """√(w·h)."""
        return math.sqrt(self.width * self.height)


def distinct(faces: list[FoundBox]) -> list[FoundBox]:
    """Of those that are one face the surest; surest first."""
    if len(faces) < 2:
        return faces
    table = np.array(faces)
    return [faces[i] for i in keep_distinct(table[:, :5], table[:, 5], SAME_FACE).tolist()]


def is_same(box: FoundBox, other: FoundBox) -> bool:
    """Tell whether two boxes share so much of the larger one that they are of one face."""
    cos, sin = math.cos(box.angle), math.sin(box.angle)
    x, y = other.x - box.x, other.y - box.y
    away_x, away_y = abs(cos * x + sin * y), abs(cos * y - sin * x)
    width = min((box.width + other.width) / 2 - away_x, box.width, other.width)
    height = min((box.height + other.height) / 2 - away_y, box.height, other.height)
    shared = max(width, 0) * max(height, 0)
    return shared > SAME_FACE * max(box.width * box.height, other.width * other.height)
