"""The faces of a video replaced by those of a photo, steadily from frame to frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from prnet.apps.swap import SETTLE_S, Colors, Seam, Swapper, measure_colors
from prnet.apps.video import Tracked
from prnet.face import Face

MEASURE_S = 0.25  # seconds between looks at a face's colors


@dataclass(eq=False)
class _Past:
    """What is known of a tracked face: its colors as last measured and as used, and its seam."""

    measured: Colors
    used: Colors
    measured_s: float
    drawn_s: float = -np.inf
    seam: Seam = field(default_factory=Seam)

    def advance(self, face: Face, time_s: float) -> float:
        """Go on to a frame; gives the seconds since the one before."""
        seconds = time_s - self.drawn_s
        self.drawn_s = time_s
        if time_s - self.measured_s >= MEASURE_S:
            self.measured, self.measured_s = measure_colors(face), time_s
        share = 1 - np.exp(-seconds / SETTLE_S)
        old, new = self.used, self.measured
        self.used = Colors(
            old.mean + share * (new.mean - old.mean),
            old.spread + share * (new.spread - old.spread),
        )
        return float(seconds)


class VideoSwap:
    """Draws faces on those of a video's frames; its frames come in order.

    Shape and pose are as steady as the tracker's; what colors and seam are matched to is
    followed smoothly.

    Args:
        sources: The faces to draw, with their photos. By number of the face of the video, as the
            tracker counts them; or in a row: each face gets the source of its number, or the first
            where there are fewer.
    """

    def __init__(self, sources: Sequence[Face] | Mapping[int, Face]) -> None:
        if isinstance(sources, Mapping):
            self._swappers = {number: Swapper(face) for number, face in sources.items()}
            self._other = None
        else:
            self._swappers = dict(enumerate(map(Swapper, sources), 1))
            self._other = self._swappers[1]
        self._past: dict[int, _Past] = {}

    def draw(self, frame: Tracked) -> NDArray[np.uint8]:
        """The frame with the other faces: (H, W, 3) uint8 RGB."""
        picture = frame.rgb
        for tracked in frame.faces:
            swapper = self._swappers.get(tracked.id, self._other)
            if swapper is not None:
                past = self._past.get(tracked.id)
                if past is None:
                    colors = measure_colors(tracked.face)
                    past = self._past[tracked.id] = _Past(colors, colors, frame.time_s)
                seconds = past.advance(tracked.face, frame.time_s)
                face = replace(tracked.face, image=picture)
                picture = swapper.draw(face, past.used, past.seam, seconds)
        return picture

    @property
    def seen(self) -> set[int]:
        """Numbers of the faces that were drawn on."""
        return set(self._past)
