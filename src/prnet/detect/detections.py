"""What a detector is and what it finds: boxes tight around the 68 landmarks, whoever found them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
