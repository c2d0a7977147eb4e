"""The ways in which a video shows its faces, by name, and the faces' numbers."""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.draw.overlay import (
    draw_landmarks,
    draw_overlay,
    draw_pose,
    draw_wireframe,
)
from prnet.draw.render import render_pncc, render_shaded, render_textured
from prnet.face import Face

Picture = NDArray[np.uint8]
Draw = Callable[[Picture, Sequence[Face]], Picture]

DIMMED = 0.25  # of a frame's brightness, behind what hides its faces
# of a face's number: RGB, OpenCV's font scale by the face's size, and the gap above the brows
NUMBER_COLOR, NUMBER_SCALE, NUMBER_UP = (255, 255, 255), 1 / 110, 0.45


def _each(draw: Callable[[Picture, Face], Picture]) -> Draw:
    """Draw one face after the other."""

    def draw_all(picture: Picture, faces: Sequence[Face]) -> Picture:
        for face in faces:
            picture = draw(picture, face)
        return picture

    return draw_all


def _depth(picture: Picture, faces: Sequence[Face]) -> Picture:
    """How near each face is, from blue, its farthest, to red, its nearest."""
    drawn = _dim(picture)
    for face in sorted(faces, key=lambda each: each.pose.scale):
        depth = face.depth(picture.shape)
        is_face = np.isfinite(depth)
        if is_face.any():
            low, high = depth[is_face].min(), depth[is_face].max()
            gray = np.rint(255 * (depth[is_face] - low) / max(high - low, 1e-6)).astype(np.uint8)
            colors = cv2.applyColorMap(gray[:, None], cv2.COLORMAP_TURBO)
            drawn[is_face] = colors[:, 0, ::-1]
    return drawn


def _pncc(picture: Picture, faces: Sequence[Face]) -> Picture:
    """Which point of a face each pixel shows."""
    drawn = render_pncc(faces, (picture.shape[0], picture.shape[1]))
    return np.where(drawn.any(2, keepdims=True), drawn, _dim(picture))


def _dim(picture: Picture) -> Picture:
    """A frame as a background."""
    return np.asarray(cv2.convertScaleAbs(picture, alpha=DIMMED), np.uint8)


# what a face is drawn as → how; a new one is a function and its line here
STYLES: Mapping[str, Draw] = {
    "landmarks": _each(draw_landmarks),
    "pose": _each(draw_pose),
    "wireframe": _each(draw_wireframe),
    "overlay": draw_overlay,
    "shaded": lambda picture, faces: render_shaded(faces, picture),
    "textured": lambda picture, faces: render_textured(faces, _dim(picture)),
    "depth": _depth,
    "pncc": _pncc,
}


def draw_number(picture: Picture, face: Face, number: int) -> Picture:
    """Write a number above a face: a new (H, W, 3) uint8 RGB picture."""
    x0, y0, x1, y1 = face.box.tolist()
    side = (x1 - x0 + y1 - y0) / 2
    scale = max(side * NUMBER_SCALE, 0.4)
    place = round((x0 + x1) / 2), round(y0 - NUMBER_UP * side)
    thickness = max(round(2 * scale), 1)
    picture = picture.copy()
    for color, width in (((0, 0, 0), thickness + 2), (NUMBER_COLOR, thickness)):
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(picture, str(number), place, font, scale, color, width, cv2.LINE_AA)
    return picture
