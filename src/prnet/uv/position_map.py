"""Vertices → position map (encode) → vertices, landmarks (decode); crop frame ↔ photo frame."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose
from prnet.geometry.similarity import Similarity
from prnet.uv.atlas import Atlas
from prnet.uv.chart import ChartSampler


def encode(
    sampler: ChartSampler, vertices: NDArray[np.floating], pose: Pose
) -> NDArray[np.float32]:
    """Make the position map of a posed face mesh.

    Args:
        sampler: The chart at the map's size M.
        vertices: (V, 3) float, canonical frame, cm, the mesh that the sampler was made for.
        pose: Canonical frame → photo frame.

    Returns:
        (M, M, 3) float32, photo frame; complete over holes and border. z is the pose's own, not
        centred.
    """
    return sampler.sample(pose.apply(vertices))


def centre_depth(position_map: NDArray[np.float32], atlas: Atlas) -> NDArray[np.float32]:
    """Shift z so that the mean over the face's vertices is 0, as the photo frame defines it.

    Args:
        position_map: (M, M, 3) float32.
        atlas: The map's atlas.

    Returns:
        (M, M, 3) float32, a new array.
    """
    return position_map - np.array([0, 0, _mean_depth(position_map, atlas)], np.float32)


def decode_vertices(position_map: NDArray[np.float32], atlas: Atlas) -> NDArray[np.float32]:
    """Read the mesh's vertices off a map.

    Args:
        position_map: (M, M, 3) float32, any frame.
        atlas: The map's atlas.

    Returns:
        (V, 3) float32 in the map's frame, a new array.
    """
    return position_map.reshape(-1, 3).take(atlas.vertex_index, 0)


def decode_landmarks68(position_map: NDArray[np.float32], atlas: Atlas) -> NDArray[np.float32]:
    """Read the 68 iBUG points off a map, between its pixels.

    Args:
        position_map: (M, M, 3) float32, any frame.
        atlas: The map's atlas.

    Returns:
        (68, 3) float32 in the map's frame.
    """
    pixels, shares = atlas.landmark_reads
    return (shares @ position_map.reshape(-1, 3)[pixels])[:, 0].astype(np.float32)


def fit_pose(position_map: NDArray[np.float32], atlas: Atlas) -> Pose:
    """Fit the pose of a map, over what expression hardly moves: `Atlas.rigid_vertices`.

    Args:
        position_map: (M, M, 3) float32, photo frame.
        atlas: The map's atlas.

    Returns:
        Canonical frame → photo frame.
    """
    span, weights = atlas.pose_weights
    return atlas.pose_fit.from_moments(weights @ position_map.reshape(-1, 3)[span])


def crop_to_image(
    position_map: NDArray[np.float32], image_to_crop: Similarity, atlas: Atlas
) -> NDArray[np.float32]:
    """Bring a map from the crop frame to the photo frame.

    Args:
        position_map: (M, M, 3) float32, crop frame.
        image_to_crop: The 2D similarity of the crop.
        atlas: The map's atlas.

    Returns:
        (M, M, 3) float32, photo frame; z keeps the scale of x and y, and its mean over the face's
        vertices is 0.
    """
    return _move(position_map, image_to_crop.inverse(), _mean_depth(position_map, atlas))


def image_to_crop(
    position_map: NDArray[np.float32], image_to_crop: Similarity
) -> NDArray[np.float32]:
    """Bring a map from the photo frame to the crop frame: the inverse of `crop_to_image`."""
    return _move(position_map, image_to_crop, 0.0)


def _move(
    position_map: NDArray[np.float32], similarity: Similarity, depth: float
) -> NDArray[np.float32]:
    """Apply a 2D similarity to x and y, and its scale to z from this depth on."""
    scale = similarity.scale
    (a, b), (c, d) = (scale * similarity.rotation).tolist()
    x, y = similarity.translation.tolist()
    matrix = np.array([[a, b, 0, x], [c, d, 0, y], [0, 0, scale, -scale * depth]])
    return np.asarray(cv2.transform(position_map, matrix), np.float32)


def _mean_depth(position_map: NDArray[np.float32], atlas: Atlas) -> float:
    """Mean z of the face's vertices."""
    return float(position_map.reshape(-1, 3)[:, 2] @ atlas.vertex_shares)
