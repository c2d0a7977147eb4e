"""What a tracker knows of one face, and how like two looks are."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.boxes import tight_box
from prnet.geometry.oriented import tight_oriented
from prnet.geometry.pose import Pose, in_plane_angle
from prnet.video.smooth import FaceSmoother

Array = NDArray[np.floating]

LOOK_STEP, LOOK_BLUR = 16, 5  # map pixels between the places where a look is taken; crop pixels
LOOK_S = 1.0  # seconds over which a track's look follows the crops
# how unlike a face may look, see `unlike`: from one frame to the next; once it comes back where it
# should be, perhaps half hidden yet; and once it comes back as far off as it may
UNLIKE_NEXT, UNLIKE_NEAR, UNLIKE_FAR = 0.25, 0.9, 0.6
UNHURRIED = 0.05  # sizes of a face that it may move in a frame and be looked for where it was
DRIFT_S = 0.25  # a lost face is taken to go on as it moved for so long, then to stay


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face of a frame and whose it is.

    Attributes:
        id: The same for one face from frame to frame; counted from 1 by its tracker.
        face: The face, smoothed unless the tracker was told not to.
        age_s: Seconds since the tracker first saw it.
    """

    id: int
    face: Face
    age_s: float


@dataclass(frozen=True, eq=False)
class View:
    """What the network says of one crop of a frame.

    Attributes:
        position_map: (256, 256, 3) float32, photo frame, z centred.
        pose: Fitted to it.
        score: The network's confidence; 1 from networks without.
        look: As `describe` gives it.
        landmarks: (68, 2) float32, photo frame.
    """

    position_map: NDArray[np.float32]
    pose: Pose
    score: float
    look: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,) float32 x0 y0 x1 y1, upright, tight around the landmarks."""
        return tight_box(self.landmarks)

    @property
    def turned_box(self) -> NDArray[np.float32]:
        """(5,) float32 x0 y0 x1 y1 and the angle in degrees: the crop to look at next."""
        angle = in_plane_angle(self.pose.rotation)
        x, y, width, height, _ = tight_oriented(self.landmarks, angle)
        half = np.array([width, height]) / 2
        return np.array([*((x, y) - half), *((x, y) + half), np.degrees(angle)], np.float32)


@dataclass(eq=False)
class Track:
    """One face's past.

    Attributes:
        id: See `TrackedFace`.
        smoother: Its filters; None for none.
        first_s: When it was first seen.
        last_s: When it was last seen.
        box: (4,) float32, upright, around the landmarks of then.
        crop_box: (5,) float32, see `View.turned_box`.
        look: Of late, see `describe`.
        velocity: (2,) pixels a second of the box's center, of late.
        is_lost: Whether it wasn't there when last looked for.
    """

    id: int
    smoother: FaceSmoother | None
    first_s: float
    last_s: float
    box: NDArray[np.float32]
    crop_box: NDArray[np.float32]
    look: NDArray[np.float32]
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    is_lost: bool = False

    def expected_box(self, time_s: float) -> NDArray[np.float32]:
        """(4,) where it should be by now."""
        drift = self.velocity * min(time_s - self.last_s, DRIFT_S)
        return (self.box + np.tile(drift, 2)).astype(np.float32)

    def next_crop(self, time_s: float) -> NDArray[np.float32]:
        """(5,) where to look for it now: ahead of where it was, if it moves fast."""
        step = self.velocity * min(time_s - self.last_s, DRIFT_S)
        length = float(np.linalg.norm(step))
        ahead = max(length - UNHURRIED * size(self.box), 0.0) / length if length else 0.0
        return (self.crop_box + [*np.tile(ahead * step, 2), 0.0]).astype(np.float32)

    def advance(self, view: View, time_s: float) -> NDArray[np.float32]:
        """Go on to a view of the face; gives its position map, smoothed."""
        seconds = time_s - self.last_s
        box = view.box
        if seconds > 0:
            self.velocity = (center(box) - center(self.box)) / seconds
            change = min(seconds / LOOK_S, 1) * (view.look - self.look)
            self.look = (self.look + change).astype(np.float32)
        self.box, self.crop_box = box, view.turned_box
        self.last_s, self.is_lost = time_s, False
        if self.smoother is None:
            return view.position_map
        return self.smoother.update(view.position_map, view.pose, seconds)


def describe(crop: NDArray[np.uint8], crop_map: NDArray[np.float32]) -> NDArray[np.float32]:
    """How a face looks: its coarse colors in UV space, whatever the brightness and contrast.

    Args:
        crop: (S, S, 3) uint8 RGB.
        crop_map: (256, 256, 3) float32, crop pixels.

    Returns:
        (768,) float32 of length 1 and mean 0; all 0 for a crop of one color.
    """
    half = LOOK_STEP // 2
    x, y = cv2.split(np.ascontiguousarray(crop_map[half::LOOK_STEP, half::LOOK_STEP, :2]))
    soft = cv2.blur(crop, (LOOK_BLUR, LOOK_BLUR))
    colors = cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    look = np.asarray(colors, np.float32).ravel()
    look -= look.mean()
    length = float(np.linalg.norm(look))
    return look / length if length > 0 else look


def unlike(first: Array, second: Array) -> float:
    """How unlike two looks are: 0 for the same, about 1 for unrelated ones."""
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return 1.0 - float(first @ second) / size if size > 0 else 1.0


def center(box: Array) -> Array:
    """(2,) the middle of a box (4,)."""
    return (box[:2] + box[2:4]) / 2


def size(box: Array) -> float:
    """Mean width and height of a box (4,)."""
    return float((box[2:4] - box[:2]).mean())
