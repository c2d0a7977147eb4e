"""Weights of YuNet, or of a detector with more units → what the detector starts from.

Both have more units in the first two stages, and YuNet halves the picture one unit later, twice.
The detector's first two stages learn to say what theirs say all the same; from there on its layers
are theirs, and their weights fit.
"""

import itertools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prnet.data.scenes import SceneComposer
from prnet.errors import ModelFileError
from prnet.networks.detector import STAGES, STEM_CHANNELS, Detector, Stages, Unit

logger = logging.getLogger(__name__)

LEARNING_RATE, WARMUP_STEPS, BATCH_SIZE = 2e-3, 20, 8
LOG_STEPS = 500
LEAK = 0.1  # of the imitated features' ReLU: a channel that says nothing at first still learns
# Channels of YuNet's first units, and before which of them it halves the picture.
YUNET_WIDTHS, YUNET_HALVES = (16, 16, 32, 32, 64, 64, 64), (1, 5)
LEAST_SPREAD = 1e-3  # added to each channel's standard deviation, by which its error counts
# The first two stages as they were up to the tenth leg of training, and which of their units the
# detector's begin as.
DEEPER_STAGES: Stages = ((16, 32, 32), (64, 64, 64), *STAGES[2:])
KEPT_UNITS = ((0, 1), (0, 2))


def read_yunet(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of YuNet's convolutions, in order.

    Raises:
        ModelFileError: The file can't be read, or isn't such a network.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
        arrays = {
            each.name: torch.from_numpy(numpy_helper.to_array(each).copy())
            for each in graph.initializer
        }
        return [
            (arrays[node.input[1]], arrays[node.input[2]])
            for node in graph.node
            if node.op_type == "Conv"
        ]
    except Exception as error:  # protobuf's errors have no base class of their own
        raise ModelFileError(f"{path}: not YuNet ({type(error).__name__}: {error})") from error


def start_from_yunet(
    network: Detector, path: Path, composer: SceneComposer, steps: int, seed: int
) -> None:
    """Give a network YuNet's weights, and train its first two stages to imitate YuNet's.

    Args:
        network: On any device.
        path: `init/yunet.onnx` of the facekit.
        composer: Makes the pictures to learn from.
        steps: Of 8 pictures.
        seed: Of the pictures.

    Raises:
        ModelFileError: The file isn't YuNet.
    """
    weights = read_yunet(path)
    try:
        network.start_from_yunet(weights)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from error
    teacher = YuNetStages(weights).to(next(network.parameters()).device)
    learning = nn.ModuleList([network.stem, *network.stages[:2]])
    _imitate(network, learning, teacher.before_relu, composer, steps, seed)


def is_deeper(weights: Mapping[str, Tensor]) -> bool:
    """Whether a detector's weights are of DEEPER_STAGES."""
    return all(
        f"stages.{stage}.{len(units) - 1}.across.weight" in weights
        for stage, units in enumerate(DEEPER_STAGES[:2])
    )


def start_from_deeper(
    network: Detector, teacher: Detector, composer: SceneComposer, steps: int, seed: int
) -> None:
    """Give a network the weights of one of DEEPER_STAGES, whose first stages it learns to imitate.

    Args:
        network: On any device.
        teacher: The other one; it goes to that device.
        composer: Makes the pictures to learn from.
        steps: Of 8 pictures.
        seed: Of the pictures.
    """
    teacher.requires_grad_(False).to(next(network.parameters()).device)
    # all layers but the first stages' have the same names
    network.load_state_dict(teacher.state_dict(), strict=False)
    for own, theirs, kept in zip(network.stages[:2], teacher.stages[:2], KEPT_UNITS, strict=True):
        for unit, number in zip(own.children(), kept, strict=True):
            unit.load_state_dict(list(theirs.children())[number].state_dict())
    _imitate(
        network,
        network.stages[:2],
        lambda pixels: _features(teacher, pixels),
        composer,
        steps,
        seed,
    )


def _imitate(
    network: Detector,
    learning: nn.Module,
    teacher: Callable[[Tensor], Tensor],
    composer: SceneComposer,
    steps: int,
    seed: int,
) -> None:
    """Train parts of a network's first two stages to say what a teacher says, before its ReLU."""
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(learning.parameters(), LEARNING_RATE, weight_decay=0)
    rng = np.random.default_rng([seed, 11])
    for step in range(steps):
        pictures = np.stack([composer.compose(rng).image for _ in range(BATCH_SIZE)])
        pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()
        wanted = functional.leaky_relu(teacher(pixels), LEAK)
        spread = wanted.std((0, 2, 3), keepdim=True) + LEAST_SPREAD
        found = functional.leaky_relu(_features(network, pixels), LEAK)
        loss = ((found - wanted) / spread).square().mean()
        fade = 0.5 + 0.5 * np.cos(np.pi * step / steps)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, (step + 1) / WARMUP_STEPS) * fade
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learning.parameters(), 5.0)
        optimizer.step()
        if step % LOG_STEPS == LOG_STEPS - 1:
            logger.info("imitating, step %d: normalized error %.3f", step + 1, float(loss.detach()))


def _features(network: Detector, pixels: Tensor) -> Tensor:
    """What the second stage says, before its last ReLU."""
    first, second = network.stages[:2]
    features = first(functional.max_pool2d(functional.relu(network.stem(pixels)), 2))
    *units, last = second.children()
    features = functional.max_pool2d(features, 2)
    for unit in units:
        features = unit(features)
    assert isinstance(last, Unit)
    return last.before_relu(features)


class YuNetStages(nn.Module):
    """YuNet's first two stages as they are."""

    def __init__(self, weights: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1)
        widths = (STEM_CHANNELS, *YUNET_WIDTHS)
        self.units = nn.ModuleList(Unit(*each) for each in itertools.pairwise(widths))
        layers = [each for each in self.modules() if isinstance(each, nn.Conv2d)]
        with torch.no_grad():
            for layer, (weight, bias) in zip(layers, weights, strict=False):
                assert layer.bias is not None
                layer.weight.copy_(weight.flip(1) if layer is self.stem else weight)
                layer.bias.copy_(bias)
        self.requires_grad_(False)

    def before_relu(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) float, RGB from 0 to 255 → (N, 64, H / 8, W / 8), without the last ReLU."""
        features = self.stem(pixels)
        for number, unit in enumerate(self.units):
            assert isinstance(unit, Unit)
            features = functional.relu(features)
            if number in YUNET_HALVES:
                features = functional.max_pool2d(features, 2)
            features = unit.before_relu(features)
        return features
