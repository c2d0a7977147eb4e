"""The network that the detector learns from: slower, and better at small faces.

YuNet's layers (Wu et al. 2023), from whose weights it began, with a unit fewer, halving the picture
one unit earlier twice, and deeper where pictures are small.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from prnet.detect.cells import OUTPUTS, STRIDES

STEM_CHANNELS = 16
# channels of the units of each stage; each begins with halving the picture
STAGES = ((16, 32, 32), (64, 64, 64), (64, 64), (64, 64))
# units added to each stage, and to each stride's neck
REFINEMENTS, NECK_REFINEMENTS = (0, 0, 3, 4), (0, 1, 2)
NECK_CHANNELS, HEAD_CHANNELS = 64, 32


class DetectorTeacher(nn.Module):
    """Pictures → cells, see `prnet.networks.detector.Detector.forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1)
        self.stages = nn.ModuleList()
        channels = STEM_CHANNELS
        for widths, refinements in zip(STAGES, REFINEMENTS, strict=True):
            units: list[nn.Module] = []
            for width in widths:
                units.append(Unit(channels, width))
                channels = width
            units += (Refinement(channels) for _ in range(refinements))
            self.stages.append(nn.Sequential(*units))
        self.necks = nn.ModuleList(Unit(NECK_CHANNELS, NECK_CHANNELS) for _ in STRIDES)
        self.neck_refinements = nn.ModuleList(
            nn.Sequential(*(Refinement(NECK_CHANNELS) for _ in range(count)))
            for count in NECK_REFINEMENTS
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                Unit(NECK_CHANNELS, HEAD_CHANNELS),
                nn.Conv2d(HEAD_CHANNELS, OUTPUTS, 1),
            )
            for _ in STRIDES
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) float, RGB from 0 to 255 → (N, C, 7) float."""
        features = functional.relu(self.stem(pictures))
        pyramid = []
        for stage in self.stages:
            features = stage(functional.max_pool2d(features, 2))
            pyramid.append(features)
        above, cells = None, []
        for level in reversed(range(len(STRIDES))):
            lateral = pyramid[level - len(STRIDES)]
            if above is not None:
                lateral = lateral + functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.neck_refinements[level](self.necks[level](lateral))
            cells.append(self.heads[level](above).flatten(2))
        return torch.cat(cells[::-1], 2).transpose(1, 2)


class Unit(nn.Module):
    """A convolution across the channels, then one within each, then ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(inputs, outputs, 1)
        self.within = nn.Conv2d(outputs, outputs, 3, 1, 1, groups=outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H, W)."""
        return functional.relu(self.within(self.across(features)))


class Refinement(nn.Module):
    """Adds a unit's answer to what it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unit = Unit(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        answer: Tensor = features + self.unit(features)
        return answer
