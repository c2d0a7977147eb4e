"""Photos → heads: whether they are the photos' faces, and whether their skin is without a seam.

What a photo hides of the skin is judged on renders of heads whose texture is known, in front of a
bright green background, of which none must come onto the skin.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from prnet.data.facekit import Facekit
from prnet.evaluate.facekit import spread_evenly
from prnet.evaluate.report import Report, Row, Table, column, known, number
from prnet.face import Face
from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import Pose, flip_y, rotation_from_angles
from prnet.geometry.rasterize import rasterize
from prnet.head.layout import HeadLayout, head_layout
from prnet.morphable.head_model import BACK, FACE, LEFT_EYE, MOUTH, RIGHT_EYE, SOCKETS
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import EARS
from prnet.uv.atlas import FACE as FACE_REGION
from prnet.uv.position_map import centre_depth
from prnet.uv.visibility import MeshView

SOURCES = ("cfp", "ibug")
YAWS_DEG = (30.0, 60.0, 90.0)
BACKGROUND = (0, 255, 0)  # RGB
GREENER = 40  # levels by which green must exceed red and blue to be the background's
# from above and in front, in the head's own frame: a light that one half alone gets can't be known
LIGHT = np.array([0.0, 0.45, 0.89])
AMBIENT, DIFFUSE = 0.45, 0.55
PART_COLORS = {BACK: (70, 50, 30), MOUTH: (90, 30, 30), SOCKETS: (90, 30, 30)}
EYE_COLOR = (230, 230, 230)
SIZE, PIXELS_PER_CM, BLUR_PX, TEXTURE_SIZE = 400, 12.0, 0.7, 512
SEAM_YAW_DEG = (20.0, 60.0)  # half profiles
PROFILE_YAW_DEG = 60.0
# of a profile's skin: columns of the map beside the middle, rows from brows to chin, a strip's rows
# and those around it that it is compared with
MIDDLE_COLUMNS, MIDDLE_ROWS, STRIP_ROWS, AROUND_ROWS = 22, (24, 192), 8, 20
# its colors must be as near to one of well seen skin, in levels of Lab with half the light
KNOWN_FACING, KNOWN_DISTANCE, LIGHT_SHARE, STRAY_LEVELS = 0.4, 0.06, 0.5, 10.0
TITLE = "Heads"
COLUMNS = "", "photos", "mean", "median"
RENDERED_TITLE = "Skin that a render hides: PSNR of what was made up, dB; green texels"
RENDERED_COLUMNS = "yaw", "PSNR", "green"


@dataclass(frozen=True, eq=False)
class RenderedHead:
    """A photo of a head whose skin is known.

    Attributes:
        face: Its exact face, with the photo.
        truth: (M, M, 3) float, the lit skin in UV space.
        is_hidden: (M, M) bool, skin that this photo hides and one from the front would show.
    """

    face: Face
    truth: NDArray[np.floating]
    is_hidden: NDArray[np.bool_]


def render_head(texture: NDArray[np.uint8], yaw_deg: float, layout: HeadLayout) -> RenderedHead:
    """Take a photo of the mean head with a given skin.

    Args:
        texture: (M, M, 3) uint8 RGB.
        yaw_deg: How it is turned.
        layout: Of the head model.
    """
    model, atlas = layout.model, layout.atlas
    place = np.array([SIZE / 2, -SIZE / 2, 0.0])
    pose = Pose(PIXELS_PER_CM, rotation_from_angles(yaw_deg, 0, 0), place)
    vertices = model.vertices.astype(np.float64)
    parts = (FACE, *PART_COLORS, LEFT_EYE, RIGHT_EYE)
    pairs = [model.triangles_of(part) for part in parts]
    triangles = np.concatenate([each for each, _ in pairs])
    rows = np.concatenate([each for _, each in pairs])
    part = np.repeat(parts, [len(each) for each, _ in pairs])
    normals = vertex_normals(vertices, triangles)
    points = pose.apply(vertices)
    raster = rasterize(points, triangles, (SIZE, SIZE))
    places = raster.interpolate(model.uv, rows) * len(texture) - 0.5
    photo: NDArray[np.float64] = cv2.remap(
        texture, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float64)
    shown = part[np.maximum(raster.triangle, 0)]
    for each, color in (PART_COLORS | {LEFT_EYE: EYE_COLOR, RIGHT_EYE: EYE_COLOR}).items():
        photo[shown == each] = color
    photo *= _light(raster.interpolate(normals, triangles))
    photo[~raster.is_covered] = BACKGROUND
    photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), BLUR_PX), np.float64)
    chart = slice(layout.chart_count)
    position_map = centre_depth(layout.sampler.sample(points[chart]), atlas)
    box = np.array([0, 0, SIZE, SIZE], np.float32)
    face = Face(position_map, atlas, box, 1.0, np.rint(photo).astype(np.uint8))
    truth = texture * _light(layout.sampler.sample(normals[chart].astype(np.float64)))
    from_front = MeshView(flip_y(atlas.canonical_vertices), atlas.triangles).is_visible
    hidden = atlas.spread(from_front & ~face.visibility)
    return RenderedHead(face, truth, hidden & (atlas.region >= FACE_REGION))


def _light(normals: NDArray[np.floating]) -> NDArray[np.float64]:
    """How bright a surface is, (…, 3) → (…, 1); the normals needn't have a length of 1."""
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    towards = (normals @ LIGHT)[..., None] / np.maximum(length, 1e-9)
    return np.asarray(AMBIENT + DIFFUSE * np.maximum(towards, 0), np.float64)


def hidden_psnr(texture: NDArray[np.uint8], head: RenderedHead) -> float:
    """Peak signal-to-noise ratio, dB, of the skin that was hidden: (S, S, 3) uint8."""
    size = len(head.truth)
    small = cv2.resize(texture, (size, size), interpolation=cv2.INTER_AREA).astype(np.float64)
    error = (small - head.truth)[head.is_hidden]
    return float(10 * np.log10(255**2 / (error**2).mean()))


def background_texels(texture: NDArray[np.uint8], head: RenderedHead) -> int:
    """How many texels of the skin are as green as the background: (S, S, 3) uint8."""
    mask = head.face.atlas.mask.astype(np.uint8)
    is_skin = cv2.resize(mask, texture.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    red, green, blue = np.moveaxis(texture.astype(int), 2, 0)
    return int(((green - np.maximum(red, blue) > GREENER) & is_skin).sum())


def symmetric_skin(face: Face) -> NDArray[np.uint8]:
    """A texture whose halves mirror each other, of a face seen from the front: (M, M, 3) uint8."""
    texture = face.texture(complete=True)[..., :3].astype(np.float64)
    return np.rint((texture + texture[:, ::-1]) / 2).astype(np.uint8)


def seam_step(face: Face) -> float:
    """How much the skin's brightness jumps at the seam, median, in levels of 255.

    The seam lies between the skin that the photo shows and that which it hides. The jump is that
    from one side to the other, less the slope that the skin has on both sides.
    """
    gray = face.texture(complete=True)[..., :3].astype(np.float64).mean(2)
    atlas = face.atlas
    shown = atlas.spread(face.visibility)
    is_face = atlas.region >= FACE_REGION
    left, right = gray[:, 2:-4], gray[:, 4:-2]  # a map pixel before and one behind each seam
    slope = (left - gray[:, :-6] + gray[:, 6:] - right) / 2
    is_seam = (shown[:, 2:-4] != shown[:, 3:-3]) & is_face[:, :-6] & is_face[:, 6:]
    steps = np.abs(right - left - slope)[is_seam]
    return float(np.median(steps)) if len(steps) else float("nan")


def stray_share(face: Face) -> float:
    """Share of the skin along a profile's midline with a color that no skin near it has.

    Near are map pixels of nearly the same height that the photo shows well inside its outline,
    with all their brows, lips and beard.
    """
    atlas, photo = face.atlas, face.image
    assert photo is not None
    is_face = atlas.mask & (atlas.region >= FACE_REGION)
    facing = atlas.spread(face.view.normals[:, 2])
    inside = atlas.spread(face.view.distance_from_edges()) > KNOWN_DISTANCE
    places = face.position_map[..., :2]
    in_photo = ((places >= 0) & (places <= [photo.shape[1] - 1, photo.shape[0] - 1])).all(2)
    is_known = is_face & inside & in_photo & (facing > KNOWN_FACING) & atlas.spread(face.visibility)
    seen, made = _lab(face.texture()[..., :3]), _lab(face.texture(complete=True)[..., :3])
    is_middle = is_face & (np.abs(np.arange(len(made)) + 0.5 - len(made) / 2) < MIDDLE_COLUMNS)
    strays = []
    for row in range(*MIDDLE_ROWS, STRIP_ROWS):
        strip = slice(row, row + STRIP_ROWS)
        near = slice(row - AROUND_ROWS, row + STRIP_ROWS + AROUND_ROWS)
        known = seen[near][is_known[near]] if row >= AROUND_ROWS else seen[:0, 0]
        if len(known):
            skin = made[strip][is_middle[strip]]
            strays.append(cKDTree(known).query(skin)[0] > STRAY_LEVELS)
    return float(np.concatenate(strays).mean()) if strays else float("nan")


def _lab(colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB → Lab with less of the light, (M, M, 3) float32."""
    lab = np.asarray(cv2.cvtColor(colors.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float64)
    return np.asarray(lab * np.array([LIGHT_SHARE, 1, 1]), np.float32)


def evaluate_heads(
    folder: str | os.PathLike[str],
    reconstructor: Reconstructor,
    *,
    split: Literal["train", "val"] = "val",
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Make heads of photos in the labels' boxes.

    Args:
        folder: The facekit; CFP's and iBUG's photos.
        reconstructor: The model to measure; its UV space must be the package's.
        split: `val` or `train`.
        limit: Only so many photos, spread evenly over the split; None for all.
        progress: Called with photos done and photos in all.

    Returns:
        Report. Its metrics are `count`; means of `offset_mm` (the head with the photo's weights
        from the network's vertices, on the face), `fit_ms`, `head_s`; `seam_step`, the median over
        half profiles; `stray_share`, the mean over profiles; `psnr_30` and so on, `background_30`.

    Raises:
        LabelError: The facekit is incomplete.
        ValueError: limit isn't positive, or the model has a UV space of its own.
    """
    kit = Facekit(folder, split, SOURCES)
    chosen = spread_evenly(len(kit.records), limit)
    rows: list[Row] = []
    skin: NDArray[np.uint8] | None = None
    layout = head_layout()
    for done, index in enumerate(chosen, 1):
        record = kit.records[index]
        (face,) = reconstructor(kit.photo(record), boxes=[record.box])
        _ = face.vertices, face.pose
        start = time.perf_counter()
        _ = face.expression
        fitted = time.perf_counter()
        head = face.head()
        row: Row = {"source": record.source, "filename": record.filename}
        row |= {"yaw_deg": face.pose.yaw, "fit_ms": 1000 * (fitted - start)}
        row |= {"head_s": time.perf_counter() - fitted}
        row["offset_mm"] = offset_mm(face, head.vertices, layout)
        if SEAM_YAW_DEG[0] <= abs(face.pose.yaw) <= SEAM_YAW_DEG[1]:
            row["seam_step"] = seam_step(face)
        if abs(face.pose.yaw) > PROFILE_YAW_DEG:
            row["stray_share"] = stray_share(face)
        rows.append(row)
        if skin is None and abs(face.pose.yaw) < 10:
            skin = symmetric_skin(face)
        progress(done, len(chosen))
    return summarise(rows, skin, layout)


def offset_mm(face: Face, vertices: NDArray[np.floating], layout: HeadLayout) -> float:
    """Mean distance of a head, (V, 3) cm, from what the network saw of the face and its ears."""
    rebuilt = layout.sampler.sample(vertices[: layout.chart_count].astype(np.float64))
    seen = face.pose.remove(face.position_map.astype(np.float64))
    is_face = layout.sampler.is_covered & (layout.atlas.region >= EARS)
    return float(10 * np.linalg.norm(rebuilt - seen, axis=2)[is_face].mean())


def summarise(rows: Sequence[Row], skin: NDArray[np.uint8] | None, layout: HeadLayout) -> Report:
    """Average the rows of `evaluate_heads`, and complete the skin of renders."""
    metrics: dict[str, float] = {"count": len(rows)}
    names = {
        "offset_mm": "head from the network's vertices, mm",
        "fit_ms": "fitting identity and expression, ms",
        "head_s": "making the head, s",
        "seam_step": "step across the seam of half profiles, levels",
        "stray_share": "share of strange colors along the midline of profiles",
    }
    cells = []
    for name, title in names.items():
        values = column(rows, name)
        values = values[~np.isnan(values)]
        if len(values):
            mean, middle = float(values.mean()), float(np.median(values))
            metrics[name] = middle if name == "seam_step" else mean
            cells.append([title, str(len(values)), number(mean, 3), number(middle, 3)])
    rendered = []
    for yaw in YAWS_DEG:
        if skin is None:  # no photo from the front
            break
        head = render_head(skin, yaw, layout)
        texture = head.face.texture(TEXTURE_SIZE, complete=True)[..., :3]
        psnr, green = hidden_psnr(texture, head), background_texels(texture, head)
        metrics |= {f"psnr_{yaw:.0f}": psnr, f"background_{yaw:.0f}": green}
        rendered.append([f"{yaw:.0f}°", number(psnr, 1), str(green)])
    tables = [Table(TITLE, COLUMNS, cells), Table(RENDERED_TITLE, RENDERED_COLUMNS, rendered)]
    return Report(known(metrics), tables, rows)
