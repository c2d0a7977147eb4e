"""YuNet's weights → what the detector starts from.

The detector halves the picture one unit earlier than YuNet, twice, and does without one of its
units. Its first two stages learn to say what YuNet's say all the same; from there on its layers are
YuNet's, and their weights fit.
"""

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prnet.data.scenes import SceneComposer
from prnet.errors import ModelFileError
from prnet.networks.detector import STEM_CHANNELS, Detector, Unit

LEARNING_RATE, WARMUP_STEPS, BATCH_SIZE = 2e-3, 20, 8
# Channels of YuNet's first units, and before which of them it halves the picture.
YUNET_WIDTHS, YUNET_HALVES = (16, 16, 32, 32, 64, 64, 64), (1, 5)
LEAST_SPREAD = 1e-3  # added to each channel's standard deviation, by which its error counts


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
    device = next(network.parameters()).device
    teacher = YuNetStages(weights).to(device)
    parts = nn.ModuleList([network.stem, network.stages[0], network.stages[1]])
    optimizer = torch.optim.AdamW(parts.parameters(), LEARNING_RATE, weight_decay=0)
    rng = np.random.default_rng([seed, 11])
    for step in range(steps):
        pictures = np.stack([composer.compose(rng).image for _ in range(BATCH_SIZE)])
        pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()
        wanted = teacher(pixels)
        spread = wanted.std((0, 2, 3), keepdim=True) + LEAST_SPREAD
        loss = ((_features(network, pixels) - wanted) / spread).square().mean()
        fade = 0.5 + 0.5 * np.cos(np.pi * step / steps)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, (step + 1) / WARMUP_STEPS) * fade
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 5.0)
        optimizer.step()


def _features(network: Detector, pixels: Tensor) -> Tensor:
    """What the second stage says."""
    features = functional.relu(network.stem(pixels))
    for stage in network.stages[:2]:
        features = stage(functional.max_pool2d(features, 2))
    return features


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

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) float, RGB from 0 to 255 → (N, 64, H / 8, W / 8)."""
        features = functional.relu(self.stem(pixels))
        for number, unit in enumerate(self.units):
            features = unit(
                functional.max_pool2d(features, 2) if number in YUNET_HALVES else features
            )
        return features
