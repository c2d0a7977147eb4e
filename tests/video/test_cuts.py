import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.video.cuts import CutFinder


def scene(seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).uniform(30, 220, (5, 8, 3)).astype(np.float32)
    wide = cv2.resize(coarse, (320, 180), interpolation=cv2.INTER_CUBIC)
    return np.clip(wide, 0, 255).astype(np.uint8)


def test_another_scene_is_a_cut() -> None:
    finder = CutFinder()
    answers = [finder.is_cut(scene(seed)) for seed in (1, 1, 2, 2, 1)]
    assert answers == [False, False, True, False, True]


@pytest.mark.parametrize("change", ["noise", "flash", "dark", "passer-by", "drift"])
def test_what_is_no_cut(change: str) -> None:
    first = scene(1)
    second = {
        "noise": first + np.random.default_rng(0).normal(0, 15, first.shape),
        "flash": first * 1.4,
        "dark": first * 0.5,
        "passer-by": np.where(np.arange(320)[None, :, None] < 110, 40, first),
        "drift": np.roll(first, 3, axis=1),
    }[change]
    finder = CutFinder()
    finder.is_cut(first)
    assert not finder.is_cut(np.clip(second, 0, 255).astype(np.uint8))


def test_tiny_frames_and_reset() -> None:
    finder = CutFinder()
    assert not finder.is_cut(np.zeros((1, 1, 3), np.uint8))
    assert finder.is_cut(np.full((1, 1, 3), [0, 250, 0], np.uint8))
    finder.reset()
    assert not finder.is_cut(np.zeros((1, 1, 3), np.uint8))
