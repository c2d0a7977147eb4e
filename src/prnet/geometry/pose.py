"""Canonical points and photo points → the head's pose, and its angles in 300W-LP's convention.

R = Rx(pitch) · Ry(yaw) · Rz(roll) turns canonical points in a frame with y up, where
Rx = [[1,0,0],[0,c,s],[0,−s,c]], Ry = [[c,0,−s],[0,1,0],[s,0,c]], Rz = [[c,s,0],[−s,c,0],[0,0,1]].
So yaw > 0 looks to the left of the photo, pitch > 0 looks up, roll > 0 tilts the head's top to the
right of the photo.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.similarity import Similarity, SimilarityFit

LOCKED = 1e-6  # cosine of yaw under which pitch and roll turn about the same axis


class Angles(NamedTuple):
    """Degrees, signs as in 300W-LP's Pose_Para."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, eq=False)
class Pose:
    """Weak perspective: photo = diag(1, −1, 1) · (scale · rotation · canonical + translation).

    Attributes:
        scale: Photo pixels per cm.
        rotation: (3, 3) float64, determinant +1, canonical frame → photo frame with y up.
        translation: (3,) float64, photo pixels with y up.
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    @property
    def yaw(self) -> float:
        """Degrees in [−180, 180]; positive when the face looks to the left of the photo."""
        return self._angles.yaw

    @property
    def pitch(self) -> float:
        """Degrees in [−90, 90]; positive when the face looks up."""
        return self._angles.pitch

    @property
    def roll(self) -> float:
        """Degrees in [−180, 180]; positive when the head's top tilts to the right of the photo."""
        return self._angles.roll

    @cached_property
    def _angles(self) -> Angles:
        """All three, worked out once."""
        return angles_from_rotation(self.rotation)

    def __rmatmul__(self, photo_to_other: Similarity) -> "Pose":
        """The pose in another picture: `photo_to_other @ pose`.

        Args:
            photo_to_other: 2D, photo pixels → the other picture's, both with y down; z takes its
                scale.
        """
        if not isinstance(photo_to_other, Similarity):
            return NotImplemented
        (c, s), _ = photo_to_other.rotation
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])  # the same, with y up
        x, y = photo_to_other.translation
        lifted = Similarity(photo_to_other.scale, rotation, np.array([x, -y, 0.0]))
        moved = lifted @ self._similarity
        return Pose(moved.scale, moved.rotation, moved.translation)

    def apply(self, canonical_points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Put canonical points where the photo shows them.

        Args:
            canonical_points: (..., 3) float, canonical frame, cm.

        Returns:
            (..., 3) float of the same precision, photo frame.
        """
        return flip_y(self._similarity.apply(canonical_points))

    def remove(self, photo_points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Take photo points back to the canonical frame: the inverse of `apply`."""
        return self._similarity.inverse().apply(flip_y(photo_points))

    @property
    def _similarity(self) -> Similarity:
        """The pose before y is turned down."""
        return Similarity(self.scale, self.rotation, self.translation)


def flip_y(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Turn y-up points into y-down points or back: (..., 3) float → a new array of the same."""
    flipped = points.copy()
    flipped[..., 1] *= -1  # NumPy multiplies by three numbers several times as slowly
    return flipped


class PoseFit:
    """Fits poses to one set of canonical points, what they need alone being worked out once.

    Attributes:
        weights: (4, P) float64: see `SimilarityFit`.
    """

    def __init__(self, canonical_points: NDArray[np.floating]) -> None:
        """Take the points.

        Args:
            canonical_points: (P, 3) float, P ≥ 3, canonical frame, cm.

        Raises:
            ValueError: Another shape, or the points lie on a line.
        """
        self._fit = SimilarityFit(canonical_points)
        self.weights = self._fit.weights

    def __call__(self, photo_points: NDArray[np.floating]) -> Pose:
        """Find the pose that takes them nearest to photo points, in least squares.

        Args:
            photo_points: (P, 3) float, photo frame.

        Raises:
            ValueError: Another shape, or the points lie on a line.
        """
        photo = np.asarray(photo_points, np.float64)
        if photo.ndim != 2 or photo.shape[1] != 3:
            raise ValueError(f"photo_points must be (P, 3), got {photo.shape}")
        return self._pose(self._fit(flip_y(photo)))

    def from_moments(self, moments: NDArray[np.floating]) -> Pose:
        """Find the pose by the photo points' moments: `weights` times them, (4, 3)."""
        return self._pose(self._fit.from_moments(flip_y(moments.astype(np.float64))))

    @staticmethod
    def _pose(similarity: Similarity) -> Pose:
        """Canonical points → photo points with y up, as a pose."""
        return Pose(similarity.scale, similarity.rotation, similarity.translation)


def rotation_from_angles(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Make the rotation matrix of three angles in degrees.

    Returns:
        (3, 3) float64, Rx(pitch) · Ry(yaw) · Rz(roll) as at the top of this file.
    """
    (sx, sy, sz), (cx, cy, cz) = (f(np.radians([pitch, yaw, roll])) for f in (np.sin, np.cos))
    about_x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def in_plane_angle(rotation: NDArray[np.floating]) -> float:
    """The angle of the head's up axis as the photo shows it, whatever yaw and pitch are.

    Args:
        rotation: (3, 3) float, canonical frame → photo frame with y up.

    Returns:
        Radians in [−π, π]; 0 upright, positive with the top of the head to the right.
    """
    return float(np.arctan2(rotation[0, 1], rotation[1, 1]))


def angles_from_rotation(rotation: NDArray[np.floating]) -> Angles:
    """Read the angles off a rotation matrix: the inverse of `rotation_from_angles`.

    Args:
        rotation: (3, 3) float, orthonormal with determinant +1.

    Returns:
        Angles with pitch in [−90, 90], the other two in [−180, 180]: of the two triples that make
        the same matrix the one that doesn't stand the head on its neck, so a face turned a little
        past profile has a yaw a little past 90°. At yaw ±90° pitch and roll turn about one axis;
        roll is 0 there.

    Raises:
        ValueError: Not a rotation.
    """
    r = np.asarray(rotation, np.float64)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), atol=1e-4) or np.linalg.det(r) < 0:
        raise ValueError(
            f"rotation must be orthonormal (3, 3) with determinant 1, got {r.tolist()}"
        )
    cosine = np.hypot(r[0, 0], r[0, 1])
    if cosine < LOCKED:
        yaw = -np.sign(r[0, 2]) * np.pi / 2
        pitch, roll = np.arctan2(-np.sign(r[0, 2]) * r[1, 0], r[1, 1]), 0.0
    else:
        side = -1.0 if r[2, 2] < 0 else 1.0
        yaw = np.arctan2(-r[0, 2], side * cosine)
        pitch = np.arctan2(side * r[1, 2], side * r[2, 2])
        roll = np.arctan2(side * r[0, 1], side * r[0, 0])
    return Angles(*np.degrees([yaw, pitch, roll]).tolist())
