"""What a completed texture takes for each of its texels, compiled: as many as a photo has pixels.

The maps that say how are coarser and smooth; they are read between their pixels on the way, since a
map for every texel would take longer to write than all the rest. A row of texels is worked on in
loops so plain, each of few arrays, that they become vector instructions.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled, compiled_part
from prnet.uv.texture import resize_map


def weigh_texels(
    texture: NDArray[np.uint8],
    maps: Sequence[NDArray[np.float32]],
    stray: tuple[float, float, float],
    coarse: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Find how well texels show the skin's own color, and their means so weighed.

    Args:
        texture: (S, S, 4) uint8 RGBA.
        maps: 5 of (M, M) float32: how well but for alpha; distance from an outline; the color
            expected there (3).
        stray: Where that distance is at most the first number, colors that are off by up to the
            second in any channel count fully, and from the third on not at all.
        coarse: C ≤ S, the side of the means.

    Returns:
        (S, S) float32 in [0, 1], how well; (3, C, C) means of the colors times it; (C, C) its mean.
    """
    size = len(texture)
    cell = (np.arange(coarse + 1) * size + coarse - 1) // coarse  # of each cell, its first texel
    own = np.empty((size, size), np.float32)
    means = np.empty((4, coarse, coarse), np.float32)
    _weigh(_packed(texture), *_between(maps, size), np.array(stray, np.float32), cell, own, means)
    return own, means[:3], means[3]


def blend_texels(
    texture: NDArray[np.uint8], own: NDArray[np.float32], maps: Sequence[NDArray[np.float32]]
) -> NDArray[np.uint8]:
    """Let each texel take the color of the other half's, and a guess for what neither shows.

    Args:
        texture: (S, S, 4) uint8 RGBA.
        own: (S, S) float32 in [0, 1], how well its texels show their own color.
        maps: 8 of (M, M) float32: how much of the other half's is taken where both show theirs; by
            how much that is brightened; what is added to it then (3); the guess (3).

    Returns:
        (S, S, 3) uint8 RGB.
    """
    filled = np.empty_like(texture, order="C")
    _blend(_packed(texture), own, *_between(maps, len(texture)), _packed(filled))
    return np.asarray(cv2.cvtColor(filled, cv2.COLOR_RGBA2RGB), np.uint8)


def _packed(texture: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """RGBA as one number a texel, red lowest: so it is read and written several times as fast."""
    return np.ascontiguousarray(texture).view("<u4")[..., 0]


def _between(
    maps: Sequence[NDArray[np.float32]], size: int
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32]]:
    """K maps (M, M), shrunk if they are finer, and where texels lie in them.

    Returns:
        The maps, (K, M, M); (S,) the pixel before each row or column of texels; (S,) float32, how
        far past it that lies; (M + 1,) the first texel past each pixel, and S.
    """
    planes = np.stack([resize_map(one, min(len(one), size)) for one in maps])
    side = planes.shape[1]
    place = np.clip((np.arange(size) + 0.5) * (side / size) - 0.5, 0, side - 1)
    # unsigned: to read by what may be negative takes longer
    first = np.minimum(place, max(side - 2, 0)).astype(np.uint32)
    start = np.searchsorted(first, np.arange(side + 1)).astype(np.uint32)
    return planes, first, (place - first).astype(np.float32), start


@compiled
def _weigh(texture, maps, first, share, start, stray, cell, own, means):  # type: ignore[no-untyped-def]
    """Fill `own`, and `means` of the colors times it, and of it, (4, C, C)."""
    size = len(own)
    stretched, rows = np.empty((2, len(maps), size), np.float32), np.full(2, -1)
    line = np.empty((len(maps), size), np.float32)
    colors = np.ones((4, size), np.float32)
    alpha, off = np.empty(size, np.float32), np.empty(size, np.float32)
    total = np.empty((4, size), np.float32)
    for row in range(len(cell) - 1):
        total[:] = 0
        for y in range(cell[row], cell[row + 1]):
            _read_row(maps, first, share, start, y, stretched, rows, line)
            for c in range(3):
                _unpack(texture[y], c, colors[c])
            _unpack(texture[y], 3, alpha)
            _differ(colors[0], colors[1], colors[2], line[2], line[3], line[4], off)
            _weigh_row(alpha, line[0], line[1], off, stray, own[y])
            for c in range(4):  # the last is 1
                _add(colors[c], own[y], total[c])
        _average(total, cell, cell[row + 1] - cell[row], means[:, row])


@compiled
def _blend(texture, own, maps, first, share, start, filled):  # type: ignore[no-untyped-def]
    """Fill `filled`."""
    size = len(own)
    stretched, rows = np.empty((2, len(maps), size), np.float32), np.full(2, -1)
    line = np.empty((len(maps), size), np.float32)
    shares = np.empty((2, size), np.float32)
    mine, theirs = np.empty(size, np.float32), np.empty(size, np.float32)
    colors = np.empty((3, size), np.float32)
    for y in range(size):
        _read_row(maps, first, share, start, y, stretched, rows, line)
        _mirror(own[y], theirs)
        _divide(own[y], theirs, line[0], shares[0], shares[1])
        for c in range(3):
            _unpack(texture[y], c, mine)
            _mirror(mine, theirs)
            relight, guess = line[2 + c], line[5 + c]
            _blend_row(mine, theirs, line[1], relight, guess, shares[0], shares[1], colors[c])
        _pack(colors[0], colors[1], colors[2], filled[y])


@compiled_part
def _read_row(maps, first, share, start, y, stretched, rows, line):  # type: ignore[no-untyped-def]
    """Fill `line`, (K, S), with what the maps say of a row of texels.

    `stretched`, (2, K, S), keeps two rows of the maps for the next one, `rows` says which.
    """
    one = np.int64(first[y])
    other = min(one + 1, maps.shape[1] - 1)
    for row in (one, other):
        if rows[row % 2] != row:
            rows[row % 2] = row
            for k in range(len(maps)):
                _stretch(maps[k, row], share, start, stretched[row % 2, k])
    for k in range(len(maps)):
        _mix(stretched[one % 2, k], stretched[other % 2, k], share[y], line[k])


@compiled_part
def _stretch(row, share, start, line):  # type: ignore[no-untyped-def]
    """Fill `line` with what lies between the pixels of a map's row."""
    for i in range(len(row)):
        here = row[i]
        rise = row[min(i + 1, len(row) - 1)] - here
        for x in range(start[i], start[i + 1]):
            line[x] = here + share[x] * rise


@compiled_part
def _mix(one, other, share, line):  # type: ignore[no-untyped-def]
    """Fill `line` with what lies between two others."""
    for x in range(len(line)):
        line[x] = one[x] + share * (other[x] - one[x])


@compiled_part
def _mirror(row, line):  # type: ignore[no-untyped-def]
    """Fill `line` with a row from its end."""
    last = np.uint64(len(row) - 1)
    for x in range(len(line)):
        line[x] = row[last - np.uint64(x)]


@compiled_part
def _unpack(texels, channel, line):  # type: ignore[no-untyped-def]
    """Fill `line` with a channel of a row of texels."""
    shift = np.uint32(8 * channel)
    for x in range(len(line)):
        line[x] = np.float32(np.int32((texels[x] >> shift) & np.uint32(255)))


@compiled_part
def _pack(red, green, blue, texels):  # type: ignore[no-untyped-def]
    """Fill a row of texels."""
    for x in range(len(texels)):
        r, g, b = np.int32(red[x]), np.int32(green[x]), np.int32(blue[x])
        texels[x] = np.uint32(r | (g << np.int32(8)) | (b << np.int32(16)))


@compiled_part
def _differ(red, green, blue, other_red, other_green, other_blue, off):  # type: ignore[no-untyped-def]
    """Fill `off` with how far colors are from others, in the channel where that is most."""
    for x in range(len(off)):
        most = max(abs(red[x] - other_red[x]), abs(green[x] - other_green[x]))
        off[x] = max(most, abs(blue[x] - other_blue[x]))


@compiled_part
def _weigh_row(alpha, shows, edge, off, stray, own):  # type: ignore[no-untyped-def]
    """Fill a row of `own`."""
    zero, one, three, scale = np.float32(0), np.float32(1), np.float32(3), np.float32(1 / 255)
    slope = one / (stray[2] - stray[1])
    for x in range(len(own)):
        weight = alpha[x] * scale * shows[x]
        t = min(max((off[x] - stray[1]) * slope, zero), one)
        checked = weight * (one - t * t * (three - t - t))
        own[x] = checked if edge[x] <= stray[0] else weight


@compiled_part
def _add(values, weight, total):  # type: ignore[no-untyped-def]
    """Add values times their weights."""
    for x in range(len(total)):
        total[x] += values[x] * weight[x]


@compiled_part
def _average(total, cell, rows, means):  # type: ignore[no-untyped-def]
    """Fill `means`, (4, C), with those of a row's cells, each of so many rows of texels."""
    for column in range(means.shape[1]):
        red, green, blue, own = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for x in range(cell[column], cell[column + 1]):  # four sums at a time don't wait
            red += total[0, x]
            green += total[1, x]
            blue += total[2, x]
            own += total[3, x]
        texels = np.float32(rows * (cell[column + 1] - cell[column]))
        means[0, column], means[1, column] = red / texels, green / texels
        means[2, column], means[3, column] = blue / texels, own / texels


@compiled_part
def _divide(mine, theirs, loan, kept, lent):  # type: ignore[no-untyped-def]
    """Fill `kept` and `lent`, how much of texels' own colors and of the other half's they take."""
    one = np.float32(1)
    for x in range(len(kept)):
        # (also wherever there is nothing else: relit is its color times its share, theirs)
        taken = max(loan[x], one - mine[x])
        kept[x] = mine[x] * (one - taken)
        lent[x] = theirs[x] * taken


@compiled_part
def _blend_row(mine, theirs, light, relight, guess, kept, lent, color):  # type: ignore[no-untyped-def]
    """Fill a channel of a row; rounded once its fraction is cut off."""
    zero, half, one, white = np.float32(0), np.float32(0.5), np.float32(1), np.float32(255)
    for x in range(len(color)):
        relit = theirs[x] * light[x] + relight[x]
        unknown = one - kept[x] - lent[x]
        mixed = relit * lent[x] + mine[x] * kept[x] + guess[x] * unknown
        color[x] = min(max(mixed, zero), white) + half
