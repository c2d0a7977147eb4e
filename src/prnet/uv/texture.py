"""Photo + position map → the face's colors in UV space, and a guess at what is hidden."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.boxes import bounds, longer_side
from prnet.geometry.sampling import push_pull, sample_bilinear
from prnet.uv.atlas import Atlas
from prnet.uv.chart import nearest_covered
from prnet.uv.visibility import MeshView

TEXTURE_SIZES = (256, 2048)  # texels a side of a mesh's texture, least and most
SHARPEST_SHARE = 90  # per cent of the surface that the texture must show as sharply as the photo
GRAZED_FACING = (0.1, 0.3)  # cosines between which a surface comes to show its own colors
LIT_FACING = (0.3, 0.7)  # cosines between which it shows no background, so its light can be judged
# shares of the face's size, from an outline inward, over which a surface comes to show its own
# colors; and how far in those are still checked: levels of difference from the skin further inside
EDGE_DISTANCE, CHECKED_DISTANCE, STRAY_LEVELS = (0.004, 0.01), 0.02, (50, 90)
BLURRED_PX = 2.5  # over so many pixels a photo blurs an outline, be the face ever so small
LIT_DISTANCE = (0.01, 0.02)  # from an outline, between which skin comes to tell of the light
# lids and lips are thin, and move: around openings that are going to close the colors of eyes and
# teeth must not stay on them, so the distance counts for less by this factor
OPENING_FACTOR = 2.5
# by so much more the other half must face the viewer to lend its colors, in part or wholly
BETTER_FACING = (0.0, 0.15)
SEAM_MARGIN, SEAM_BLUR = 5, 9  # map pixels over which the loan starts before skin gets hidden
# ratio of a pair's brightness, as a logarithm, up to which it tells of the light; how firmly the
# light is kept to come from the front, in pairs of texels
USUAL_RATIO, NO_LIGHT = 0.7, 100.0
NARROW_GAP, RIM_BLUR = (8, 24), 2.0  # map pixels from a gap's rim; pixels
RELIGHT_SIZE = 256  # side of the map in which the two halves' lighting is compared: light is smooth


def sample_photo(image: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Read colors off a photo bilinearly.

    Args:
        image: (H, W, 3) uint8.
        points: (..., 2 or more) float, photo frame: x, y in pixels with centres at integers; what
            follows is not used. Outside the photo the nearest pixel of its edge counts.

    Returns:
        (..., 3) uint8, a new array.
    """
    colors = np.rint(sample_bilinear(image, points[..., :2].reshape(-1, 2))).astype(np.uint8)
    return colors.reshape(*points.shape[:-1], 3)


def fitting_size(position_map: NDArray[np.float32], is_seen: NDArray[np.bool_]) -> int:
    """Texels a side with which a texture is as fine as the photo: 256, 512, 1024 or 2048.

    Args:
        position_map: (M, M, 3) float32, photo frame.
        is_seen: (M, M) bool, true at the vertices that the viewer sees.
    """
    x, y = position_map[..., 0], position_map[..., 1]
    right, below = (np.hypot(np.diff(x, axis=a), np.diff(y, axis=a)) for a in (1, 0))
    steps = np.minimum(right[:-1], below[:, :-1])  # photo pixels, to the nearer neighbour
    seen = steps[is_seen[:-1, :-1] & is_seen[:-1, 1:] & is_seen[1:, :-1]]
    sharpest = float(np.percentile(seen, SHARPEST_SHARE)) if len(seen) else 0.0
    wanted = 2.0 ** np.ceil(np.log2(max(len(position_map) * sharpest, 1)))
    return int(np.clip(wanted, *TEXTURE_SIZES))


def sample_texture(
    image: NDArray[np.uint8],
    position_map: NDArray[np.float32],
    is_seen: NDArray[np.bool_],
    size: int,
) -> NDArray[np.uint8]:
    """Take the texture of a face from its photo.

    Args:
        image: (H, W, 3) uint8 RGB.
        position_map: (M, M, 3) float32, photo frame, complete over holes and border.
        is_seen: (M, M) bool, true at the vertices that the viewer sees.
        size: S, the side of the texture.

    Returns:
        (S, S, 4) uint8 RGBA in UV space. Alpha is 255 where the photo shows the skin, 0 (and the
        color black) where it doesn't: hidden, turned away, outside the photo, outside the chart.
        On the border between, it rises over one step of the map, inside what is seen.

    Raises:
        ValueError: size is not a positive number.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    # without the median the edge of a shadow cast by the nose has the teeth of the depth buffer
    is_used = (cv2.medianBlur(is_seen.astype(np.uint8), 5) > 0) & is_seen
    if not is_used.any():
        return np.zeros((size, size, 4), np.uint8)
    photo, xy = _cut_photo(image, position_map[..., :2], is_used, size / len(position_map))
    if photo.size == 0:
        return np.zeros((size, size, 4), np.uint8)
    height, width = photo.shape[:2]
    x, y = cv2.split(_resize(xy, size))
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    share = np.clip(_resize(is_used.astype(np.float32), size) * 2 - 1, 0, 1)
    alpha = np.rint(share * inside * 255).astype(np.uint8)
    colors = cv2.remap(photo, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    colors[alpha == 0] = 0
    return np.dstack([colors, alpha])


def _cut_photo(
    image: NDArray[np.uint8],
    xy: NDArray[np.floating],
    is_used: NDArray[np.bool_],
    texels_per_step: float,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut out the photo's used part, shrunk if texels lie pixels apart; xy moves along."""
    steps = np.hypot(*cv2.split(np.diff(xy, axis=1)))[is_used[:, 1:]]
    step = float(np.median(steps)) if len(steps) else 1.0
    pixels_per_texel, margin = step / texels_per_step, 2 * step + 2
    first, last = bounds(xy[is_used])
    low = np.maximum(np.floor(first - margin), 0).astype(int)
    high = np.maximum(np.ceil(last + margin), 0).astype(int)
    photo, moved = image[low[1] : high[1], low[0] : high[0]], xy - low.astype(np.float32)
    if pixels_per_texel < 1.5 or photo.size == 0:
        return photo, moved
    height, width = photo.shape[:2]
    small = (max(round(width / pixels_per_texel), 1), max(round(height / pixels_per_texel), 1))
    shrink = np.array([small[0] / width, small[1] / height], np.float32)
    moved = (moved + np.float32(0.5)) * shrink - np.float32(0.5)
    shrunk = np.asarray(cv2.resize(photo, small, interpolation=cv2.INTER_AREA), np.uint8)
    return shrunk, moved


def complete_face(
    texture: NDArray[np.uint8],
    view: MeshView,
    atlas: Atlas,
    rotation: NDArray[np.floating],
    will_move: bool = False,
) -> NDArray[np.uint8]:
    """Give every texel of a face a color, see `complete_texture`.

    Args:
        texture: (S, S, 4) uint8 RGBA, from `sample_texture`.
        view: The face's mesh.
        atlas: The UV space.
        rotation: (3, 3) float, canonical frame → photo frame with y up.
        will_move: Whether eyes and mouth are going to open and close, so that the colors at their
            rims should be those of lids and lips alone.

    Returns:
        (S, S, 3) uint8 RGB, a new array.
    """
    edge = view.distance_from_edges()
    edge *= min(longer_side(view.vertices) * EDGE_DISTANCE[1] / BLURRED_PX, 1)
    if will_move:
        edge = np.minimum(edge, view.distance_from_edges(with_holes=True) / OPENING_FACTOR)
    side = (view.normals @ rotation[:, 0]).astype(np.float32)
    facing, edge, side = map(atlas.spread, (view.normals[:, 2], edge, side))
    return complete_texture(texture, facing, edge, side)


def complete_texture(
    texture: NDArray[np.uint8],
    facing_map: NDArray[np.floating],
    edge_map: NDArray[np.floating] | None = None,
    side_map: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Give every texel a color: the photo's where it shows the skin well, else a likely one.

    What is hidden takes the other half's color (the chart is symmetric about u = ½), relit to fit
    where both halves are seen; what neither half shows is filled smoothly from around it.

    Args:
        texture: (S, S, 4) uint8 RGBA, from `sample_texture`.
        facing_map: (M, M) float32, cosine between normal and view at the map's pixels. Towards the
            silhouette the photo's colors are smeared and mixed with the background, so they fade
            out.
        edge_map: (M, M) float32, how far from an outline the photo shows the map's pixels, in
            shares of the face's size: near one, colors are the background's, or what stands before.
            None if there is no outline.
        side_map: (M, M) float32, how far the surface faces the subject's left: the x of its normals
            in the head's own frame, by which light from the side is judged; None if it is unknown.

    Returns:
        (S, S, 3) uint8 RGB, a new array; gray if the photo shows nothing at all.
    """
    size, coarse = len(texture), min(len(texture), RELIGHT_SIZE)
    alpha = texture[..., 3] / np.float32(255)
    own = alpha * _resize(_smooth_step(facing_map, *GRAZED_FACING), size)
    if edge_map is not None:
        own *= _resize(_smooth_step(edge_map, *EDGE_DISTANCE), size)
        own *= _unlike_strays(texture, own, _resize(edge_map, size))
    if not own.any():
        return np.full((size, size, 3), 128, np.uint8)
    weighted = texture[..., :3] * own[..., None]
    other = weighted[:, ::-1]
    telling = _smooth_step(facing_map, *LIT_FACING)
    if edge_map is not None:
        telling *= _smooth_step(edge_map, *LIT_DISTANCE)
    if side_map is not None:
        lit_own = _resize(own, len(side_map)) * telling
        lit_level = _resize(weighted, len(side_map)) @ np.full(3, 1 / 3, np.float32) * telling
        light = np.exp(_side_light(lit_level, lit_own, side_map) * side_map)
        other = other * _resize(light / light[:, ::-1], size)[..., None]
    # where both halves are seen well, the difference between their colors is that of their light
    small, lent = _resize(weighted, coarse), _resize(other, coarse)
    share = _resize(own, coarse)[..., None]
    lit = _resize(telling, coarse)[..., None]
    lit = lit * lit[:, ::-1]
    difference = (small * share[:, ::-1] - lent * share) * lit
    relight = push_pull(difference, (share * share[:, ::-1] * lit)[..., 0])
    relit = other + _resize(relight, size) * own[:, ::-1, None]
    # the other half lends its colors where it is shown much better
    if edge_map is not None:
        alpha = np.minimum(alpha, _resize(_smooth_step(edge_map, *EDGE_DISTANCE), size))
    shown = cv2.erode(_resize(alpha, len(facing_map)), np.ones((SEAM_MARGIN, SEAM_MARGIN)))
    shown = cv2.blur(shown * np.maximum(facing_map, 0), (SEAM_BLUR, SEAM_BLUR))
    loan = _resize(_smooth_step(shown[:, ::-1] - shown, *BETTER_FACING), size)
    # (and wherever there is nothing else: relit is its color times its share, own[:, ::-1])
    loan = np.maximum(loan, 1 - own)
    likely = weighted * (1 - loan)[..., None] + relit * loan[..., None]
    known = own * (1 - loan) + own[:, ::-1] * loan
    filled = likely + _resize(_guess(likely, known), size) * (1 - known)[..., None]
    return np.rint(np.clip(filled, 0, 255)).astype(np.uint8)


def _guess(weighted: NDArray[np.floating], known: NDArray[np.floating]) -> NDArray[np.float32]:
    """Colors for what neither half shows, (C, C, 3): narrow gaps take their rims', others a blend.

    Args:
        weighted: (S, S, 3) float, colors times `known`.
        known: (S, S) float in [0, 1].
    """
    coarse = min(len(known), RELIGHT_SIZE)
    small, share = _resize(weighted, coarse), _resize(known, coarse)
    blend = push_pull(small, share)
    is_known = share > 0.5
    if not is_known.any():
        return blend
    nearest = nearest_covered(is_known)
    rims = (small / np.maximum(share, 0.5)[..., None]).reshape(-1, 3)[nearest]
    smooth = np.asarray(cv2.GaussianBlur(rims, (0, 0), RIM_BLUR), np.float32)
    distance = cv2.distanceTransform((~is_known).astype(np.uint8), cv2.DIST_L2, 5)
    is_narrow = 1 - _smooth_step(np.asarray(distance, np.float32), *NARROW_GAP)
    return np.asarray(blend + (smooth - blend) * is_narrow[..., None], np.float32)


def _side_light(
    level: NDArray[np.floating], share: NDArray[np.floating], side_map: NDArray[np.floating]
) -> float:
    """How much more light skin gets the more it faces the subject's left: b in exp(b · side).

    Of a pair of points that mirror each other the colors are alike, so their ratio tells.

    Args:
        level: (M, M) float, brightness times share.
        share: (M, M) float in [0, 1].
        side_map: (M, M) float, the sideways part of the normals.
    """
    both = np.minimum(share, share[:, ::-1])
    known = both > 0.5
    side = (side_map - side_map[:, ::-1])[known]
    bright = np.maximum(level / np.maximum(share, 0.5), 1)
    ratio = np.log(bright / bright[:, ::-1])[known]
    usual = np.abs(ratio) < USUAL_RATIO  # else a shadow, or hair on one side
    return float((ratio * side)[usual].sum() / ((side[usual] ** 2).sum() + NO_LIGHT))


def _unlike_strays(
    texture: NDArray[np.uint8], own: NDArray[np.floating], edge: NDArray[np.floating]
) -> NDArray[np.float32]:
    """1 for colors like the skin's around, 0 for what strayed onto it near an outline: (S, S)."""
    inside = own * (edge > CHECKED_DISTANCE)
    if not inside.any():
        return np.ones_like(own)
    around = push_pull(texture[..., :3] * inside[..., None], inside)
    red, green, blue = cv2.split(cv2.absdiff(texture[..., :3].astype(np.float32), around))
    off = np.maximum(np.maximum(red, green), blue)
    is_stray = _smooth_step(off, *STRAY_LEVELS) * (edge <= CHECKED_DISTANCE)
    return np.asarray(1 - is_stray, np.float32)


def _smooth_step(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.float32]:
    """0 up to low, 1 from high on, and smoothly between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _resize(values: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Resample an (M, M, …) map bilinearly to size × size, texel centres as in UV."""
    if len(values) == size:
        return np.asarray(values, np.float32)
    shrinks = size < len(values)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (size, size), interpolation=method), np.float32)
