"""A labelled photo → the same with the head rotated in depth, as 300W-LP made its large poses.

The face's fitted mesh gives the depth of its pixels, the background gets a smooth continuation of
it, and the photo, now a relief, is rotated about the head's own axes and drawn again. On the way
the face may take on another shape: then the relief's points move with the mesh.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose, flip_y, rotation_from_angles
from prnet.geometry.rasterize import rasterize
from prnet.geometry.sampling import push_pull

GRID_STEP_PX = 3  # of the relief's mesh
REACH_CM = 5.0  # from the face, beyond which a new shape of it moves nothing
SPREAD_CM = 1.0  # standard deviation of the blur of that movement outside the face
SEAM_PX = 4.0  # width of the transition to a foreign background


def rotate(
    photo: NDArray[np.uint8],
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    pose: Pose,
    yaw_deg: float,
    pitch_deg: float = 0.0,
    *,
    new_vertices: NDArray[np.floating] | None = None,
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
        new_vertices: (V, 3) float, canonical frame, cm: another shape for the face to take on; None
            to leave it as it is.
        is_photo: (H, W) bool, false where the face crop reaches past the photo; None: true
            everywhere.
        background: (H, W, 3) uint8 RGB that takes the place of what the turn uncovers, with a soft
            seam; None: uncovered parts continue their surroundings smoothly.

    Returns:
        The rotated photo (H, W, 3) uint8 RGB, and the rotated pose: the label stays the same but
        for it and the new shape.

    Source: Zhu et al. 2016, "Face Alignment Across Large Poses", section 4 (face profiling).
    """
    height, width = photo.shape[:2]
    displacement = np.zeros_like(vertices) if new_vertices is None else new_vertices - vertices
    relief = _relief(vertices, displacement, triangles, pose, (height, width))
    depth, displaced = relief[..., 0], relief[..., 1:]
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
    moved += flip_y(pose.scale * displaced[y, x].reshape(-1, 3) @ rotation.T)
    grid = np.arange(source.shape[0]).reshape(x.shape)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:], grid[1:, 1:]
    facets = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
    raster = rasterize(moved, facets, (height, width))
    where = raster.interpolate(source, facets)
    x_map, y_map = where[..., 0], where[..., 1]
    rotated = cv2.remap(photo, x_map, y_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    is_known = raster.is_covered
    if is_photo is not None:
        column, row = np.rint(x_map).astype(int), np.rint(y_map).astype(int)
        is_known = is_known & inner_part(is_photo)[row, column]
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


def inner_part(is_photo: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels (H, W) whose neighbours are photo too, so that nothing else is mixed in."""
    eroded = cv2.erode(is_photo.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(eroded > 0)


def _relief(
    vertices: NDArray[np.floating],
    displacement: NDArray[np.floating],
    triangles: NDArray[np.integer],
    pose: Pose,
    shape_hw: tuple[int, int],
) -> NDArray[np.float32]:
    """Depth in pixels and displacement in cm of every pixel, (H, W, 4) float32.

    On the face they are the mesh's. Around it the depth continues, while the displacement, so that
    its surroundings give way without a crease, gets smoother and ends at REACH_CM.
    """
    raster = rasterize(pose.apply(vertices), triangles, shape_hw)
    is_face = raster.is_covered
    if not is_face.any():
        return np.zeros((*shape_hw, 4), np.float32)
    relief = np.empty((*shape_hw, 4), np.float32)
    relief[..., 0] = np.where(is_face, raster.depth, 0)
    relief[..., 1:] = raster.interpolate(displacement, triangles)
    relief = push_pull(relief * is_face[..., None], is_face.astype(np.float32))
    if displacement.any():
        smooth = cv2.GaussianBlur(relief[..., 1:], (0, 0), SPREAD_CM * pose.scale)
        away = cv2.distanceTransform((~is_face).astype(np.uint8), cv2.DIST_L2, 5) / pose.scale
        near = np.clip(away / SPREAD_CM, 0, 1)[..., None]  # 0 on the face
        fading = np.clip(1 - away / REACH_CM, 0, 1)[..., None]
        relief[..., 1:] = fading * (near * smooth + (1 - near) * relief[..., 1:])
    return relief
