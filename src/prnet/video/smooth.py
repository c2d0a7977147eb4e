"""A track's faces, frame by frame → the same without jitter: one-euro filters.

Pose and pose-free shape are filtered apart, so the landmarks are still in the face's own frame
while the head moves. A filter's cutoff frequency rises with the speed of what it filters: slow
means still, fast means prompt.

Source: Casiez, Roussel, Vogel 2012, "1 € Filter".
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled
from prnet.geometry.pose import Pose
from prnet.uv.atlas import MAP_SIZE, Atlas

Array = NDArray[np.floating]


@dataclass(frozen=True)
class OneEuro:
    """How a one-euro filter weighs stillness against promptness.

    Attributes:
        cutoff_hz: Of the low-pass filter at rest; lower is stiller.
        per_speed: Hz added for each unit of speed; higher is prompter.
        speed_hz: Cutoff of the low-pass filter of the speed itself.
        rest_speed: Speeds up to this one count as noise at rest.
    """

    cutoff_hz: float
    per_speed: float
    speed_hz: float
    rest_speed: float = 0.0


@dataclass(frozen=True)
class Smoothing:
    """How faces are filtered.

    Attributes:
        rotation: Of the head; speeds in degrees a second.
        place: Of the face's middle in the photo; speeds in cm a second.
        size: Of the logarithm of the pose's scale; speeds in 1 a second.
        shape: Of each point of the pose-free face; speeds in cm a second.
        identity_s: Seconds over which the mean of the pose-free shape, the identity, settles.
    """

    rotation: OneEuro = OneEuro(0.8, 0.15, 2.0, 4.0)
    place: OneEuro = OneEuro(0.8, 0.5, 2.0, 1.0)
    size: OneEuro = OneEuro(0.5, 40.0, 2.0, 0.05)
    shape: OneEuro = OneEuro(0.8, 24.0, 10.0, 0.5)
    identity_s: float = 4.0


@dataclass
class _Follower:
    """The state of one filter: knows the speed, gives the share of a step to take."""

    settings: OneEuro
    speed: Array | None = None

    def share(self, step: Array, seconds: float) -> float:
        """How far to go from the last filtered value toward the new one, `step` away."""
        settings = self.settings
        if self.speed is None:
            self.speed = np.zeros_like(step)
        self.speed = self.speed + low_pass(settings.speed_hz, seconds) * (
            step / seconds - self.speed
        )
        excess = max(float(np.linalg.norm(self.speed)) - settings.rest_speed, 0.0)
        return low_pass(settings.cutoff_hz + settings.per_speed * excess, seconds)


@dataclass
class FaceSmoother:
    """Filters the faces of one track.

    Attributes:
        atlas: Of the faces' maps.
        settings: See there.
    """

    atlas: Atlas
    settings: Smoothing
    pose: Pose | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Begin without a past."""
        settings = self.settings
        self._rotation, self._place = _Follower(settings.rotation), _Follower(settings.place)
        self._size = _Follower(settings.size)
        self._seconds = 0.0
        # a turn about the canonical origin would move the face, one about this point doesn't
        rigid = self.atlas.canonical_vertices[self.atlas.rigid_vertices]
        self._middle = rigid.mean(0, dtype=np.float64)
        shape = (MAP_SIZE * MAP_SIZE, 3)
        self._identity, self._shape, self._speed = (np.zeros(shape, np.float32) for _ in range(3))

    @property
    def identity(self) -> NDArray[np.float32]:
        """(256, 256, 3) float32, canonical frame: the mean pose-free shape of late; a copy."""
        return self._identity.reshape(MAP_SIZE, MAP_SIZE, 3).copy()

    def update(
        self, position_map: NDArray[np.float32], pose: Pose, seconds: float
    ) -> NDArray[np.float32]:
        """Filter the next frame's face.

        Args:
            position_map: (256, 256, 3) float32, photo frame.
            pose: Canonical frame → photo frame, fitted to this map.
            seconds: Since the frame before; of no account at the first.

        Returns:
            (256, 256, 3) float32, photo frame, z centred; a new array. The first face comes back as
            it is.
        """
        is_first = self.pose is None
        smooth_pose = pose if self.pose is None else self._filter_pose(self.pose, pose, seconds)
        self.pose = smooth_pose
        self._seconds += 0.0 if is_first else seconds
        settle = (
            1.0 if is_first else seconds / min(self._seconds + seconds, self.settings.identity_s)
        )
        shape = self.settings.shape
        out = np.empty((MAP_SIZE * MAP_SIZE, 3), np.float32)
        _filter_shape(
            np.ascontiguousarray(position_map).reshape(-1, 3),
            np.linalg.inv(_matrix(pose)).astype(np.float32),
            _matrix(smooth_pose).astype(np.float32),
            self._identity,
            self._shape,
            self._speed,
            out,
            np.float32(settle),
            np.float32(1.0 if is_first else seconds),
            is_first,
            np.float32(shape.cutoff_hz),
            np.float32(shape.per_speed),
            np.float32(0.0 if is_first else low_pass(shape.speed_hz, seconds)),
            np.float32(shape.rest_speed),
        )
        out[:, 2] -= out[self.atlas.vertex_index, 2].mean()
        return out.reshape(MAP_SIZE, MAP_SIZE, 3)

    def _filter_pose(self, last: Pose, new: Pose, seconds: float) -> Pose:
        """The pose between the last filtered one and the new one."""
        turn = cv2.Rodrigues(new.rotation @ last.rotation.T)[0][:, 0]  # radians about its axis
        share = self._rotation.share(np.degrees(turn), seconds)
        rotation = cv2.Rodrigues(turn * share)[0] @ last.rotation
        growth = np.log(new.scale / last.scale)
        scale = last.scale * float(np.exp(self._size.share(growth, seconds) * growth))
        middle = self._middle
        then, now = (p.scale * p.rotation @ middle + p.translation for p in (last, new))
        step = now - then
        step[2] = 0.0  # z is centred in every frame
        then = then + self._place.share(step / last.scale, seconds) * step
        return Pose(scale, rotation, then - scale * rotation @ middle)


def low_pass(cutoff_hz: float, seconds: float) -> float:
    """Share of the step toward a new value that a first-order low-pass filter takes, in [0, 1]."""
    angle = 2 * np.pi * cutoff_hz * seconds
    return float(angle / (1 + angle))


def _matrix(pose: Pose) -> NDArray[np.float64]:
    """The (4, 4) matrix of `Pose.apply`."""
    matrix = np.eye(4)
    matrix[:3, :3] = pose.scale * pose.rotation
    matrix[:3, 3] = pose.translation
    matrix[1] *= -1  # y down in the photo
    return matrix


@compiled
def _filter_shape(
    photo_points: NDArray[np.float32],
    to_canonical: NDArray[np.float32],
    to_photo: NDArray[np.float32],
    identity: NDArray[np.float32],
    shape: NDArray[np.float32],
    speed: NDArray[np.float32],
    out: NDArray[np.float32],
    settle: np.float32,
    seconds: np.float32,
    is_first: bool,
    cutoff_hz: np.float32,
    per_speed: np.float32,
    speed_share: np.float32,
    rest_speed: np.float32,
) -> None:
    """Take the pose from a map's points, filter each, and give them the smooth pose."""
    turn = np.float32(2 * np.pi) * seconds
    one, none = np.float32(1), np.float32(0)
    for p in range(photo_points.shape[0]):
        u, v, w = photo_points[p, 0], photo_points[p, 1], photo_points[p, 2]
        total = none
        for k in range(3):
            a = to_canonical[k]
            x = a[0] * u + a[1] * v + a[2] * w + a[3]
            identity[p, k] += settle * (x - identity[p, k])
            if is_first:
                shape[p, k] = x
            step = x - shape[p, k]
            out[p, k] = step
            speed[p, k] += speed_share * (step / seconds - speed[p, k])
            total += speed[p, k] * speed[p, k]
        excess = max(np.sqrt(total) - rest_speed, none)
        angle = turn * (cutoff_hz + per_speed * excess)
        share = angle / (one + angle)
        for k in range(3):
            shape[p, k] += share * out[p, k]
        x, y, z = shape[p, 0], shape[p, 1], shape[p, 2]
        for k in range(3):
            b = to_photo[k]
            out[p, k] = b[0] * x + b[1] * y + b[2] * z + b[3]
