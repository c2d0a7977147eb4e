"""Faces + photo → the overlay: mesh, 68 landmarks by part, and the head's axes."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.draw.render import render_shaded
from prnet.face import Face
from prnet.landmarks import NOSE_TIP, PARTS
from prnet.uv.atlas import MAP_SIZE

# RGB of the lines
COLORS: dict[str, tuple[int, int, int]] = {
    "jaw": (255, 255, 255),
    "right brow": (255, 190, 60),
    "left brow": (255, 190, 60),
    "nose bridge": (205, 130, 255),
    "nose base": (205, 130, 255),
    "right eye": (70, 190, 255),
    "left eye": (70, 190, 255),
    "outer lips": (255, 90, 120),
    "inner lips": (255, 90, 120),
}
AXES = ((235, 60, 60), (60, 200, 80), (70, 120, 255))  # RGB of the head's x, y, z, as usual in 3D
AXIS_CM, ARROW_HEAD = 5.0, 0.18  # the head's share of an arrow
MESH_OPACITY = 0.35
WIRE_STEP, WIRE_COLOR = 8, (190, 225, 255)  # map pixels between the wires; RGB
LINE_SHARE = 1 / 140  # line width by face size
SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel


def draw_overlay(image: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Draw everything that shows at a glance whether the faces fit: mesh, landmarks, pose.

    Args:
        image: (H, W, 3) uint8 RGB, the photo; not changed.
        faces: Any number.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    picture = render_shaded(faces, image, MESH_OPACITY)
    for face in faces:
        _axes(picture, face)
        _landmarks(picture, face)
    return picture


def draw_landmarks(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """Draw the 68 points, joined along each part of the face.

    Returns a new (H, W, 3) uint8 RGB picture.
    """
    picture = np.array(image)
    _landmarks(picture, face)
    return picture


def draw_pose(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """Draw the head's axes at the tip of the nose: red to the subject's left, green up, blue ahead.

    Returns a new (H, W, 3) uint8 RGB picture.
    """
    picture = np.array(image)
    _axes(picture, face)
    return picture


def draw_wireframe(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """Draw every eighth line of the map where it is seen: a new (H, W, 3) uint8 RGB picture."""
    picture = np.array(image)
    seen = np.zeros((MAP_SIZE, MAP_SIZE), bool)
    seen.ravel()[face.atlas.vertex_index[face.visibility]] = True
    xy = face.position_map[..., :2]
    runs: list[NDArray[np.float32]] = []
    for line, is_seen in (
        *zip(xy[::WIRE_STEP], seen[::WIRE_STEP], strict=True),
        *zip(xy[:, ::WIRE_STEP].swapaxes(0, 1), seen[:, ::WIRE_STEP].T, strict=True),
    ):
        bounds = np.flatnonzero(np.diff(np.pad(is_seen, 1).astype(np.int8)))
        runs += [line[a:b] for a, b in bounds.reshape(-1, 2) if b - a > 1]
    _lines(picture, runs, WIRE_COLOR, _line_width(face) / 2, is_closed=False)
    return picture


def _landmarks(picture: NDArray[np.uint8], face: Face) -> None:
    """Draw the 68 points and the lines between them, in place."""
    width = _line_width(face)
    for name, (indices, is_closed) in PARTS.items():
        points, color = face.landmarks68[list(indices), :2], COLORS[name]
        _lines(picture, [points], color, width, is_closed)
        for point in _fixed(points).tolist():
            radius = round(1.4 * width * 2**SUBPIXEL_BITS)
            cv2.circle(picture, point, radius, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def _axes(picture: NDArray[np.uint8], face: Face) -> None:
    """Draw the head's axes, in place, the one that points at the viewer last."""
    start = face.landmarks68[NOSE_TIP]
    ends = start + AXIS_CM * face.pose.scale * face.pose.rotation.T * [1, -1, 1]
    for axis in np.argsort(ends[:, 2]):
        tip, width = ends[axis, :2], 1.3 * _line_width(face)
        along = (tip - start[:2]) * ARROW_HEAD
        across = along[::-1] * [1, -1] / 2
        head = np.array([tip - along + across, tip, tip - along - across])
        _lines(picture, [np.array([start[:2], tip]), head], AXES[axis], width, is_closed=False)


def _lines(
    picture: NDArray[np.uint8],
    lines: Sequence[NDArray[np.floating]],
    color: tuple[int, int, int],
    width: float,
    is_closed: bool,
) -> None:
    """Draw polylines, each (P, 2) in pixels, in place."""
    thickness = max(round(width), 1)
    fixed = [_fixed(line) for line in lines]
    cv2.polylines(picture, fixed, is_closed, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Points in OpenCV's fixed-point pixels, far ones brought near enough for its 32 bits."""
    return np.array(np.rint(np.clip(points, -1e5, 1e5) * 2**SUBPIXEL_BITS), np.int32)


def _line_width(face: Face) -> float:
    """Pixels that suit lines on a face, by the size of its landmarks' box."""
    return float(np.sqrt(np.prod(np.ptp(face.landmarks68[:, :2], axis=0)))) * LINE_SHARE
