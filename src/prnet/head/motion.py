"""A head and how it moved over time → a GLB with an animation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose
from prnet.head.head import CM_PER_METRE, Head, morph_mesh

FIELD_DEG = 40.0  # what a camera is taken to see from top to bottom, since no photo says


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """T moments of a head.

    Attributes:
        times_s: (T,) float64, ascending, seconds.
        weights: (T, E) float64 in [0, 1], of the head's targets.
        poses: T poses, canonical frame → frame of the video.
        size_wh: Width and height of the video, pixels.
    """

    times_s: NDArray[np.float64]
    weights: NDArray[np.float64]
    poses: list[Pose]
    size_wh: tuple[int, int]


def encode_motion(head: Head, motion: HeadMotion) -> bytes:
    """Make a GLB: metres, a camera at the origin that looks along −z, and the head before it.

    The camera is taken to see FIELD_DEG; so the head's size in the picture says how far away it is.
    The animation is called "performance" and begins at 0 s.

    Raises:
        ValueError: There is no moment, or weights or poses are not one for each.
    """
    from prnet.head.glb import HeadFile  # slow to import

    count = len(motion.times_s)
    if count == 0:
        raise ValueError("motion must have a moment at least, got none")
    if motion.weights.shape != (count, len(head.names)) or len(motion.poses) != count:
        raise ValueError(
            f"motion must have {len(head.names)} weights and a pose for each of {count} moments, "
            f"got {motion.weights.shape} and {len(motion.poses)}"
        )
    width, height = motion.size_wh
    focal_px = height / 2 / np.tan(np.radians(FIELD_DEG / 2))
    middle = np.array([(width - 1) / 2, -(height - 1) / 2])
    scales = np.array([pose.scale for pose in motion.poses])
    away_m = focal_px / scales / CM_PER_METRE
    places = np.array([pose.translation[:2] for pose in motion.poses]) - middle
    translations = np.column_stack([places * (away_m / focal_px)[:, None], -away_m])
    rotations = quaternions(np.array([pose.rotation for pose in motion.poses]))
    file = HeadFile()
    file.add_lens(FIELD_DEG, width / height)
    file.add_head(morph_mesh(head, "head"))
    start = motion.times_s[0]
    moving = {"weights": motion.weights, "translation": translations, "rotation": rotations}
    file.animate("head", motion.times_s - start, **moving)
    return file.to_bytes()


def quaternions(rotations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotation matrices (T, 3, 3) → unit quaternions (T, 4) x y z w, neighbours on one side."""
    found = np.empty((len(rotations), 4))
    for quaternion, r in zip(found, np.asarray(rotations, np.float64), strict=True):
        # the eigenvector of the largest eigenvalue, which needs no case distinctions
        k = np.array(
            [
                [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
                [r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
                [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1], 0],
                [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
            ]
        )
        quaternion[:] = np.linalg.eigh(k)[1][:, -1]
    signs = np.where((found[1:] * found[:-1]).sum(1) < 0, -1, 1)
    first = -1 if found[0, 3] < 0 else 1
    found *= np.cumprod(np.concatenate([[first], signs]))[:, None]
    return found
