"""Recipe → network, and network → the spec of its model folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from prnet.model.model import ATLAS_FILE, EMBEDDED_FOLDER
from prnet.model.spec import NetworkSpec
from prnet.networks.large import Large
from prnet.networks.lite import Lite
from prnet.networks.resfcn256 import ResFCN256
from prnet.train.config import NetworkConfig
from prnet.uv.atlas import Atlas

TrainableNetwork = Lite | ResFCN256
# a new network is a class as PositionMapNetwork describes it, and a line here
BUILDERS: dict[str, Callable[[Atlas, int], TrainableNetwork]] = {
    Lite.name: Lite,
    Large.name: Large,
    ResFCN256.name: lambda atlas, input_size: ResFCN256(atlas),
}


def load_atlas(config: NetworkConfig) -> Atlas:
    """The atlas a recipe trains for. Raises ModelFileError if its model folder hasn't got one."""
    folder = Path(config.atlas) if config.atlas else EMBEDDED_FOLDER
    return Atlas.load(folder / ATLAS_FILE)


def build_network(config: NetworkConfig, atlas: Atlas) -> TrainableNetwork:
    """Make the network of a recipe, with random weights."""
    return BUILDERS[config.name](atlas, config.input_size)


def average_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The averaged weights in a run's checkpoint, as the network's own state_dict."""
    prefix = "module."
    average = checkpoint["average"].items()
    return {k.removeprefix(prefix): v for k, v in average if k.startswith(prefix)}


def network_spec(
    network: TrainableNetwork,
    atlas: Atlas,
    recipe: str,
    licence: str,
    crop_scale: float | None = None,
) -> NetworkSpec:
    """Describe a network for its model folder.

    Args:
        network: Its sizes and scalings.
        atlas: The one it was built with.
        recipe: What it was trained by, and where.
        licence: What the weights may be used for.
        crop_scale: That of the training's crops; None for the network's usual one.
    """
    return NetworkSpec(
        name=network.name,
        input_size=network.input_size,
        pixel_mean=network.pixel_mean,
        pixel_std=network.pixel_std,
        crop_scale=crop_scale or network.crop_scale,
        position_scale=1.0,
        position_offset=(0.0, 0.0, 0.0),
        atlas_sha256=atlas.sha256,
        recipe=recipe,
        licence=licence,
    )
