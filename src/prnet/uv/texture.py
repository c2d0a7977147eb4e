"""Photo + position map → the face's colors in UV space."""

import math
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled, compiled_part
from prnet.geometry.sampling import halve, sample_bilinear

P = TypeVar("P", bound=NDArray[np.floating] | NDArray[np.uint8])

TEXTURE_SIZES = (256, 2048)  # texels a side of a mesh's texture, least and most
MOST_PIXELS = 1.5  # a texel, of a photo that is read between its pixels; else it's shrunk before
SHARPEST_SHARE = 90  # per cent of the surface that the texture must show as sharply as the photo


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
    x, y = (np.ascontiguousarray(position_map[..., k]) for k in (0, 1))
    right, below = ((np.diff(x, axis=a) ** 2 + np.diff(y, axis=a) ** 2) for a in (1, 0))
    steps = np.minimum(right[:-1], below[:, :-1])  # square photo pixels, to the nearer neighbour
    is_known = is_seen[:-1, :-1] & is_seen[:-1, 1:] & is_seen[1:, :-1]
    wanted = SHARPEST_SHARE / 100 * np.count_nonzero(is_known)
    size, most = TEXTURE_SIZES
    # counting takes half the time of sorting
    while size < most and wanted > np.count_nonzero(
        is_known & (steps <= (size / len(position_map)) ** 2)
    ):
        size *= 2
    return size


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
    photo, *xy, reach = _cut_photo(image, position_map, is_used, size / len(position_map))
    if photo.size == 0:
        return np.zeros((size, size, 4), np.uint8)
    # read between the map's pixels, as `used` is; one array, since of the large blocks that are
    # freed the C library keeps the more for what follows
    x, y = planes = np.empty((2, size, size), np.float32)
    for each, plane in zip(xy, planes, strict=True):
        cv2.resize(each, (size, size), plane, interpolation=cv2.INTER_LINEAR)
    used = np.asarray(cv2.resize(is_used.view(np.uint8) * np.uint8(255), (size, size)), np.uint8)
    # centres of pixels at integers: a photo reaches half a pixel beyond the first and the last
    near = cv2.dilate(is_used.view(np.uint8), np.ones((3, 3), np.uint8))
    for coarse, each, length in zip(xy, (x, y), reach, strict=True):
        low, high, *_ = cv2.minMaxLoc(coarse, near)
        if low < -0.5 or high > length - 0.5:
            used = cv2.bitwise_and(used, cv2.inRange(each, -0.5, length - 0.5))
    # OpenCV takes a third less time for four channels than for three
    rgba = cv2.cvtColor(photo, cv2.COLOR_RGB2RGBA)
    read = cv2.remap(rgba, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    texture = np.asarray(read, np.uint8)
    _set_alpha(texture.view("<u4")[..., 0], used)
    return texture


@compiled
def _set_alpha(texels, used):  # type: ignore[no-untyped-def]
    """Let alpha rise from 0 where half is used; where it is 0 the color is black."""
    for y in range(len(texels)):
        _set_alpha_row(texels[y], used[y])


@compiled_part
def _set_alpha_row(texels, used):  # type: ignore[no-untyped-def]
    """Fill in a row's; so plain that it becomes vector instructions."""
    for x in range(len(texels)):
        alpha = max(2 * np.int32(used[x]) - np.int32(255), np.int32(0))
        color = np.int32(texels[x] & np.uint32(0xFFFFFF)) if alpha > 0 else np.int32(0)
        texels[x] = np.uint32(color) | (np.uint32(alpha) << np.uint32(24))


def _cut_photo(
    image: NDArray[np.uint8],
    position_map: NDArray[np.float32],
    is_used: NDArray[np.bool_],
    texels_per_step: float,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], tuple[float, float]]:
    """Cut out the photo's used part, halved while texels lie pixels apart.

    Returns:
        It, the map's x and y there, and its width and height.
    """
    x, y = (np.ascontiguousarray(position_map[..., k], np.float32) for k in (0, 1))
    across = np.asarray(cv2.magnitude(np.diff(x[::4]), np.diff(y[::4])))  # rows enough to tell
    steps = across[is_used[::4, 1:]]
    step = float(np.median(steps)) if len(steps) else 1.0
    pixels_per_texel, margin = step / texels_per_step, 2 * step + 2
    used = [cv2.minMaxLoc(each, is_used.view(np.uint8))[:2] for each in (x, y)]
    left, top = (max(math.floor(least - margin), 0) for least, _ in used)
    right, bottom = (max(math.ceil(most + margin), 0) for _, most in used)
    photo = image[top:bottom, left:right]
    x, y = x - left, y - top
    reach = float(photo.shape[1]), float(photo.shape[0])
    half = np.float32(0.5)
    # by halves it takes a tenth of the time
    while pixels_per_texel >= MOST_PIXELS and min(photo.shape[:2]) > 1:
        photo, pixels_per_texel = halve(photo), pixels_per_texel / 2
        x, y = (x - half) * half, (y - half) * half
        reach = reach[0] / 2, reach[1] / 2  # of an odd row or column the halved photo has nothing
    return photo, x, y, reach


def resize_map(values: NDArray[np.floating] | NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Resample an (M, M, …) map bilinearly to size × size, texel centres as in UV."""
    return np.asarray(resize_picture(values, size), np.float32)


def resize_picture(values: P, size: int) -> P:
    """Do so for a map or a picture, whose kind of number stays what it is."""
    if len(values) == size:
        return values
    shrinks = size < len(values)
    while values.dtype == np.uint8 and len(values) % 2 == 0 and len(values) >= 2 * size:
        # by halves it takes a fifth of the time
        half = (len(values) // 2,) * 2
        values = cv2.resize(values, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(values, (size, size), interpolation=method)  # type: ignore[return-value]
