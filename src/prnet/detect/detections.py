"""What a detector is and what it finds: boxes tight around the 68 landmarks, whoever found them."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of a photo.

    Attributes:
        boxes: (N, 4) float32, x0 y0 x1 y1, photo pixels, pixel centres at integers; turned about
            its centre by the face's angle, tight around its 68 landmarks, and like them perhaps
            partly outside the photo.
        scores: (N,) float32 in [0, 1], how sure the detector is.
        angles_deg: (N,) float32, the faces' in-plane angles in degrees, clockwise as seen: 0
            upright, 90 with the top of the head to the right. NaN where it isn't known, None if
            none is.

    Raises:
        ValueError: Other shapes or types, a box that isn't finite or has no size, a score out of
            range, an infinite angle.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    angles_deg: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check what was given."""
        boxes = self.boxes
        if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype != np.float32:
            raise ValueError(f"boxes must be (N, 4) float32, got {boxes.shape} {boxes.dtype}")
        arrays = {"scores": self.scores, "angles_deg": self.angles_deg}
        for name, values in arrays.items():
            if values is None:
                continue
            if values.shape != (len(boxes),) or values.dtype != np.float32:
                raise ValueError(
                    f"{name} must be ({len(boxes)},) float32, got {values.shape} {values.dtype}"
                )
        # in plain numbers: a photo has few faces, for which NumPy takes longer.
        # One that isn't finite has no finite size either, or no size
        if not all(
            0 < x1 - x0 < math.inf and 0 < y1 - y0 < math.inf for x0, y0, x1, y1 in boxes.tolist()
        ):
            raise ValueError(f"boxes must be finite with x0 < x1 and y0 < y1, got {boxes.tolist()}")
        if not all(0 <= score <= 1 for score in self.scores.tolist()):
            raise ValueError(f"scores must be in [0, 1], got {self.scores.tolist()}")
        if self.angles_deg is not None and any(map(math.isinf, self.angles_deg.tolist())):
            raise ValueError(f"angles_deg must not be infinite, got {self.angles_deg.tolist()}")

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.boxes)

    @classmethod
    def empty(cls) -> "Detections":
        """No face."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32))

    def oriented(self) -> NDArray[np.float32]:
        """(N, 5) float32 x0 y0 x1 y1 and the angle in degrees, as `Reconstructor` takes boxes."""
        oriented = np.empty((len(self), 5), np.float32)
        oriented[:, :4] = self.boxes
        oriented[:, 4] = np.nan if self.angles_deg is None else self.angles_deg
        return oriented

    @classmethod
    def of_oriented(cls, boxes: NDArray[np.floating], scores: NDArray[np.floating]) -> "Detections":
        """From (N, 5) boxes as in `prnet.geometry.oriented`."""
        corners, angles = [], []
        for x, y, width, height, angle in boxes.tolist():
            corners.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
            angles.append((math.degrees(angle) + 180) % 360 - 180)
        return cls(
            np.array(corners, np.float32).reshape(-1, 4),
            scores.astype(np.float32),
            np.array(angles, np.float32),
        )


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
