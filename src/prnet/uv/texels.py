"""What a completed texture takes for each of its texels, compiled: as many as a photo has pixels.

The maps that say how are coarser and smooth; they are read between their pixels on the way, since a
map for every texel would take longer to write than all the rest.
"""

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled, compiled_part
from prnet.uv.texture import resize_map

WEIGHED, BLENDED = 6, 8  # maps that the two steps read; compiled in, they go side by side


def weigh_texels(
    texture: NDArray[np.uint8],
    maps: NDArray[np.float32],
    stray: tuple[float, float, float],
    coarse: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Find how well texels show the skin's own color, and their means so weighed.

    Args:
        texture: (S, S, 4) uint8 RGBA.
        maps: (M, M, 6) float32: two weights, whose product with alpha is how well; distance from an
            outline; the color expected there.
        stray: Where that distance is at most the first number, colors that are off by up to the
            second in any channel count fully, and from the third on not at all.
        coarse: C ≤ S, the side of the means.

    Returns:
        (S, S) float32 in [0, 1], how well; (C, C, 3) means of the colors times it; (C, C) its mean.
    """
    size = len(texture)
    maps, first, share = _between(maps, size)
    cell = (np.arange(size) * coarse // size).astype(np.uint32)
    own = np.empty((size, size), np.float32)
    colors, total = (np.zeros((coarse, coarse, k), np.float32) for k in (3, 1))
    limits = np.array(stray, np.float32)
    _weigh(np.ascontiguousarray(texture), maps, first, share, limits, cell, own, colors, total)
    count = np.bincount(cell, minlength=coarse).astype(np.float32)
    texels = (count[:, None] * count)[..., None]
    colors /= texels
    total /= texels
    return own, colors, total[..., 0]


def blend_texels(
    texture: NDArray[np.uint8], own: NDArray[np.float32], maps: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Let each texel take the color of the other half's, and a guess for what neither shows.

    Args:
        texture: (S, S, 4) uint8 RGBA.
        own: (S, S) float32 in [0, 1], how well its texels show their own color.
        maps: (M, M, 8) float32: how much of the other half's is taken where both show theirs; by
            how much that is brightened; what is added to it then (3); the guess (3).

    Returns:
        (S, S, 3) uint8 RGB.
    """
    size = len(texture)
    filled = np.empty((size, size, 3), np.uint8)
    maps, first, share = _between(maps, size)
    _blend(np.ascontiguousarray(texture), own, maps, first, share, filled)
    return filled


def _between(
    maps: NDArray[np.float32], size: int
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32]]:
    """Maps (M, M, K), shrunk if they are finer, and where texels lie in them.

    Returns:
        The maps, contiguous; (S,) the pixel before each row or column of texels; (S,) float32, how
        far past it that lies.
    """
    if size < len(maps):
        maps = np.stack([resize_map(one, size) for one in np.moveaxis(maps, 2, 0)], 2)
    maps = np.ascontiguousarray(maps)
    last = len(maps) - 1
    place = np.clip((np.arange(size) + 0.5) * (len(maps) / size) - 0.5, 0, last)
    # unsigned: to read by what may be negative takes a tenth longer
    first = np.minimum(place, max(last - 1, 0)).astype(np.uint32)
    return maps, first, (place - first).astype(np.float32)


@compiled_part
def _read_row(maps, first, share, line):  # type: ignore[no-untyped-def]
    """Fill `line` with what lies between a row of maps and the next."""
    above, below = maps[first], maps[min(first + 1, len(maps) - 1)]
    for i in range(line.shape[0]):
        for k in range(line.shape[1]):
            line[i, k] = above[i, k] + share * (below[i, k] - above[i, k])


@compiled_part
def _read(line, first, share, k):  # type: ignore[no-untyped-def]
    """What lies between a place of a line of maps and the next."""
    here = line[first, k]
    return here + share * (line[min(first + 1, len(line) - 1), k] - here)


@compiled
def _weigh(texture, maps, first, share, stray, cell, own, colors, total):  # type: ignore[no-untyped-def]
    """Fill `own`, and add up in `colors` and `total` what falls into each of their cells."""
    size, side = len(texture), maps.shape[1]
    line = np.empty((side, WEIGHED), np.float32)
    for y in range(size):
        _read_row(maps, first[y], share[y], line)
        for x in range(size):
            own[y, x] = 0
            if texture[y, x, 3] == 0:
                continue
            i, f = first[x], share[x]
            weight = np.float32(texture[y, x, 3]) * np.float32(1 / 255)
            weight *= _read(line, i, f, 0) * _read(line, i, f, 1)
            if weight <= 0:
                continue
            if _read(line, i, f, 2) <= stray[0]:
                off = np.float32(0)
                for c in range(3):
                    off = max(off, abs(np.float32(texture[y, x, c]) - _read(line, i, f, 3 + c)))
                if off > stray[1]:
                    t = min((off - stray[1]) / (stray[2] - stray[1]), np.float32(1))
                    weight *= np.float32(1 - t * t * (3 - 2 * t))
            own[y, x] = weight
            row, column = cell[y], cell[x]
            for c in range(3):
                colors[row, column, c] += weight * np.float32(texture[y, x, c])
            total[row, column, 0] += weight


@compiled
def _blend(texture, own, maps, first, share, filled):  # type: ignore[no-untyped-def]
    """Fill `filled`."""
    zero, half, one, white = np.float32(0), np.float32(0.5), np.float32(1), np.float32(255)
    size, side = len(texture), maps.shape[1]
    line = np.empty((side, BLENDED), np.float32)
    read = np.empty(BLENDED, np.float32)
    for y in range(size):
        _read_row(maps, first[y], share[y], line)
        for x in range(size):
            i, f = first[x], share[x]
            loan = _read(line, i, f, 0)
            mine, theirs = own[y, x], own[y, size - 1 - x]
            if mine == 1 and loan <= 0:
                for c in range(3):
                    filled[y, x, c] = texture[y, x, c]
                continue
            for k in range(BLENDED):
                read[k] = _read(line, i, f, k)
            # (and wherever there is nothing else: relit is its color times its share, theirs)
            taken = max(loan, one - mine)
            kept = mine * (one - taken)
            lent = theirs * taken
            unknown = one - kept - lent
            for c in range(3):
                relit = np.float32(texture[y, size - 1 - x, c]) * read[1] + read[2 + c]
                color = relit * lent + np.float32(texture[y, x, c]) * kept + read[5 + c] * unknown
                filled[y, x, c] = np.uint8(min(max(color, zero), white) + half)
