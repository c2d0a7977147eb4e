"""Faces → pictures in the photo frame: depth, PNCC, shaded mesh."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.bands import rasterize_bands
from prnet.geometry.surface import front_triangles

LIGHT = np.array([-0.35, 0.45, 0.82], np.float32)  # where the light comes from, y up, length 1
AMBIENT, DIFFUSE, SPECULAR, SHININESS = 0.35, 0.65, 0.18, 12
CLAY = (205, 208, 214)  # RGB of the shaded mesh
SMOOTH_BELOW = (
    1500  # side of a face in pixels under which edges are smoothed, by drawing it twice as large
)


def render_pncc(faces: Sequence[Face], shape_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw which point of a face each pixel shows: 3DDFA's projected normalised coordinates.

    Args:
        faces: Any number; the larger hide the smaller.
        shape_hw: Height and width of the picture, whose pixels are the photo's.

    Returns:
        (H, W, 3) uint8; red, green, blue are x, y, z of the point on the mean face in the canonical
        frame, each from 0 at its least to 255 at its most. Black where there is no face.
    """
    picture = np.zeros((*shape_hw, 3), np.uint8)
    for face in _far_to_near(faces):
        canonical = face.atlas.canonical_vertices
        low, high = canonical.min(0), canonical.max(0)
        _paint(picture, face, (canonical - low) / (high - low) * 255)
    return picture


def render_shaded(
    faces: Sequence[Face], background: NDArray[np.uint8], opacity: float = 1.0
) -> NDArray[np.uint8]:
    """Draw the meshes as lit clay.

    Args:
        faces: Any number; the larger hide the smaller.
        background: (H, W, 3) uint8 RGB, the photo or a plain picture of its size; not changed.
        opacity: From 0, the background alone, to 1, clay that hides it.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    picture = np.array(background)
    for face in _far_to_near(faces):
        normals = face.view.normals
        towards = normals @ LIGHT
        mirrored = (
            2 * towards * normals[:, 2] - LIGHT[2]
        )  # of the reflected light, its part toward us
        light = AMBIENT + DIFFUSE * np.maximum(towards, 0)
        gloss = 255 * SPECULAR * np.maximum(mirrored, 0) ** SHININESS
        colors = light[:, None] * np.array(CLAY, np.float32) + gloss[:, None]
        _paint(picture, face, np.clip(colors, 0, 255), opacity, smooth=True)
    return picture


def render_textured(faces: Sequence[Face], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the meshes with their own photo's colors, unlit.

    Args:
        faces: Any number, with their photos; the larger hide the smaller.
        background: (H, W, 3) uint8 RGB; not changed.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        ValueError: A face has no photo.
    """
    picture = np.array(background)
    for face in _far_to_near(faces):
        _paint(picture, face, face.colors.astype(np.float32), smooth=True)
    return picture


def _far_to_near(faces: Sequence[Face]) -> Iterator[Face]:
    """Small faces first: weak perspective knows no other distance between heads."""
    return iter(sorted(faces, key=lambda face: face.pose.scale))


def _paint(
    picture: NDArray[np.uint8],
    face: Face,
    values: NDArray[np.floating],
    opacity: float = 1.0,
    smooth: bool = False,
) -> None:
    """Draw a mesh with (V, D) values in [0, 255] into an (H, W, D) picture, in place."""
    extent = float(np.ptp(face.vertices[:, :2], axis=0).max())
    zoom = 2 if smooth and extent < SMOOTH_BELOW else 1
    triangles = front_triangles(face.vertices, face.triangles)
    for rows, columns, raster in rasterize_bands(face.vertices, triangles, picture.shape[:2], zoom):
        part = picture[rows, columns]
        drawn: NDArray[Any] = raster.interpolate(values, triangles)
        cover: NDArray[Any] = raster.is_covered[..., None].astype(np.float32)
        if zoom > 1:
            size_wh = part.shape[1::-1]
            drawn = cv2.resize(drawn, size_wh, interpolation=cv2.INTER_AREA)
            cover = cv2.resize(cover, size_wh, interpolation=cv2.INTER_AREA)[..., None]
        part[:] = np.rint(part + opacity * (drawn - part * cover))
