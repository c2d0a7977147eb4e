"""The picture on the page about heads: one photo's head from all sides, and its expressions.

    python docs/images/draw_heads.py [FILE]

The photo is scikit-image's `astronaut()`: Eileen Collins, NASA, public domain.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

import prnet
from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import rotation_from_angles
from prnet.geometry.rasterize import rasterize
from prnet.head.head import Head
from prnet.head.layout import head_layout

FILE = Path(__file__).with_name("heads.jpg")
PANEL, ZOOM = 210, 3  # pixels of a panel's side; everything is drawn so much larger
HEIGHT_CM, MIDDLE_CM = 34.0, np.array([0.0, -2.2, 2.0])  # what a panel shows
BACKDROP = np.array([66, 76, 90], np.float32)
LIGHT, AMBIENT, DIFFUSE = np.array([-0.3, 0.45, 0.84]), 0.62, 0.48
SIDES = ((90, 0), (45, 0), (0, 0), (-45, 0), (-90, 0), (0, 50), (0, -50))  # yaw, pitch
BOTH = ("Left", "Right")
EXPRESSIONS = (
    {},
    {"jawOpen": 1.0},
    {f"eyeBlink{side}": 1.0 for side in BOTH},
    {f"mouthSmile{side}": 1.0 for side in BOTH} | {f"cheekSquint{side}": 1.0 for side in BOTH},
    {"mouthPucker": 1.0, "browInnerUp": 1.0},
    {f"{name}{side}": 1.0 for name in ("browDown", "noseSneer", "mouthFrown") for side in BOTH},
    {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0, "mouthLeft": 1.0},
)


def main() -> None:
    """Draw both rows and write them."""
    head = prnet.Reconstructor()(astronaut())[0].head()
    rows = [
        [draw(head, yaw, pitch) for yaw, pitch in SIDES],
        [draw(head.with_weights(weights), 15, 0) for weights in EXPRESSIONS],
    ]
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    sheet = np.vstack([np.hstack(row) for row in rows])
    Image.fromarray(sheet).save(path, quality=88, optimize=True)


def draw(head: Head, yaw: float, pitch: float) -> NDArray[np.uint8]:
    """One panel, (PANEL, PANEL, 3) uint8 RGB."""
    size = PANEL * ZOOM
    turn = rotation_from_angles(yaw, pitch, 0)
    vertices = (head.vertices - MIDDLE_CM) @ turn.T
    normals = vertex_normals(vertices, head_layout().triangles)
    light = AMBIENT + DIFFUSE * np.maximum(normals @ LIGHT, 0)
    points = vertices * [1, -1, 1] * (size / HEIGHT_CM) + [size / 2, size / 2, 0]
    picture = np.broadcast_to(BACKDROP, (size, size, 3)).copy()
    nearest = np.full((size, size), -np.inf)
    for surface in head.surfaces():  # the lashes, which one sees through, come last
        raster = rasterize(points[surface.vertices], surface.triangles, (size, size))
        is_seen = raster.is_covered & (raster.depth > nearest)
        shade = raster.interpolate(light[surface.vertices, None], surface.triangles)
        if isinstance(surface.texture, tuple):
            color = np.full((size, size, 3), 255 * np.array(surface.texture) ** (1 / 2.2))
            alpha = np.ones((size, size, 1))
        else:
            side = len(surface.texture)
            place = raster.interpolate(surface.uv, surface.triangles) * side - 0.5
            texel = cv2.remap(surface.texture, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
            color, alpha = texel[..., :3], np.ones((size, size, 1))
            if texel.shape[2] == 4:
                alpha = texel[..., 3:] / 255
        share = is_seen[..., None] * alpha
        picture += share * (color * shade - picture)
        if not surface.is_thin:
            nearest = np.where(is_seen, raster.depth, nearest)
    small = cv2.resize(picture, (PANEL, PANEL), interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(small, 0, 255)).astype(np.uint8)


if __name__ == "__main__":
    main()
