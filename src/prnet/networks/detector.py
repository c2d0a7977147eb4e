"""The detector's network: a picture of any size → score, box and in-plane angle at every cell.

Shallow where pictures are large, and deep where they are small: two convolutions over all channels
go down to an 8th of the picture, units of YuNet's kind (Wu et al. 2023) from there to a 32nd, and
back up.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from prnet.detect.cells import LARGEST_LOG, OUTPUTS, STRIDES, UNIT_STRIDES

# channels at a fourth of the picture, at strides 8, 16 and 32, and of each stride's head
STEM_CHANNELS, CHANNELS, HEAD_CHANNELS = 16, (32, 64, 96), 32
# of each stride, on the way down and back up: units that change what they are given rather than
# replace it
REFINEMENTS, NECK_REFINEMENTS = (1, 4, 5), (0, 1, 2)
STEM_SIDE, STEM_STRIDE, STEM_PADDING = 5, 4, 1
# what the picture's 0 to 255 are to the first convolution before it has learned
USUAL_PIXEL, PIXEL_SPREAD = 127.0, 64.0
SELDOM = -4.0  # of a score before the sigmoid, before anything is learned: faces are rare


class Detector(nn.Module):
    """Pictures → cells, see `forward`."""

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        fine, middle, coarse = CHANNELS
        self.stem = nn.Conv2d(3, STEM_CHANNELS, STEM_SIDE, STEM_STRIDE, STEM_PADDING)
        self.stem_norm = nn.BatchNorm2d(STEM_CHANNELS)
        self.halve = nn.Conv2d(STEM_CHANNELS, fine, 3, 2, 1, bias=False)
        self.halve_norm = nn.BatchNorm2d(fine)
        self.stages = nn.ModuleList(
            (
                nn.Sequential(*_refinements(fine, REFINEMENTS[0])),
                _stage(fine, middle, REFINEMENTS[1]),
                _stage(middle, coarse, REFINEMENTS[2]),
            )
        )
        self.joints = nn.ModuleList((Joint(fine, middle), Joint(middle, coarse)))
        self.neck_refinements = nn.ModuleList(
            nn.Sequential(*_refinements(width, count))
            for width, count in zip(CHANNELS, NECK_REFINEMENTS, strict=True)
        )
        self.heads = nn.ModuleList(_head(width) for width in CHANNELS)
        with torch.no_grad():
            self.stem.weight /= PIXEL_SPREAD
            assert self.stem.bias is not None
            self.stem.bias.copy_(-USUAL_PIXEL * self.stem.weight.sum((1, 2, 3)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Look at pictures.

        Args:
            pictures: (N, 3, H, W) float, RGB from 0 to 255; H and W multiples of 32.

        Returns:
            (N, C, 7) float: the cells of `prnet.detect.cells.cell_centers`, and of each what
            OUTPUTS says there.
        """
        return self._look(self.stem_norm(self.stem(pictures)))

    def finish(self, pictures: Tensor) -> Tensor:
        """Look at pictures as they lie in memory: what the network's file does.

        Args:
            pictures: (N, H, W, 3) uint8 RGB; H and W multiples of 32.

        Returns:
            (N, 7, C) float, see `forward`.
        """
        norm = self.stem_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            self.stem.weight,
            self.stem.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        # a row's pixels, each three numbers, are to a kernel three times as wide what the three
        # colors' pictures are to the stem: so they needn't be taken apart first
        rows = pictures.flatten(2)[:, None].float()
        kernel = weight.permute(0, 2, 3, 1).flatten(2)[:, None]
        steps = (STEM_STRIDE, 3 * STEM_STRIDE), (STEM_PADDING, 3 * STEM_PADDING)
        stem = functional.conv2d(rows, kernel, bias, *steps)
        return self._look(stem).transpose(1, 2)

    def _look(self, stem: Tensor) -> Tensor:
        """`forward` from what the first convolution gives on."""
        features = functional.relu(stem)
        features = functional.relu(self.halve_norm(self.halve(features)))
        pyramid = []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        cells: list[Tensor] = []
        for level in reversed(range(len(STRIDES))):
            if level < len(self.joints):
                features = self.joints[level](pyramid[level], features)
            features = self.neck_refinements[level](features)
            cells.insert(0, self.heads[level](features).flatten(2))
        return torch.cat(cells, 2).transpose(1, 2)


def _stage(inputs: int, outputs: int, refinements: int) -> nn.Sequential:
    """Half the picture, deeper."""
    return nn.Sequential(
        nn.MaxPool2d(2), Unit(inputs, outputs), *_refinements(outputs, refinements)
    )


def _refinements(channels: int, count: int) -> list[nn.Module]:
    return [Refinement(channels) for _ in range(count)]


def _head(inputs: int) -> nn.Sequential:
    """What a stride's cells say."""
    answer = nn.Conv2d(HEAD_CHANNELS, OUTPUTS, 1)
    assert answer.bias is not None
    with torch.no_grad():
        answer.bias.zero_()
        answer.bias[0] = SELDOM
    return nn.Sequential(Unit(inputs, HEAD_CHANNELS), answer)


class Unit(nn.Module):
    """A convolution across the channels, then one within each, then ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.within = _within(outputs)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H, W)."""
        return functional.relu(self.norm(self.within(self.across(features))))


class Refinement(nn.Module):
    """A unit that adds to what it is given; nothing before it has learned."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(channels, channels, 1, bias=False)
        self.within = _within(channels)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        return functional.relu(features + self.norm(self.within(self.across(features))))


class Joint(nn.Module):
    """What a stride sees, and what the next larger one has made of it."""

    def __init__(self, channels: int, above: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(channels, channels, 1, bias=False)
        # before it is doubled, which is a quarter of the work
        self.above = nn.Conv2d(above, channels, 1, bias=False)
        self.within = _within(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor, above: Tensor) -> Tensor:
        """(N, channels, H, W), (N, above, H / 2, W / 2) → (N, channels, H, W)."""
        doubled = functional.interpolate(self.above(above), scale_factor=2.0, mode="nearest")
        return functional.relu(self.norm(self.within(self.across(features) + doubled)))


def _within(channels: int) -> nn.Conv2d:
    """A convolution within each channel."""
    return nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)


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
