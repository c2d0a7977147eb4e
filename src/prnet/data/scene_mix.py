"""What scenes show: how many faces, how large, how they stand."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SMALLEST_PX, LARGEST_PX = 10.0, 400.0


class Mix(NamedTuple):
    """What scenes show: shares, and how faces stand.

    Attributes:
        photos: Of scenes that are one whole photo, as users have them.
        empty: Of the others, those without a face.
        single: Those with one face.
        crowds: Those with eight and more; all the rest have two to six.
        upright: Of faces, those that stand nearly upright; others have any angle.
        smallest_single_px: Of a face alone.
        distractors: Pasted things that are no face, in composed scenes; fewer than so many.
        smallest_ground: Longer side of a background photo, in the scene's, at least; the search
            looks at photos with a border around, too.
        covered_photos: Of whole photos, those whose face is covered in part.
    """

    photos: float = 0.0
    empty: float = 0.1
    single: float = 0.3
    crowds: float = 0.2
    upright: float = 0.4
    smallest_single_px: float = 24.0
    distractors: int = 5
    smallest_ground: float = 0.9
    covered_photos: float = 0.0


# What detectors are measured on, and what this one learns from: more as photos usually are.
MEASURED = Mix()
LEARNED = Mix(
    photos=0.35,
    empty=0.15,
    single=0.35,
    crowds=0.1,
    upright=0.45,
    smallest_single_px=32.0,
    distractors=8,
    smallest_ground=0.45,
    covered_photos=0.25,
)


def draw_sizes(rng: np.random.Generator, room: float, mix: Mix) -> NDArray[np.float64]:
    """Choose how many faces a composed scene has, and of which size.

    Args:
        rng: Chooses.
        room: The scene's side over 320 pixels.
        mix: The shares.

    Returns:
        (N,) float64, pixels, largest first.
    """
    kind = rng.random()
    if kind < mix.empty:
        return np.empty(0)
    if kind < mix.empty + mix.single:
        count, low, high = 1, mix.smallest_single_px, LARGEST_PX * room
    elif kind < 1 - mix.crowds:
        count, low, high = int(rng.integers(2, 7)), SMALLEST_PX, 180.0 * room
    else:
        count, low, high = int(rng.integers(8, int(9 + 22 * room**2))), SMALLEST_PX, 50.0
    return np.sort(np.exp(rng.uniform(np.log(low), np.log(high), count)))[::-1]
