"""For test_train_detector.py, whose processes import it: scenes over a few drawings."""

from typing import Any

from prnet.data import scenes
from prnet.train import scene_feed

FEW = 24
SLOTS = 1
_compose_forever = scene_feed._compose_forever


def compose_forever(*arguments: Any) -> None:
    """As scene_feed's; drawing all textures, and scenes that nobody needs, would take long."""
    scenes.TEXTURES = FEW
    scene_feed.SLOTS = SLOTS
    _compose_forever(*arguments)
