"""The detector's network: a picture of any size → score, box and in-plane angle at every cell.

Depthwise separable blocks down to a 32nd of the picture, a pyramid back up to an 8th, and one small
head for each of the three strides. The widths were chosen by time: on one CPU thread in ONNX
Runtime it takes 0.6 of YuNet's, with twice the weights, most of them where the picture is small.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from prnet.detect.cells import LARGEST_LOG, OUTPUTS, STRIDES, UNIT_STRIDES

STEM_CHANNELS = 8
STAGES = ((24, 1), (48, 3), (96, 5), (128, 4))  # channels and blocks; each halves the picture
NECK_CHANNELS = 48
PIXEL_SCALE = 1 / 128  # black stays 0, as the padding is: a photo's black frame is nothing at all
PRIOR = 0.01  # of a cell to show a face, before it has learned anything


class Detector(nn.Module):
    """Pictures → cells, see `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.pixel_scale = PIXEL_SCALE
        self.stem = _conv(3, STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = STEM_CHANNELS
        for width, blocks in STAGES:
            rest = [Residual(width) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(_separable(channels, width, 2), *rest))
            channels = width
        widths = [width for width, _ in STAGES[-len(STRIDES) :]]
        self.laterals = nn.ModuleList(
            nn.Identity()
            if width == NECK_CHANNELS
            else nn.Sequential(*_normed(width, NECK_CHANNELS, 1))
            for width in widths
        )
        self.necks = nn.ModuleList(_separable(NECK_CHANNELS, NECK_CHANNELS) for _ in STRIDES)
        self.heads = nn.ModuleList(
            nn.Sequential(
                _separable(NECK_CHANNELS, NECK_CHANNELS), nn.Conv2d(NECK_CHANNELS, OUTPUTS, 1)
            )
            for _ in STRIDES
        )
        for head in self.heads:
            assert isinstance(head, nn.Sequential)
            last = head[-1]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
            last.bias.data[0] = -math.log(1 / PRIOR - 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Look at pictures.

        Args:
            pictures: (N, 3, H, W) float, RGB from 0 to 255; H and W multiples of 32.

        Returns:
            (N, C, 7) float: the cells of `prnet.detect.cells.cell_centers`, and of each what
            OUTPUTS says there.
        """
        if self.pixel_scale != 1:
            pictures = pictures * self.pixel_scale
        features = self.stem(pictures)
        pyramid = []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        above, cells = None, []
        for level in reversed(range(len(STRIDES))):
            lateral = self.laterals[level](pyramid[level - len(STRIDES)])
            if above is not None:
                lateral = lateral + functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.necks[level](lateral)
            cells.append(self.heads[level](above).permute(0, 2, 3, 1).flatten(1, 2))
        return torch.cat(cells[::-1], 1)

    def fold_pixel_scale(self) -> None:
        """Put the pixels' scale into the first weights: a tenth of the time saved."""
        first = self.stem[0]
        assert isinstance(first, nn.Conv2d)
        first.weight.data *= self.pixel_scale
        self.pixel_scale = 1.0


class Residual(nn.Module):
    """relu(x + block(x)): ONNX Runtime does sum and ReLU within the block's last convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            _conv(channels, channels, 3, groups=channels), *_normed(channels, channels, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        return functional.relu(features + self.block(features))


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


def _normed(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution, batch norm."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    layers = _normed(inputs, outputs, kernel, stride, groups)
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """A convolution of each channel, then one across them."""
    return nn.Sequential(_conv(inputs, inputs, 3, stride, groups=inputs), _conv(inputs, outputs, 1))
