"""A face seen from elsewhere: textured, shaded, as its normals or as a wireframe."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.draw.paint import Canvas, draw_canvas
from prnet.draw.render import AMBIENT, CLAY, DIFFUSE, LIGHT, SHININESS, SPECULAR
from prnet.face import Face
from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import flip_y, rotation_from_angles
from prnet.geometry.sampling import push_pull
from prnet.uv.openings import film_triangles

STYLES = ("textured", "shaded", "normals", "wireframe")
SMOOTHING = 2  # everything is drawn so many times larger, then averaged down
WIRE_STEP, WIRE_WIDTH = 8, 0.9  # map pixels between the wires, and a wire's width in them
WIRE_COLOR = (120, 190, 255)
# map pixels around an opening's pixel; by so much less of them than of its mirror's is seen if it
# is hidden
OPENING_SIZE, HIDDEN_SHARE = 25, 0.5
SURROUNDINGS = 0.02  # of the face's size: how far around it the photo's own face is taken out


def view_face(
    face: Face,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    style: str = "textured",
    light: tuple[float, float, float] | None = None,
    on_photo: bool = False,
) -> NDArray[np.uint8]:
    """Draw a face in a pose of one's choice, as large and at the place as the photo shows it.

    Eyes and mouth, which are open in the mesh, are closed by a film with the photo's own pixels, a
    hidden eye by the other's.

    Args:
        face: With its photo, unless the style needs no colors and on_photo is false.
        yaw: Degrees, as in `Pose`; all three 0 look straight out of the picture.
        pitch: Degrees.
        roll: Degrees.
        style: One of STYLES. Normals are colored as in normal maps: x, y up, z toward the viewer.
        light: Where light comes from, x right, y up, z toward the viewer, any length; None for the
            photo's own light on a texture, and for one from above left on anything else.
        on_photo: Draw over the photo, whose own face is taken out and filled smoothly.

    Returns:
        (H, W, 4) uint8 RGBA of the photo's size, or 512×512 without a photo, the face in its
        middle; alpha is 0 beside the face, or with on_photo 255 everywhere.

    Raises:
        ValueError: Another style, a light of no length, or a photo is needed and missing.
    """
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if light is not None and not np.linalg.norm(light) > 0:
        raise ValueError("light must have a direction")
    needs_photo = style == "textured" or on_photo
    if needs_photo and face.image is None:
        raise ValueError("this view needs the face's photo")
    photo = face.image
    shape_hw = (512, 512) if photo is None else photo.shape[:2]
    points, normals = _turn(face, rotation_from_angles(yaw, pitch, roll), shape_hw)
    large = (points + [0.5, 0.5, 0]) * [SMOOTHING, SMOOTHING, SMOOTHING] - [0.5, 0.5, 0]
    large_hw = (shape_hw[0] * SMOOTHING, shape_hw[1] * SMOOTHING)
    places = _opening_places(face).reshape(-1, 2)
    canvas = draw_canvas(face, large, np.column_stack([places, normals]), large_hw, "all")
    rgba = _paint(face, canvas, style, light)
    picture = np.zeros((*large_hw, 4), np.float32)
    picture[canvas.rows, canvas.columns] = rgba
    picture = np.asarray(
        cv2.resize(picture, shape_hw[::-1], interpolation=cv2.INTER_AREA), np.float32
    )
    cover = picture[..., 3:]  # colors are those of the covered share
    if not on_photo or photo is None:
        picture[..., :3] /= np.maximum(cover, 1e-6)
        picture[..., 3:] *= 255
        return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
    colors = _without_face(face, photo) * (1 - cover) + picture[..., :3]
    opaque = np.full((*shape_hw, 1), 255, np.float32)
    return np.rint(np.clip(np.dstack([colors, opaque]), 0, 255)).astype(np.uint8)


def _turn(
    face: Face, rotation: NDArray[np.float64], shape_hw: tuple[int, int]
) -> tuple[NDArray[np.floating], NDArray[np.float32]]:
    """Map pixels in the new picture (M·M, 3), and their normals, y up."""
    atlas = face.atlas
    upright = face.pose.remove(face.position_map.reshape(-1, 3)).astype(np.float64)
    turned = upright @ rotation.T
    skin = turned[atlas.vertex_index]
    middle = (skin.min(0) + skin.max(0)) / 2
    if face.image is None:
        scale, centre = 0.8 * min(shape_hw) / float(np.ptp(skin, axis=0)[:2].max()), None
    else:
        scale = face.pose.scale
        seen = face.vertices
        centre = (seen.min(0) + seen.max(0))[:2] / 2
    if centre is None:
        centre = (np.array(shape_hw[::-1]) - 1) / 2
    points = flip_y((turned - middle) * scale) + [*centre, 0]
    triangles = np.concatenate([atlas.vertex_index[face.triangles], film_triangles(atlas)])
    return points, vertex_normals(turned, triangles)


def _opening_places(face: Face) -> NDArray[np.float32]:
    """(M, M, 2) float32: where in the photo eyes and mouth are; of a hidden one, its mirror's."""
    if face.image is None:
        return face.position_map[..., :2]
    places = face.photo_map[..., :2]
    seen = face.atlas.spread(face.visibility).astype(np.float32)
    seen = np.asarray(cv2.blur(seen, (OPENING_SIZE, OPENING_SIZE)))
    is_hidden = seen[:, ::-1] - seen > HIDDEN_SHARE
    return np.where(is_hidden[..., None], places[:, ::-1], places)


def _paint(
    face: Face, canvas: Canvas, style: str, light: tuple[float, float, float] | None
) -> NDArray[np.float32]:
    """(h, w, 4) float32: the canvas's colors, 0 to 255, times its cover, and the cover, 0 or 1."""
    normals = canvas.values[..., 2:]
    normals = normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
    cover = (canvas.is_skin | canvas.is_film).astype(np.float32)[..., None]
    if style == "textured":
        assert face.image is not None
        texture = face.texture(face.texture_size, complete=True)[..., :3]
        colors = canvas.sample(texture)
        colors = np.where(canvas.is_film[..., None], canvas.look(face.image), colors)
        if light is not None:
            colors = colors * _shade(normals, light)[0]
    elif style == "normals":
        colors = (normals * 0.5 + 0.5) * 255
    else:
        matt, gloss = _shade(normals, LIGHT if light is None else light)
        colors = matt * np.array(CLAY, np.float32) + gloss
        if style == "wireframe":
            side = len(face.position_map)
            grid = np.abs((canvas.uv * side / WIRE_STEP + 0.5) % 1 - 0.5) * WIRE_STEP
            wire = np.clip(WIRE_WIDTH - grid.min(-1, keepdims=True), 0, 1)
            colors = colors * (1 - wire) * 0.5 + np.array(WIRE_COLOR, np.float32) * wire
    return np.dstack([colors * cover, cover]).astype(np.float32)


def _shade(
    normals: NDArray[np.floating], light: NDArray[np.floating] | tuple[float, float, float]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Matt light, about 1 where it falls straight, and gloss from 0 to 255, each (h, w, 1)."""
    direction = np.asarray(light, np.float64) / np.linalg.norm(light)
    towards = normals @ direction
    mirrored = 2 * towards * normals[..., 2] - direction[2]
    matt = AMBIENT + DIFFUSE * np.maximum(towards, 0)
    return matt[..., None], (255 * SPECULAR * np.maximum(mirrored, 0) ** SHININESS)[..., None]


def _without_face(face: Face, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The photo, its face filled smoothly from around it."""
    points = face.position_map.reshape(-1, 3)
    canvas = draw_canvas(face, points, points[:, :0], photo.shape[:2], "all")
    hole = np.zeros(photo.shape[:2], np.uint8)
    hole[canvas.rows, canvas.columns] = canvas.is_skin | canvas.is_film
    reach = int(SURROUNDINGS * np.sqrt(max(hole.sum(), 1))) * 2 + 1
    wide = cv2.dilate(hole, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    is_known = (wide == 0).astype(np.float32)
    known = np.asarray(cv2.GaussianBlur(is_known, (0, 0), reach / 6) * is_known, np.float32)
    return push_pull(photo.astype(np.float32) * known[..., None], known)
