"""Vertices → position map (encode) → vertices, landmarks (decode); crop frame ↔ photo frame."""

from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose
from prnet.geometry.sampling import all_finite
from prnet.geometry.similarity import Similarity
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.chart import ChartSampler
from prnet.uv.spline_map import SplineMap

# (M, M, 3) float32, or one with M = 256 that isn't drawn yet
PositionMap = NDArray[np.float32] | SplineMap


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


def draw(position_map: PositionMap) -> NDArray[np.float32]:
    """The map itself, (M, M, 3) float32; the same array if it is drawn already."""
    return position_map.draw() if isinstance(position_map, SplineMap) else position_map


def check_map(position_map: PositionMap, atlas: Atlas) -> None:
    """Refuse what is no map of an atlas with M = 256; raises ValueError."""
    if isinstance(position_map, SplineMap):
        own = position_map.spline.atlas
        if own is not atlas and own.sha256 != atlas.sha256:
            raise ValueError("given_map must be drawn with the face's atlas, got one of another")
        if not all_finite(position_map.controls) or not np.isfinite(position_map.turn).all():
            raise ValueError("given_map must be finite, got NaN or infinity")
        return
    shape = (MAP_SIZE, MAP_SIZE, 3)
    if position_map.shape != shape or position_map.dtype != np.float32:
        raise ValueError(
            f"given_map must be {shape} float32, got {position_map.shape} {position_map.dtype}"
        )
    if not all_finite(position_map):
        raise ValueError("given_map must be finite, got NaN or infinity")


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


def decode_landmarks68(position_map: PositionMap, atlas: Atlas) -> NDArray[np.float32]:
    """Read the 68 iBUG points off a map, between its pixels.

    Args:
        position_map: Any frame.
        atlas: The map's atlas.

    Returns:
        (68, 3) float32 in the map's frame.
    """
    if isinstance(position_map, SplineMap):
        return position_map.landmarks68()
    pixels, shares = atlas.landmark_reads
    return (shares @ position_map.reshape(-1, 3)[pixels])[:, 0].astype(np.float32)


def fit_pose(position_map: PositionMap, atlas: Atlas) -> Pose:
    """Fit the pose of a map, over what expression hardly moves: `Atlas.rigid_vertices`.

    Args:
        position_map: Photo frame.
        atlas: The map's atlas.

    Returns:
        Canonical frame → photo frame.
    """
    if isinstance(position_map, SplineMap):
        return atlas.pose_fit.from_moments(position_map.moments)
    span, weights = atlas.pose_weights
    return atlas.pose_fit.from_moments(weights @ position_map.reshape(-1, 3)[span])


@overload
def crop_to_image(
    position_map: NDArray[np.float32], image_to_crop: Similarity, atlas: Atlas
) -> NDArray[np.float32]: ...


@overload
def crop_to_image(
    position_map: SplineMap, image_to_crop: Similarity, atlas: Atlas
) -> SplineMap: ...


def crop_to_image(
    position_map: PositionMap, image_to_crop: Similarity, atlas: Atlas
) -> PositionMap:
    """Bring a map from the crop frame to the photo frame.

    Args:
        position_map: Crop frame.
        image_to_crop: The 2D similarity of the crop.
        atlas: The map's atlas.

    Returns:
        The map in the photo frame, drawn if it was; z keeps the scale of x and y, and its mean over
        the face's vertices is 0.
    """
    to_image = image_to_crop.inverse()
    if isinstance(position_map, SplineMap):
        return position_map.moved(_lifted(to_image, position_map.mean_depth))
    return _move(position_map, _lifted(to_image, _mean_depth(position_map, atlas)))


def image_to_crop(
    position_map: NDArray[np.float32], image_to_crop: Similarity
) -> NDArray[np.float32]:
    """Bring a map from the photo frame to the crop frame: the inverse of `crop_to_image`."""
    return _move(position_map, _lifted(image_to_crop, 0.0))


def _lifted(similarity: Similarity, depth: float) -> NDArray[np.float64]:
    """(3, 4): a 2D similarity for x and y, and its scale for z from this depth on."""
    scale = similarity.scale
    (a, b), (c, d) = (scale * similarity.rotation).tolist()
    x, y = similarity.translation.tolist()
    return np.array([[a, b, 0, x], [c, d, 0, y], [0, 0, scale, -scale * depth]])


def _move(position_map: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Apply an affine (3, 4) matrix to a map."""
    return np.asarray(cv2.transform(position_map, matrix), np.float32)


def _mean_depth(position_map: NDArray[np.float32], atlas: Atlas) -> float:
    """Mean z of the face's vertices."""
    return float(position_map.reshape(-1, 3)[:, 2] @ atlas.vertex_shares)
