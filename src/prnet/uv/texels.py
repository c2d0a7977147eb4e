"""What a completed texture takes for each of its texels, compiled: as many as a photo has pixels.

The maps that say how are coarser and smooth; they are read between their pixels on the way, since a
map for every texel would take longer to write than all the rest. A row of texels is worked on in
loops so plain, and of so few arrays that may overlap, that they become vector instructions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled, compiled_part
from prnet.uv.texture import resize_map

# Texels of a row worked on at a time, and how far apart the maps' rows lie meanwhile: constant, so
# that the compiler sees that they don't overlap; no power of two, or all would want the same place
# in the cache.
CHUNK, PITCH = 1024, 1024 + 16


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
    filled = np.empty((len(texture), len(texture), 3), np.uint8)
    between = _between(maps, len(texture))
    _blend(_packed(texture), own, *between, filled.reshape(len(texture), -1))
    return filled


def _packed(texture: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """RGBA as one number a texel, red lowest: so it is read and written several times as fast."""
    return np.ascontiguousarray(texture).view("<u4")[..., 0]


def _between(
    maps: Sequence[NDArray[np.float32]], size: int
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32]]:
    """K maps (M, M), shrunk if they are finer, and where texels lie in them.

    Returns:
        The maps, (K, M, M); (S,) the pixel before each row or column of texels; (S,) float32, how
        far past it that lies.
    """
    planes = np.stack([resize_map(one, min(len(one), size)) for one in maps])
    side = planes.shape[1]
    place = np.clip((np.arange(size) + 0.5) * (side / size) - 0.5, 0, side - 1)
    # unsigned: to read by what may be negative takes longer
    first = np.minimum(place, max(side - 2, 0)).astype(np.uint32)
    return planes, first, (place - first).astype(np.float32)


@compiled
def _weigh(texture, maps, first, share, stray, cell, own, means):  # type: ignore[no-untyped-def]
    """Fill `own`, and `means` of the colors times it, and of it, (4, C, C)."""
    size = len(own)
    stretched, rows = _room(maps, size), np.full(2, -1)
    total = np.empty((stretched.shape[1], 4 * PITCH), np.float32)
    for row in range(len(cell) - 1):
        total[:] = 0
        for y in range(cell[row], cell[row + 1]):
            one, other = _read_rows(maps, first, share, y, stretched, rows)
            for x in range(0, size, CHUNK):
                end, c = min(x + CHUNK, size), x // CHUNK
                place = one[c], other[c], share[y]
                _weigh_row(texture[y, x:end], *place, stray, own[y, x:end], total[c])
        _average(total, cell, cell[row + 1] - cell[row], means[:, row])


@compiled
def _blend(texture, own, maps, first, share, filled):  # type: ignore[no-untyped-def]
    """Fill `filled`, (S, 3 · S) bytes."""
    size = len(own)
    stretched, rows = _room(maps, size), np.full(2, -1)
    blended = np.empty(size, np.uint32)
    for y in range(size):
        one, other = _read_rows(maps, first, share, y, stretched, rows)
        for x in range(0, size, CHUNK):
            end, c = min(x + CHUNK, size), x // CHUNK
            mine = texture[y, x:end], own[y, x:end]
            theirs = texture[y, size - end : size - x], own[y, size - end : size - x]
            _blend_row(*mine, *theirs, one[c], other[c], share[y], blended[x:end])
        _unpack(blended, filled[y])


@compiled_part
def _room(maps, size):  # type: ignore[no-untyped-def]
    """For two rows of the maps, (2, N, K · PITCH): for `_read_rows`."""
    return np.empty((2, (size + CHUNK - 1) // CHUNK, len(maps) * PITCH), np.float32)


@compiled_part
def _read_rows(maps, first, share, y, stretched, rows):  # type: ignore[no-untyped-def]
    """Give what the maps say above and below a row of texels, (N, K · PITCH) each.

    `stretched` keeps them for the next row, `rows` says which they are.
    """
    one = np.int64(first[y])
    other = min(one + 1, maps.shape[1] - 1)
    for row in (one, other):
        if rows[row % 2] != row:
            rows[row % 2] = row
            for x in range(0, len(share), CHUNK):
                end = min(x + CHUNK, len(share))
                for k in range(len(maps)):
                    line = stretched[row % 2, x // CHUNK, k * PITCH : k * PITCH + end - x]
                    if end - x == 4 * maps.shape[2] == len(share):  # as mostly
                        _stretch_fourfold(maps[k, row], share, line)
                    else:
                        _stretch(maps[k, row], first[x:end], share[x:end], line)
    return stretched[one % 2], stretched[other % 2]


@compiled_part
def _stretch(row, first, share, line):  # type: ignore[no-untyped-def]
    """Fill `line` with what lies between the pixels of a map's row."""
    end = np.uint32(len(row) - 1)
    for x in range(len(line)):
        here, following = row[first[x]], row[min(first[x] + np.uint32(1), end)]
        line[x] = here + share[x] * (following - here)


@compiled_part
def _stretch_fourfold(row, share, line):  # type: ignore[no-untyped-def]
    """Do so where the next four texels are always as far past the next pixel: vectorized."""
    line[:2], line[len(line) - 2 :] = row[0], row[len(row) - 1]
    four, one, other, third, last = np.uint64(4), share[2], share[3], share[4], share[5]
    for i in range(len(row) - 1):
        here, x = row[i], np.uint64(i) * four + np.uint64(2)
        rise = row[i + 1] - here
        line[x] = here + one * rise
        line[x + np.uint64(1)] = here + other * rise
        line[x + np.uint64(2)] = here + third * rise
        line[x + np.uint64(3)] = here + last * rise


@compiled_part
def _between_rows(one, other, share, k, x):  # type: ignore[no-untyped-def]
    """What map k says of texel x."""
    place = np.uint64(k * PITCH) + x
    return one[place] + share * (other[place] - one[place])


@compiled_part
def _channel(texel, channel):  # type: ignore[no-untyped-def]
    """A texel's red, green, blue or alpha."""
    return np.float32(np.int32((texel >> np.uint32(8 * channel)) & np.uint32(255)))


@compiled_part
def _weigh_row(texels, above, below, share, stray, own, total):  # type: ignore[no-untyped-def]
    """Fill a row of `own`; add the colors times it, and it, to `total`."""
    zero, one, three, scale = np.float32(0), np.float32(1), np.float32(3), np.float32(1 / 255)
    slope = one / (stray[2] - stray[1])
    for i in range(len(own)):
        x = np.uint64(i)
        texel = texels[x]
        weight = _channel(texel, 3) * scale * _between_rows(above, below, share, 0, x)
        red = abs(_channel(texel, 0) - _between_rows(above, below, share, 2, x))
        green = abs(_channel(texel, 1) - _between_rows(above, below, share, 3, x))
        blue = abs(_channel(texel, 2) - _between_rows(above, below, share, 4, x))
        t = min(max((max(max(red, green), blue) - stray[1]) * slope, zero), one)
        checked = weight * (one - t * t * (three - t - t))
        is_near = _between_rows(above, below, share, 1, x) <= stray[0]
        weight = checked if is_near else weight
        own[x] = weight
        for c in range(3):
            total[np.uint64(c * PITCH) + x] += _channel(texel, c) * weight
        total[np.uint64(3 * PITCH) + x] += weight


@compiled_part
def _average(total, cell, rows, means):  # type: ignore[no-untyped-def]
    """Fill `means`, (4, C), with those of a row's cells, each of so many rows of texels."""
    for column in range(means.shape[1]):
        red, green, blue, own = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for each in range(cell[column], cell[column + 1]):  # four sums at a time don't wait
            c, x = np.uint64(each) // np.uint64(CHUNK), np.uint64(each) % np.uint64(CHUNK)
            red += total[c, x]
            green += total[c, np.uint64(PITCH) + x]
            blue += total[c, np.uint64(2 * PITCH) + x]
            own += total[c, np.uint64(3 * PITCH) + x]
        texels = np.float32(rows * (cell[column + 1] - cell[column]))
        means[0, column], means[1, column] = red / texels, green / texels
        means[2, column], means[3, column] = blue / texels, own / texels


@compiled_part
def _blend_row(texels, mine, others, theirs, above, below, share, filled):  # type: ignore[no-untyped-def]
    """Fill a row of `filled`; `others` and `theirs` are the other half's, from its end."""
    zero, half, one, white = np.float32(0), np.float32(0.5), np.float32(1), np.float32(255)
    last = np.uint64(len(filled) - 1)
    for i in range(len(filled)):
        x, far = np.uint64(i), last - np.uint64(i)
        # (also wherever there is nothing else: relit is its color times its share, theirs)
        taken = max(_between_rows(above, below, share, 0, x), one - mine[x])
        kept, lent = mine[x] * (one - taken), theirs[far] * taken
        unknown, lit = one - kept - lent, lent * _between_rows(above, below, share, 1, x)
        texel, other = texels[x], others[far]
        color = np.uint32(0)
        for c in range(3):
            mixed = _channel(texel, c) * kept + _channel(other, c) * lit
            mixed += _between_rows(above, below, share, 2 + c, x) * lent
            mixed += _between_rows(above, below, share, 5 + c, x) * unknown
            # rounded once its fraction is cut off
            level = np.int32(min(max(mixed, zero), white) + half)
            color |= np.uint32(level) << np.uint32(8 * c)
        filled[x] = color


@compiled_part
def _unpack(texels, colors):  # type: ignore[no-untyped-def]
    """Fill a row of RGB bytes."""
    for i in range(len(texels)):
        x, texel = np.uint64(3) * np.uint64(i), texels[i]
        colors[x] = np.uint8(texel)
        colors[x + np.uint64(1)] = np.uint8(texel >> np.uint32(8))
        colors[x + np.uint64(2)] = np.uint8(texel >> np.uint32(16))
