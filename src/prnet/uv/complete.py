"""A texture → the same with likely colors for the skin that its photo doesn't show."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled
from prnet.geometry.sampling import push_pull_planes
from prnet.uv.atlas import Atlas
from prnet.uv.chart import nearest_covered
from prnet.uv.halves import compare_halves, lend_colors
from prnet.uv.texels import blend_texels, weigh_texels
from prnet.uv.texture import resize_map, resize_picture
from prnet.uv.visibility import MeshView

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
USUAL_RATIO, NO_LIGHT = 0.7, 50.0
NARROW_GAP, RIM_BLUR = (8, 24), 2.0  # map pixels from a gap's rim; pixels
RELIGHT_SIZE = 256  # side of the map in which the two halves' lighting is compared: light is smooth


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
    edge *= min(view.extent * EDGE_DISTANCE[1] / BLURRED_PX, 1)
    if will_move:
        edge = np.minimum(edge, view.distance_from_edges(with_holes=True) / OPENING_FACTOR)
    side = view.normals @ rotation[:, 0].astype(np.float32)
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
    shows = _smooth_step(facing_map, *GRAZED_FACING)
    telling = _smooth_step(facing_map, *LIT_FACING)
    inside = np.ones_like(facing_map, np.float32)
    *seen, alpha = _planes(resize_picture(texture, len(facing_map)))
    alpha, expected = alpha / np.float32(255), None
    if edge_map is not None:
        inside = _smooth_step(edge_map, *EDGE_DISTANCE)
        telling *= _smooth_step(edge_map, *LIT_DISTANCE)
        expected = _expected_colors(np.stack(seen), alpha, shows * inside, edge_map)
    if edge_map is None or expected is None:
        edge_map, expected = np.ones_like(shows), np.zeros((3, *shows.shape), np.float32)
    stray = CHECKED_DISTANCE, *STRAY_LEVELS
    maps = [shows * inside, edge_map, *expected]
    own, small, share = weigh_texels(texture, maps, stray, coarse)
    if not share.any():
        return np.full((size, size, 3), 128, np.uint8)
    light = np.ones((coarse, coarse), np.float32)
    if side_map is not None:
        lit_own = resize_map(share, len(side_map)) * telling
        lit_level = resize_map(small.mean(0), len(side_map)) * telling
        turned = np.exp(_side_light(lit_level, lit_own, side_map) * side_map)
        light = resize_map(turned / turned[:, ::-1], coarse)
    # where both halves are seen well, the difference between their colors is that of their light
    lit = resize_map(telling, coarse)
    relight = push_pull_planes(*compare_halves(small, share, light, lit))
    # the other half lends its colors where it is shown much better
    shown = cv2.erode(np.minimum(alpha, inside), np.ones((SEAM_MARGIN, SEAM_MARGIN)))
    shown = cv2.blur(shown * np.maximum(facing_map, 0), (SEAM_BLUR, SEAM_BLUR))
    loan = resize_map(_smooth_step(shown[:, ::-1] - shown, *BETTER_FACING), coarse)
    # what the texels themselves will do, for the guess, in the mean
    guess = _guess(*lend_colors(small, share, light, relight, loan))
    return blend_texels(texture, own, [loan, light, *relight, *guess])


def _guess(weighted: NDArray[np.floating], known: NDArray[np.floating]) -> NDArray[np.float32]:
    """Colors for what neither half shows, (3, C, C): narrow gaps take their rims', others a blend.

    Args:
        weighted: (3, C, C) float, colors times `known`.
        known: (C, C) float in [0, 1].
    """
    blend = push_pull_planes(weighted, known)
    is_known = known > 0.5
    if not is_known.any():
        return blend
    nearest, distance = nearest_covered(is_known)
    colors = weighted / np.maximum(known, 0.5)
    is_narrow = np.float32(1) - _smooth_step(distance, *NARROW_GAP)
    for filled, color in zip(blend, colors, strict=True):
        rims = cv2.GaussianBlur(color.take(nearest), (0, 0), RIM_BLUR)
        filled += (rims - filled) * is_narrow
    return blend


def _planes(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    """The channels of (H, W, D), (H, W) each: NumPy multiplies them several times as fast."""
    return tuple(np.asarray(plane, np.float32) for plane in cv2.split(picture))


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
    half = len(share) // 2
    bright = np.log(np.maximum(level / np.maximum(share, 0.5), 1))
    ours, theirs = (np.s_[:, :half], np.s_[:, : -half - 1 : -1])  # each pair once
    known = np.minimum(share[ours], share[theirs]) > 0.5
    ratio = bright[ours] - bright[theirs]
    known &= np.abs(ratio) < USUAL_RATIO  # else a shadow, or hair on one side
    side = (side_map[ours] - side_map[theirs]) * known
    return float(np.vdot(ratio, side) / (np.vdot(side, side) + NO_LIGHT))


def _expected_colors(
    seen: NDArray[np.float32],
    alpha: NDArray[np.float32],
    shows: NDArray[np.floating],
    edge_map: NDArray[np.floating],
) -> NDArray[np.float32] | None:
    """The skin's colors near an outline, by those further inside; None if there are none.

    Args:
        seen: (3, M, M) float32, the texture at the map's pixels, black where alpha is 0.
        alpha: (M, M) float32 in [0, 1], the texture's.
        shows: (M, M) float in [0, 1], how well the map's pixels show their own colors.
        edge_map: (M, M) float, their distance from an outline.
    """
    inside = alpha * shows * (edge_map > CHECKED_DISTANCE)
    if not inside.any():
        return None
    # where a texel is seen in part, its color is black in part
    return push_pull_planes(seen * (inside / np.maximum(alpha, 1e-3)), inside)


def _smooth_step(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.float32]:
    """0 up to low, 1 from high on, and smoothly between."""
    share = np.empty(values.shape, np.float32)
    flat = np.ascontiguousarray(values, np.float32).ravel()
    _fill_steps(flat, np.float32(low), np.float32(1 / (high - low)), share.ravel())
    return share


@compiled
def _fill_steps(values, low, scale, share):  # type: ignore[no-untyped-def]
    """Fill `share`."""
    zero, one, two, three = np.float32(0), np.float32(1), np.float32(2), np.float32(3)
    for i in range(len(values)):
        t = min(max((values[i] - low) * scale, zero), one)
        share[i] = t * t * (three - two * t)
