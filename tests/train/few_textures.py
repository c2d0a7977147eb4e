"""For test_train_detector.py, whose processes import it: scenes over a few drawings."""

from typing import Any

from prnet.data import scenes
from prnet.train import scene_feed

FEW = 24
_compose_forever = scene_feed._compose_forever


def compose_forever(*arguments: Any) -> None:
    """As scene_feed's; drawing all textures would take most of the test's time."""
    scenes.TEXTURES = FEW
    _compose_forever(*arguments)
