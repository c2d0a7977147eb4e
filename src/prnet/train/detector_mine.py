"""Hard negatives: what the network takes for faces in scenes without any, to be learned from."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.scenes import SceneComposer

HARD_SIDE = 64  # pixels of each
AROUND = 2.0  # side of what is cut out, in sizes of the box
LEAST_SCORE = 0.25
MOST_SCENES_EACH = 6  # looked at for each negative wanted, at most

Look = Callable[[NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.floating]]]


def mine_negatives(
    look: Look, composer: SceneComposer, count: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Collect what is taken for faces.

    Args:
        look: (S, S, 3) uint8 RGB → boxes (K, 5) as in `prnet.geometry.oriented`, and scores.
        composer: Makes scenes without faces.
        count: Wanted.
        rng: Chooses scenes.

    Returns:
        (K, 64, 64, 3) uint8 RGB, K ≤ count: fewer where few are found.
    """
    found: list[NDArray[np.uint8]] = []
    for _ in range(MOST_SCENES_EACH * count):
        if len(found) >= count:
            break
        scene = _as_searched(composer.compose_faceless(rng), rng)
        for box, score in zip(*look(scene), strict=True):
            if score >= LEAST_SCORE:
                found.append(_cut_out(scene, box))
    return np.array(found[:count], np.uint8).reshape(-1, HARD_SIDE, HARD_SIDE, 3)


def _as_searched(scene: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A scene in one of the looks that a search takes: turned by quarters, at full or half size."""
    scene = np.ascontiguousarray(np.rot90(scene, int(rng.integers(4))))
    if rng.random() < 0.5:
        return scene
    side = len(scene) // 2
    half = cv2.resize(scene, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(half, np.uint8)


def _cut_out(scene: NDArray[np.uint8], box: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The square around a box."""
    side = AROUND * float(np.sqrt(box[2] * box[3]))
    step = side / HARD_SIDE
    first = box[:2] - side / 2 + step / 2
    matrix = np.array([[step, 0, first[0]], [0, step, first[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(
            scene, matrix, (HARD_SIDE, HARD_SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT_101
        ),
        np.uint8,
    )
