"""Colors of what no photo shows: scalp and neck, the linings, eyes and lashes."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import Pose
from prnet.geometry.sampling import sample_bilinear, sample_map
from prnet.head.eyes import Ball, measure_ball
from prnet.head.layout import Eye, HeadLayout
from prnet.head.rig import diffuse
from prnet.morphable.head_model import BACK, MOUTH, SOCKETS
from prnet.uv.chart import ChartSampler, rasterize_chart

BACK_SIZE, EYE_SIZE, LASH_SIZE = 512, 512, 512  # texels a side
TONE_CM = 1.5  # beyond the face's border, over which its colors pass into one of hair or skin
SAMPLE_FACING = 0.5  # cosine to the viewer from which the photo is asked for the hair's color
SCALP_CM, SCALP_BLEND_CM = -3.0, 2.0  # the height from which the back is hair
MOUTH_COLOR, SOCKET_COLOR = (96, 38, 36), (168, 110, 98)  # RGB
IRIS_DEG, PUPIL_DEG, EDGE_DEG = (
    26.0,
    9.0,
    2.0,
)  # from the eye's axis; where they end, and how sharply
SCLERA, IRIS = (232, 226, 220), (96, 72, 52)  # RGB where the photo is too coarse to tell
LEAST_EYE_PX = 14  # width of an eye in the photo from which its colors are told
LASHES_PER_LID = 40
GRAIN = 0.06  # of a color: how uneven hair is


def paint_back(
    vertices: NDArray[np.floating],
    texture: NDArray[np.uint8],
    image: NDArray[np.uint8],
    pose: Pose,
    layout: HeadLayout,
) -> NDArray[np.uint8]:
    """Continue a face's skin over neck and linings, and its hair over the skull.

    Args:
        vertices: (V, 3) float, canonical frame, cm: the head as in the photo.
        texture: (S, S, 3) uint8 RGB, the face's, complete.
        image: (H, W, 3) uint8 RGB, the photo.
        pose: Canonical frame → photo frame.
        layout: Of the head model.

    Returns:
        (B, B, 3) uint8 RGB, in the chart of back, mouth and sockets.
    """
    model, chart, skin = layout.model, layout.chart_count, layout.skin_count
    coarse = texture.astype(np.float64)
    colors = np.zeros((skin, 3))
    colors[:chart] = sample_map(coarse, model.chart_uv)
    border = np.intersect1d(model.vertices_of(BACK), np.arange(chart))
    skin_tone = np.median(colors[border[vertices[border, 1] < SCALP_CM]], axis=0)
    hair_tone = _hair_color(vertices, image, pose, layout, colors[border])
    height = np.clip((vertices[:skin, 1] - SCALP_CM) / SCALP_BLEND_CM + 0.5, 0, 1)[:, None]
    tone = skin_tone + (hair_tone - skin_tone) * height * height * (3 - 2 * height)
    tone[model.vertices_of(MOUTH)] = MOUTH_COLOR
    tone[model.vertices_of(SOCKETS)] = (np.array(SOCKET_COLOR) + skin_tone) / 2
    hold = layout.areas / TONE_CM**2
    linings = model.vertices_of(MOUTH, SOCKETS)
    hold[linings] *= 100
    colors = diffuse(tone * hold[:, None], hold, layout, colors, np.arange(skin) >= chart)
    grain = np.random.default_rng(0).normal(1, GRAIN, (skin, 1))
    colors *= 1 + (grain - 1) * height * (np.arange(skin) >= chart)[:, None]
    return np.rint(np.clip(_back_sampler(layout).sample(colors), 0, 255)).astype(np.uint8)


@cache
def _back_sampler(layout: HeadLayout) -> ChartSampler:
    """The chart of back, mouth and sockets at the size of its texture."""
    triangles, rows = layout.model.triangles_of(BACK, MOUTH, SOCKETS)
    return rasterize_chart(layout.model.uv, triangles, rows, BACK_SIZE)


def _hair_color(
    vertices: NDArray[np.floating],
    image: NDArray[np.uint8],
    pose: Pose,
    layout: HeadLayout,
    border_colors: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The color above the forehead: the photo's, where it shows the skull's front."""
    model = layout.model
    normals = vertex_normals(vertices, model.triangles_of(BACK)[0])
    facing = (normals @ pose.rotation.T)[:, 2]
    top = model.vertices_of(BACK)
    top = top[(vertices[top, 1] > vertices[: layout.chart_count, 1].max() - 3)]
    seen = top[facing[top] > SAMPLE_FACING]
    places = pose.apply(vertices[seen].astype(np.float64))[:, :2]
    height, width = image.shape[:2]
    inside = ((places >= 0) & (places <= [width - 1, height - 1])).all(1)
    if inside.sum() >= 3:
        return np.median(sample_bilinear(image, places[inside]), axis=0)
    return np.median(border_colors, axis=0)


def paint_eye(
    eye: Eye,
    part: int,
    sclera: NDArray[np.floating],
    iris: NDArray[np.floating],
    layout: HeadLayout,
) -> NDArray[np.uint8]:
    """Draw an eyeball's texture: sclera, iris with its fibers, pupil.

    Args:
        eye: Which.
        part: Its part of the head.
        sclera: (3,) RGB.
        iris: (3,) RGB.
        layout: Of the head model.

    Returns:
        (E, E, 3) uint8 RGB, in the eye's own chart.
    """
    angle, shade = _eye_pattern(eye, part, layout)
    colors = np.asarray(iris, np.float32)[None] * shade[:, None]
    pupil = np.clip((angle - PUPIL_DEG) / EDGE_DEG + 0.5, 0, 1)[:, None]
    white = np.clip((angle - IRIS_DEG) / EDGE_DEG + 0.5, 0, 1)[:, None]
    dimming = (1 - 0.25 * np.clip((angle - 50) / 60, 0, 1))[:, None]
    dimmed = np.asarray(sclera, np.float32)[None] * dimming
    colors = 8 + (colors - 8) * pupil
    colors = colors + (dimmed - colors) * white
    picture = np.rint(np.clip(colors, 0, 255)).astype(np.uint8)
    return picture.reshape(EYE_SIZE, EYE_SIZE, 3)


@cache
def _eye_pattern(
    eye: Eye, part: int, layout: HeadLayout
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each texel's angle from the eye's axis in degrees, and how light the iris is there."""
    model = layout.model
    ball = measure_ball(model.vertices[eye.ball])
    triangles, rows = model.triangles_of(part)
    sampler = rasterize_chart(model.uv, triangles, rows, EYE_SIZE)
    points = sampler.sample(model.vertices.astype(np.float64)).reshape(-1, 3)
    _, direction, angle = ball.gaps(points)
    across = np.cross([0.0, 1.0, 0.0], ball.axis)
    across /= np.linalg.norm(across)
    around = np.arctan2(direction @ np.cross(ball.axis, across), direction @ across)
    fibers = sum(np.cos(k * around + k * k) for k in (7, 13, 23, 37, 53)) / 5
    radial = np.clip((angle - PUPIL_DEG) / (IRIS_DEG - PUPIL_DEG), 0, 1)
    shade = 1.15 - 0.25 * radial + 0.22 * fibers - 0.55 * np.clip((radial - 0.82) / 0.18, 0, 1)
    return angle.astype(np.float32), shade.astype(np.float32)


def eye_colors(
    eye: Eye,
    vertices: NDArray[np.floating],
    image: NDArray[np.uint8],
    pose: Pose,
    layout: HeadLayout,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read the colors of sclera and iris off a photo.

    Args:
        eye: Which.
        vertices: (V, 3) float, canonical frame, cm: the head as in the photo.
        image: (H, W, 3) uint8 RGB.
        pose: Canonical frame → photo frame.
        layout: Of the head model.

    Returns:
        (3,) RGB of the sclera and (3,) of the iris; usual ones where the photo is too coarse, or
        the eye closed or turned away.
    """
    import cv2

    default = np.array(SCLERA, float), np.array(IRIS, float)
    rim = pose.apply(vertices[eye.rim].astype(np.float64))[:, :2]
    upper, lower = np.split(rim, [len(eye.upper)])
    outline = np.concatenate([upper[np.argsort(upper[:, 0])], lower[np.argsort(-lower[:, 0])]])
    low = np.floor(rim.min(0)).astype(int)
    size = np.ceil(rim.max(0)).astype(int) - low + 1
    height, width = image.shape[:2]
    if np.ptp(rim[:, 0]) < LEAST_EYE_PX or (low < 0).any() or (low + size > [width, height]).any():
        return default
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.rint(outline - low).astype(np.int32)], 1)
    cut = image[low[1] : low[1] + size[1], low[0] : low[0] + size[0]].astype(np.float64)
    ball = _ball_in_photo(eye, vertices, layout)
    front = pose.apply((ball.centre + ball.axis * ball.radii[0])[None])[0, :2] - low
    iris_px = np.sin(np.radians(IRIS_DEG)) * ball.radii[4] * pose.scale
    rows, columns = np.nonzero(mask)
    if len(rows) < LEAST_EYE_PX:
        return default
    pixels = cut[rows, columns]
    light = pixels.mean(1)
    apart = np.hypot(columns - front[0], rows - front[1])
    near, far = apart < 0.9 * iris_px, apart > 1.15 * iris_px
    sclera = default[0]
    if far.sum() >= 8:
        bright = far & (light >= np.percentile(light[far], 60))
        sclera = (default[0] + 2 * np.median(pixels[bright], axis=0)) / 3
    if near.sum() < 8:
        return sclera, default[1]
    # without the darkest, pupil and lashes, and the brightest, what the eye mirrors
    low_light, high_light = np.percentile(light[near], [25, 70])
    middle = near & (light >= low_light) & (light <= high_light)
    return sclera, np.median(pixels[middle], axis=0)


def _ball_in_photo(eye: Eye, vertices: NDArray[np.floating], layout: HeadLayout) -> Ball:
    """The eyeball of a head."""
    return measure_ball(vertices[eye.ball], measure_ball(layout.model.vertices[eye.ball]).axis)


def paint_lashes(color: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Draw lashes on their strips: six bands of a texture, from root to tip.

    Args:
        color: (3,) RGB.

    Returns:
        (L, L, 4) uint8 RGBA, alpha 0 between the lashes.
    """
    v, u = (np.mgrid[:LASH_SIZE, :LASH_SIZE] + 0.5) / LASH_SIZE
    # each strip fills the upper 5/6 of its band, from root to tip
    band = np.floor(6 * v)
    height = np.clip((6 * v - band - 0.07) / 0.84, 0, 1)
    is_upper = band < 3  # the lower lids' strips come last
    place = u * 2 * LASHES_PER_LID + 0.8 * height**2 * np.sin(9 * u + band) + 0.37 * band
    number = np.floor(place)
    length = (0.35 + 0.3 * np.abs(np.sin(12.9898 * number + 4.1 * band))) * np.where(
        is_upper, 1, 0.6
    )
    half_width = 0.22 * np.clip(1 - height / length, 0, 1)
    alpha = np.clip((half_width - np.abs(place - number - 0.5)) * 8 + 0.5, 0, 1)
    alpha *= (half_width > 0) * np.where(is_upper, 0.7, 0.2)
    picture = np.empty((LASH_SIZE, LASH_SIZE, 4), np.uint8)
    picture[..., :3] = np.rint(np.clip(color, 0, 255))
    picture[..., 3] = np.rint(255 * alpha)
    return picture
