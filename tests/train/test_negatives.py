import pickle
from pathlib import Path

import numpy as np
import pytest

from prnet.errors import LabelError
from prnet.train.augment import Photo
from prnet.train.config import AugmentConfig
from prnet.train.negatives import (
    MAX_COVER,
    Negatives,
    paint_blotches,
    place_beside,
    shuffle_tiles,
)

SETTINGS = AugmentConfig()


def test_places_lie_beside_the_face() -> None:
    box = np.array([80, 90, 170, 180], np.float32)
    for seed in range(50):
        x, y, side = place_beside(box, (250, 250), np.random.default_rng(seed))
        assert 0 <= x <= 250 and 0 <= y <= 250 and 0.25 * 135 <= side <= 1.2 * 135
        steps = (np.arange(200) + 0.5) / 200 - 0.5
        columns, rows = x + steps * side * 2 / 3, y + steps * side * 2 / 3
        covered = np.mean((columns > 80) & (columns < 170)) * np.mean((rows > 90) & (rows < 180))
        assert covered < MAX_COVER + 0.02


def test_where_the_face_is_all_the_least_covered_place_is_taken() -> None:
    x, y, _ = place_beside(np.array([0, 0, 100, 100.0]), (100, 100), np.random.default_rng(0))
    assert min(x, y, 100 - x, 100 - y) < 20


def test_shuffled_tiles_are_all_there() -> None:
    values = np.arange(5)[:, None] * 40 + np.arange(5) * 7
    crop = np.repeat(np.repeat(values, 10, 0), 10, 1)[..., None].repeat(3, 2).astype(np.uint8)
    shuffled = shuffle_tiles(crop, np.random.default_rng(0))
    assert (shuffled != crop).any()
    np.testing.assert_array_equal(np.sort(shuffled, axis=None), np.sort(crop, axis=None))


def test_blotches_differ_and_are_not_flat() -> None:
    first, second = (paint_blotches(64, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert first.std() > 3 and np.abs(first.astype(int) - second).mean() > 3


def test_crops_come_from_the_kit_and_repeat(tiny_facekit: Path) -> None:
    negatives = pickle.loads(pickle.dumps(Negatives(tiny_facekit, 64)))

    def crop(seed: int) -> Photo:
        return negatives.sample(SETTINGS, np.random.default_rng(seed))

    assert crop(0).shape == (64, 64, 3) and crop(0).dtype == np.uint8
    np.testing.assert_array_equal(crop(3), crop(3))
    assert len({crop(seed).tobytes() for seed in range(20)}) > 15


def test_without_the_kit_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="lfw.tar"):
        Negatives(tmp_path, 64).sample(SETTINGS, np.random.default_rng(0))
