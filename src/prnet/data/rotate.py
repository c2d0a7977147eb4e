"""A labelled photo → the same with the head rotated in depth, as 300W-LP made its large poses.

The face's fitted mesh gives the depth of its pixels, the background gets a smooth continuation of
it, and the photo, now a relief, is rotated about the head's own axes and drawn again.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose, flip_y, rotation_from_angles
from prnet.geometry.rasterize import rasterize
from prnet.geometry.sampling import push_pull

GRID_STEP_PX = 3  # of the relief's mesh
SEAM_PX = 4.0  # width of the transition to a foreign background


def rotate(
    photo: NDArray[np.uint8],
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    pose: Pose,
    yaw_deg: float,
    pitch_deg: float = 0.0,
    *,
    is_photo: NDArray[np.bool_] | None = None,
    background: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint8], Pose]:
    """Rotate the head in a photo about its own up axis (yaw), then about its own left-right axis.

    Args:
        photo: (H, W, 3) uint8 RGB, best a face crop with the head in the middle, a few hundred
            pixels wide.
        vertices: (V, 3) float, canonical frame, cm: the face's shape without pose.
        triangles: (T, 3) int, its triangles.
        pose: Canonical frame → photo frame.
        yaw_deg: Added yaw, with the sign of `Pose`: positive turns the face to the photo's left.
        pitch_deg: Added pitch; positive turns the face up.
        is_photo: (H, W) bool, false where the face crop reaches past the photo; None: true
            everywhere.
        background: (H, W, 3) uint8 RGB that takes the place of what the turn uncovers, with a soft
            seam; None: uncovered parts continue their surroundings smoothly.

    Returns:
        The rotated photo (H, W, 3) uint8 RGB, and the rotated pose: the label stays the same but
        for it.

    Source: Zhu et al. 2016, "Face Alignment Across Large Poses", section 4 (face profiling).
    """
    height, width = photo.shape[:2]
    depth = _relief(pose.apply(vertices), triangles, (height, width))
    # the head turns about a point inside it, so that it stays where it is in the photo
    pivot = np.array([0.0, vertices[:, 1].mean(), vertices[:, 2].mean()])
    turning = rotation_from_angles(yaw_deg, 0, 0) @ rotation_from_angles(0, pitch_deg, 0)
    rotation = pose.rotation @ turning
    translation = pose.translation + pose.scale * (pose.rotation - rotation) @ pivot
    rotated_pose = Pose(pose.scale, rotation, translation)

    x, y = np.meshgrid(
        np.append(np.arange(0, width - 1, GRID_STEP_PX), width - 1),
        np.append(np.arange(0, height - 1, GRID_STEP_PX), height - 1),
    )
    source = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
    points = np.column_stack([source, depth[y, x].ravel()]).astype(np.float64)
    centre = pose.apply(pivot[None])[0]
    # the same turn, seen in the photo: R·T·Rᵀ with y down
    in_photo = flip_y(flip_y((rotation @ pose.rotation.T).T).T)
    moved = (points - centre) @ in_photo.T + centre
    grid = np.arange(source.shape[0]).reshape(x.shape)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]
    relief = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
    raster = rasterize(moved, relief, (height, width))
    where = raster.interpolate(source, relief)
    x_map, y_map = where[..., 0], where[..., 1]
    rotated = cv2.remap(photo, x_map, y_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    is_known = raster.is_covered
    if is_photo is not None:
        column, row = np.rint(x_map).astype(int), np.rint(y_map).astype(int)
        is_known = is_known & is_photo[row, column]
    return fill(np.asarray(rotated, np.uint8), is_known, background), rotated_pose


def fill(
    photo: NDArray[np.uint8],
    is_known: NDArray[np.bool_],
    background: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Complete a photo's unknown pixels.

    Args:
        photo: (H, W, 3) uint8.
        is_known: (H, W) bool.
        background: (H, W, 3) uint8 to show through away from the known pixels; None: continue
            those.

    Returns:
        (H, W, 3) uint8, a new array.
    """
    weight = is_known.astype(np.float32)
    filled = push_pull(photo * weight[..., None], weight)
    if background is not None:
        seam = cv2.GaussianBlur((~is_known).astype(np.float32), (0, 0), SEAM_PX)
        share = np.where(is_known, 0, np.clip(2 * seam - 0.5, 0, 1))[..., None]
        filled = filled * (1 - share) + background * share
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def _relief(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], shape_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Depth of every pixel, (H, W) float32: the face's, continued into the background."""
    raster = rasterize(vertices, triangles, shape_hw)
    if not raster.is_covered.any():
        return np.zeros(shape_hw, np.float32)
    depth = np.where(raster.is_covered, raster.depth, 0)[..., None].astype(np.float32)
    return push_pull(depth, raster.is_covered.astype(np.float32))[..., 0]
