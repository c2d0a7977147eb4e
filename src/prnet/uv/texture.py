"""Photo + position map → the face's colors in UV space, and a guess at what is hidden."""

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.sampling import push_pull, sample_bilinear

GRAZED_FACING = (0.15, 0.4)  # cosines between which a surface comes to show its own colors
LIT_FACING = (0.3, 0.7)  # cosines between which it shows no background, so its light can be judged
# by so much more the other half must face the viewer to lend its colors, in part or wholly
BETTER_FACING = (0.05, 0.4)
SEAM_MARGIN, SEAM_BLUR = 5, 9  # map pixels over which the loan starts before skin gets hidden
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
    steps = np.linalg.norm(np.diff(xy, axis=1), axis=2)[is_used[:, 1:]]
    step = float(np.median(steps)) if len(steps) else 1.0
    pixels_per_texel, margin = step / texels_per_step, 2 * step + 2
    low = np.maximum(np.floor(xy[is_used].min(0) - margin), 0).astype(int)
    high = np.maximum(np.ceil(xy[is_used].max(0) + margin), 0).astype(int)
    photo, moved = image[low[1] : high[1], low[0] : high[0]], xy - low.astype(np.float32)
    if pixels_per_texel < 1.5 or photo.size == 0:
        return photo, moved
    height, width = photo.shape[:2]
    small = (max(round(width / pixels_per_texel), 1), max(round(height / pixels_per_texel), 1))
    shrink = np.array([small[0] / width, small[1] / height], np.float32)
    moved = (moved + np.float32(0.5)) * shrink - np.float32(0.5)
    shrunk = np.asarray(cv2.resize(photo, small, interpolation=cv2.INTER_AREA), np.uint8)
    return shrunk, moved


def complete_texture(
    texture: NDArray[np.uint8], facing_map: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Give every texel a color: the photo's where it shows the skin well, else a likely one.

    What is hidden takes the other half's color (the chart is symmetric about u = ½), relit to fit
    where both halves are seen; what neither half shows is filled smoothly from around it.

    Args:
        texture: (S, S, 4) uint8 RGBA, from `sample_texture`.
        facing_map: (M, M) float32, cosine between normal and view at the map's pixels. Towards the
            silhouette the photo's colors are smeared and mixed with the background, so they fade
            out.

    Returns:
        (S, S, 3) uint8 RGB, a new array; gray if the photo shows nothing at all.
    """
    size, coarse = len(texture), min(len(texture), RELIGHT_SIZE)
    alpha = texture[..., 3] / np.float32(255)
    own = alpha * _resize(_smooth_step(facing_map, *GRAZED_FACING), size)
    if not own.any():
        return np.full((size, size, 3), 128, np.uint8)
    weighted = texture[..., :3] * own[..., None]
    # where both halves are seen well, the difference between their colors is that of their light
    small, share = _resize(weighted, coarse), _resize(own, coarse)[..., None]
    lit = _resize(_smooth_step(facing_map, *LIT_FACING), coarse)[..., None]
    lit = lit * lit[:, ::-1]
    difference = (small * share[:, ::-1] - small[:, ::-1] * share) * lit
    relight = push_pull(difference, (share * share[:, ::-1] * lit)[..., 0])
    relit = weighted[:, ::-1] + _resize(relight, size) * own[:, ::-1, None]
    # the other half lends its colors where it is shown much better
    shown = cv2.erode(_resize(alpha, len(facing_map)), np.ones((SEAM_MARGIN, SEAM_MARGIN)))
    shown = cv2.blur(shown * np.maximum(facing_map, 0), (SEAM_BLUR, SEAM_BLUR))
    lent = _resize(_smooth_step(shown[:, ::-1] - shown, *BETTER_FACING), size)
    likely = weighted * (1 - lent)[..., None] + relit * lent[..., None]
    filled = push_pull(likely, own * (1 - lent) + own[:, ::-1] * lent)
    return np.rint(np.clip(filled, 0, 255)).astype(np.uint8)


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
