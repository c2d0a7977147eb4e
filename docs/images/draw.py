"""The picture at the top of the README: photo, overlay, textured mesh, clay.

    python docs/images/draw.py [FILE]

The photo is scikit-image's `astronaut()`: Eileen Collins, NASA, public domain. The mesh is skin;
for the picture its eyes and mouth are closed by a film with the photo's own pixels.
"""

import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

import prnet
from prnet.draw.overlay import draw_overlay
from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import rotation_from_angles
from prnet.geometry.rasterize import rasterize
from prnet.uv.openings import film_triangles

Picture = NDArray[np.floating]  # (H, W, 3), RGB from 0 to 1

FILE = Path(__file__).with_name("front.jpg")
PANEL_WH, GAP = (420, 500), 6  # pixels of the finished picture
ZOOM = 3  # everything is drawn so much larger, then averaged down
FACES_WIDE = 2.3  # width of the photo's part, in widths of the face's box
FACES_UP = 0.12  # so much above the box's centre is the part's, in heights of the box
TEXTURE_SIZE = 1024
TEXTURED_YAW, CLAY_YAW, PITCH = -30.0, 47.0, 4.0  # degrees
MESH_ZOOM = 1.3  # the meshes' scale against the photo's
HEADROOM = 0.06  # above the meshes, in heights of a panel
UNLIT = 0.55  # share of the photo's own light that the textured mesh keeps
CLAY = np.array([0.80, 0.79, 0.77], np.float32)
MIDDLE, CORNERS = np.array([[0.235, 0.26, 0.31], [0.075, 0.085, 0.105]], np.float32)  # backdrop
AMBIENT = np.array([0.20, 0.22, 0.25], np.float32)
# where each light comes from (x right, y up, z toward the viewer), and its color
LIGHTS = (
    ((-0.22, 0.45, 0.86), (0.78, 0.75, 0.70)),
    ((0.60, 0.45, -0.66), (0.22, 0.25, 0.31)),
)
GLOSS, SHININESS = 0.10, 24
CREVICE_WIDTH, CREVICE_DEPTH = 1 / 28, 0.035  # heights of a panel; so deep, all of the shade
CREVICE_SHADE = 0.45


def main() -> None:
    """Draw the four panels side by side and write them."""
    photo = astronaut()
    face = prnet.Reconstructor()(photo)[0]
    part, near = enlarge(photo, face)
    panels = [
        part,
        draw_overlay(part, [near]),
        draw_mesh(face, TEXTURED_YAW, face.texture(TEXTURE_SIZE, complete=True)[..., :3]),
        draw_mesh(face, CLAY_YAW),
    ]
    width, height = PANEL_WH
    sheet = np.full((height, len(panels) * (width + GAP) - GAP, 3), CORNERS * 255)
    for number, panel in enumerate(panels):
        left = number * (width + GAP)
        sheet[:, left : left + width] = cv2.resize(panel, PANEL_WH, interpolation=cv2.INTER_AREA)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    Image.fromarray(np.rint(sheet).astype(np.uint8)).save(path, quality=92, optimize=True)


def enlarge(photo: NDArray[np.uint8], face: prnet.Face) -> tuple[NDArray[np.uint8], prnet.Face]:
    """The photo's part around a face, a zoomed panel (H, W, 3) uint8, and the face in its frame."""
    width, height = (ZOOM * side for side in PANEL_WH)
    x0, y0, x1, y1 = face.box.astype(float)
    scale = width / (FACES_WIDE * (x1 - x0))
    centre = np.array([x0 + x1, y0 + y1]) / 2 - [0, FACES_UP * (y1 - y0)]
    shift = np.array([width - 1, height - 1]) / 2 - scale * centre
    part = cv2.warpAffine(
        photo,
        np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]),
        (width, height),
        flags=cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REPLICATE,
    )
    position_map = (face.position_map * scale + [*shift, 0]).astype(np.float32)
    box = (face.box * scale + np.tile(shift, 2)).astype(np.float32)
    return part, dataclasses.replace(face, given_map=position_map, box=box, image=part)


def draw_mesh(
    face: prnet.Face, yaw: float, texture: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """A face turned to a yaw, lit, before a backdrop; without a texture it is of clay."""
    width, height = (ZOOM * side for side in PANEL_WH)
    photo_points = face.position_map.reshape(-1, 3)
    skin = face.atlas.vertex_index[face.triangles]
    triangles = np.concatenate([skin, film_triangles(face.atlas)])
    turned = face.pose.remove(photo_points) @ rotation_from_angles(yaw, PITCH, 0).T  # cm, y up
    low, high = turned[skin].min((0, 1)), turned[skin].max((0, 1))
    top = np.array([(low[0] + high[0]) / 2, high[1], 0])
    pixels_per_cm = MESH_ZOOM * width / (FACES_WIDE * np.ptp(face.box[::2])) * face.pose.scale
    points = (turned - top) * pixels_per_cm * [1, -1, 1] + [width / 2, HEADROOM * height, 0]
    raster = rasterize(points, triangles, (height, width))
    normals = raster.interpolate(vertex_normals(turned, triangles), triangles)
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
    if texture is None:
        picture = CLAY * shade(normals)
        picture *= crevices(raster.depth, raster.is_covered)[..., None]
    else:
        side = len(face.position_map)
        pixels = np.indices((side, side))[::-1].reshape(2, -1).T + 0.5  # of the map: x, y
        xy = raster.interpolate(pixels, triangles) * (len(texture) / side) - 0.5
        colors = cv2.remap(texture, *cv2.split(xy), cv2.INTER_LINEAR)
        xy = raster.interpolate(photo_points[:, :2], triangles)
        seen = cv2.remap(face.image, *cv2.split(xy), cv2.INTER_CUBIC)
        is_skin = raster.triangle[..., None] < len(skin)
        picture = np.where(is_skin, colors, seen) / 255 * (UNLIT + (1 - UNLIT) * shade(normals))
    drawn = np.where(raster.is_covered[..., None], picture, draw_backdrop(height, width))
    return np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8)


def shade(normals: Picture) -> Picture:
    """The light that a matt, slightly glossy surface with these normals sends to the viewer."""
    light = np.broadcast_to(AMBIENT, normals.shape).copy()
    for direction, color in LIGHTS:
        towards = np.array(direction, np.float32) / np.linalg.norm(direction)
        half = towards + [0, 0, 1]
        facing = np.maximum(normals @ towards, 0)
        gloss = np.maximum(normals @ (half / np.linalg.norm(half)), 0) ** SHININESS
        light += (facing + GLOSS * gloss * (facing > 0))[..., None] * np.array(color)
    return light


def crevices(depth: NDArray[np.float32], is_covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much light reaches a surface, (H, W): less where it lies behind its surroundings."""
    blur = {"ksize": (0, 0), "sigmaX": CREVICE_WIDTH * len(depth)}
    known = np.where(is_covered, depth, 0)
    share = cv2.GaussianBlur(is_covered.astype(np.float32), **blur)
    behind = cv2.GaussianBlur(known, **blur) / np.maximum(share, 1e-3) - known
    return 1 - CREVICE_SHADE * np.clip(behind / (CREVICE_DEPTH * len(depth)), 0, 1)


def draw_backdrop(height: int, width: int) -> Picture:
    """A dark studio wall, brighter in the middle."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    share = np.clip(0.8 * np.hypot(x, y), 0, 1)[..., None]
    return MIDDLE * (1 - share) + CORNERS * share


if __name__ == "__main__":
    main()
