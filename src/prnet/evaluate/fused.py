"""People's faces, fused over their photos: how far front and profile still disagree."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from prnet.evaluate.metrics import aligned_distance
from prnet.evaluate.report import Table, number
from prnet.face import Face
from prnet.uv.atlas import FACE
from prnet.video.fuse import FusedFace, fuse

MM_PER_CM = 10.0
THINNED = 7  # every so many of a face's vertices are compared
TITLE = "Between a person's shape seen from the front and seen from the side, mm after alignment"
COLUMNS = "shapes", "people", "mean"


class FusedPeople:
    """Fuses each person's fronts and profiles apart; takes one person after the other.

    Attributes:
        landmarks68: (68, 3) float32, canonical frame, of the fused fronts, by person.
    """

    def __init__(self) -> None:
        self.landmarks68: dict[int, NDArray[np.float32]] = {}
        self._person: int | None = None
        self._fronts: list[Face] = []
        self._profiles: list[Face] = []
        self._singles_mm: list[float] = []
        self._fused_mm: list[float] = []

    def add(self, person: int, face: Face, is_profile: bool) -> None:
        """Take a face; all of a person's come one after the other."""
        if person != self._person:
            self.finish()
            self._person = person
        (self._profiles if is_profile else self._fronts).append(face.without_image())

    def finish(self) -> None:
        """Fuse the last person's faces."""
        fronts, profiles, person = self._fronts, self._profiles, self._person
        self._fronts, self._profiles, self._person = [], [], None
        if person is None or not fronts:
            return
        front = fuse(fronts, texture_size=1)
        self.landmarks68[person] = front.landmarks68
        if not profiles:
            return
        pairs = product(fronts, profiles)
        singles = [_gap_mm(a, a.frontal_vertices, b.frontal_vertices) for a, b in pairs]
        self._singles_mm.append(float(np.mean(singles)))
        profile = fuse(profiles, texture_size=1)
        self._fused_mm.append(_gap_mm(front, front.vertices, profile.vertices))

    def metrics(self) -> dict[str, float]:
        """Mean over people of the gap between `single_gap_mm` and between `fused_gap_mm` shapes."""
        if not self._fused_mm:
            return {}
        singles, fused = np.mean(self._singles_mm), np.mean(self._fused_mm)
        return {"single_gap_mm": float(singles), "fused_gap_mm": float(fused)}

    def tables(self) -> Sequence[Table]:
        """The same as a table; none without people."""
        gaps, people = self.metrics(), str(len(self._fused_mm))
        names = {"single_gap_mm": "of single photos", "fused_gap_mm": "fused"}
        cells = [[title, people, number(gaps[name])] for name, title in names.items() if gaps]
        return [Table(TITLE, COLUMNS, cells)] if cells else []


def _gap_mm(
    face: Face | FusedFace, first: NDArray[np.floating], second: NDArray[np.floating]
) -> float:
    """Mean distance of two shapes' face vertices, ears and neck left out, once aligned."""
    is_face = face.atlas.region.ravel()[face.atlas.vertex_index] >= FACE
    chosen = np.flatnonzero(is_face)[::THINNED]
    return MM_PER_CM * aligned_distance(first[chosen], second[chosen])
