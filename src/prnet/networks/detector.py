"""The detector's network: a picture of any size → score, box and in-plane angle at every cell.

YuNet's layers (Wu et al. 2023), down to a 32nd of the picture and back up to an 8th, deeper where
pictures are small, with a head of its own: so it can start from YuNet's weights, which know upright
faces, and learn the rest.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from prnet.detect.cells import LARGEST_LOG, OUTPUTS, STRIDES, UNIT_STRIDES

STEM_CHANNELS = 16
# Channels of the units of each stage; each begins with halving the picture. YuNet halves it one
# unit later the first two times, and has three units more in the first two stages.
Stages = tuple[tuple[int, ...], ...]
STAGES: Stages = ((16, 32), (64, 64), (64, 64), (64, 64))
# YuNet's units, in the order of its file, that have no counterpart here
LEFT_OUT_UNITS = (1, 3, 5)
# units added to each stage, and to each stride's neck, which change what they are given rather than
# replace it
REFINEMENTS, NECK_REFINEMENTS = (0, 0, 3, 4), (0, 1, 2)
NECK_CHANNELS = 64
# what YuNet's own heads say: class, object, box (x, y, log w, log h), five points (x, y)
YUNET_CHANNELS = 1 + 1 + 4 + 10
HEAD_CHANNELS = 2 * YUNET_CHANNELS  # each with either sign
REFINEMENT_START = 0.01  # spread of a refinement's last weights at the start
# Where the box around the 68 landmarks lies in YuNet's: shift down and size, in its height and
# width; a start for learning.
BOX_DOWN, BOX_SIZE = 0.13, (1.027, 0.765)


class Detector(nn.Module):
    """Pictures → cells, see `forward`."""

    def __init__(self, stages: Stages = STAGES) -> None:
        """Build it with random weights.

        Args:
            stages: Channels of the units of each stage; another number of units is for networks to
                learn from.
        """
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1)
        self.stages = nn.ModuleList()
        channels = STEM_CHANNELS
        for widths, refinements in zip(stages, REFINEMENTS, strict=True):
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
        """Look at pictures.

        Args:
            pictures: (N, 3, H, W) float, RGB from 0 to 255; H and W multiples of 32.

        Returns:
            (N, C, 7) float: the cells of `prnet.detect.cells.cell_centers`, and of each what
            OUTPUTS says there.
        """
        return self._look(self.stem(pictures))

    def finish(self, pictures: Tensor) -> Tensor:
        """Look at pictures as they lie in memory: what the network's file does.

        Args:
            pictures: (N, H, W, 3) uint8 RGB; H and W multiples of 32.

        Returns:
            (N, 7, C) float, see `forward`.
        """
        # a row's pixels, each three numbers, are to a kernel three times as wide what the three
        # colors' pictures are to the stem: so they needn't be taken apart first
        rows = pictures.flatten(2)[:, None].float()
        kernel = self.stem.weight.permute(0, 2, 3, 1).flatten(2)[:, None]
        stem = functional.conv2d(rows, kernel, self.stem.bias, stride=(2, 6), padding=(1, 3))
        return self._look(stem).transpose(1, 2)

    def _look(self, stem: Tensor) -> Tensor:
        """`forward` from what the first convolution gives on."""
        features = functional.relu(stem)
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

    def start_from_yunet(self, weights: list[tuple[Tensor, Tensor]]) -> None:
        """Take over YuNet's layers, and read score, box and angle off what it says.

        Args:
            weights: Weight and bias of each of YuNet's convolutions in the order of its file, batch
                norms folded into them; its input is BGR.

        Raises:
            ValueError: They aren't YuNet's.
        """
        children = [unit for stage in self.stages for unit in stage.children()]
        units = [unit for unit in children if isinstance(unit, Unit)]
        units += [unit for unit in reversed(self.necks) if isinstance(unit, Unit)]
        layers = [self.stem, *(layer for unit in units for layer in (unit.across, unit.within))]
        rest = list(weights)
        for number in reversed(LEFT_OUT_UNITS):
            del rest[1 + 2 * number : 3 + 2 * number]
        body, parts = rest[: len(layers)], rest[len(layers) :]
        levels = len(STRIDES)
        # of each of class, box, object and points the levels' two convolutions
        if len(parts) != 4 * levels * 2:
            layers_wanted = len(layers) + 2 * len(LEFT_OUT_UNITS) + 8 * levels
            raise ValueError(f"YuNet has {layers_wanted} layers, got {len(weights)}")
        with torch.no_grad():
            for layer, (weight, bias) in zip(layers, body, strict=True):
                if layer.weight.shape != weight.shape:
                    raise ValueError(f"not YuNet's: {tuple(weight.shape)}, {layer.weight.shape}")
                _set(layer, weight.flip(1) if layer is self.stem else weight, bias)
            for level, head in enumerate(self.heads):
                unit, mix = head.children()
                assert isinstance(unit, Unit)
                assert isinstance(mix, nn.Conv2d)
                # class, object, box, points
                mine = [parts[2 * levels * kind + 2 * level :][:2] for kind in (0, 2, 1, 3)]
                weight, bias = (torch.cat([each[0][i] for each in mine]) for i in (0, 1))
                _set(unit.across, torch.cat([weight, weight]), torch.cat([bias, bias]))
                weight, bias = (torch.cat([each[1][i] for each in mine]) for i in (0, 1))
                _set(unit.within, torch.cat([weight, -weight]), torch.cat([bias, -bias]))
                _read_yunet(mix)


def _set(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Give a convolution its weights."""
    assert layer.bias is not None
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def _read_yunet(mix: nn.Conv2d) -> None:
    """Weights that make OUTPUTS of what YuNet's heads say."""
    weight = torch.zeros(OUTPUTS, YUNET_CHANNELS)
    bias = torch.zeros(OUTPUTS)
    weight[0, :2] = 0.5  # the geometric mean of two scores, nearly
    weight[1, 2], weight[2, 3], weight[3, 4], weight[4, 5] = 1, 1, 1, 1
    # YuNet's centers are measured from the cell's corner, its sizes are in strides
    bias[1:3] = -0.5
    bias[3] = math.log(BOX_SIZE[0] / UNIT_STRIDES)
    bias[4] = math.log(BOX_SIZE[1] / UNIT_STRIDES)
    # up is where the eyes are, seen from the mouth's corners: points 0 and 1 from 3 and 4
    for point, sign in ((0, 1), (1, 1), (3, -1), (4, -1)):
        weight[6, 6 + 2 * point] = sign / 4
        weight[5, 7 + 2 * point] = -sign / 4
    _set(mix, torch.cat([weight, -weight], 1)[..., None, None], bias)


class Unit(nn.Module):
    """A convolution across the channels, then one within each, then ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(inputs, outputs, 1)
        self.within = nn.Conv2d(outputs, outputs, 3, 1, 1, groups=outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H, W)."""
        return functional.relu(self.before_relu(features))

    def before_relu(self, features: Tensor) -> Tensor:
        """`forward` without its last step."""
        answer: Tensor = self.within(self.across(features))
        return answer


class Refinement(nn.Module):
    """Adds a unit's answer to what it is given; next to nothing before it has learned."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.unit = Unit(channels, channels)
        nn.init.normal_(self.unit.within.weight, std=REFINEMENT_START)
        assert self.unit.within.bias is not None
        nn.init.zeros_(self.unit.within.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        answer: Tensor = features + self.unit(features)
        return answer


def decode(cells: Tensor, centers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cells → logits, boxes, directions.

    Args:
        cells: (N, C, 7), see `Detector.forward`.
        centers: (C, 3) float32, see `prnet.detect.cells.cell_centers`.

    Returns:
        (N, C) scores before the sigmoid; (N, C, 4) center x, y, width, height in pixels, of the box
        that is tight around the landmarks once the face is turned upright; (N, C, 2) cos and sin of
        the angle, not normalized.
    """
    xy, stride = centers[:, :2], centers[:, 2:]
    middle = xy + cells[..., 1:3] * stride
    size = torch.exp(cells[..., 3:5].clamp(-LARGEST_LOG, LARGEST_LOG)) * (UNIT_STRIDES * stride)
    return cells[..., 0], torch.cat([middle, size], -1), cells[..., 5:7]
