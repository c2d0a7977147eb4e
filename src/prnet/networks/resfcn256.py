"""The paper's network: crop → position map, an encoder and a decoder of convolutions.

Feng et al. 2018, "Joint 3D Face Reconstruction and Dense Alignment with Position Map Regression
Network", section 3.2. Its authors published TensorFlow weights. Modules are named as in their
checkpoint and padded as by TensorFlow's SAME, so that those weights give the same maps here.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prnet.networks.prediction import Finished, Prediction
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.spline import pixel_centres

KERNEL = 4
FIRST_CHANNELS = 16
LAST_LAYERS = 3  # have x, y and z for channels
# (output channels, stride) of the ten residual blocks and of the 17 transposed convolutions
ENCODER_BLOCKS = tuple((channels, s) for channels in (32, 64, 128, 256, 512) for s in (2, 1))
DECODER_LAYERS = (
    ((512, 1),)
    + tuple((channels, s) for channels in (256, 128, 64) for s in (2, 1, 1))
    + tuple((channels, s) for channels in (32, 16) for s in (2, 1))
    + LAST_LAYERS * ((3, 1),)
)
POSITION_RANGE_PX = 1.1 * MAP_SIZE  # crop pixels between the sigmoid's 0 and 1
NORM_EPSILON = 1e-3
# TensorFlow's running statistics move by 0.001 a step, too slow for short runs. What is learned is
# the same.
NORM_MOMENTUM = 0.01


class ResFCN256(nn.Module):
    """The network of the paper, with 13.35 M trainable parameters.

    Every coordinate of its maps lies between 0 and 281.6 crop pixels; z of the authors' weights
    counts from the face's backmost point.

    Args:
        atlas: The UV space; only the places of its landmarks become part of the network.

    See `prnet.networks.prediction.PositionMapNetwork` for its attributes.
    """

    name = "resfcn256"
    input_size = MAP_SIZE
    pixel_mean, pixel_std = 0.0, 255.0
    crop_scale = 1.6
    depth_of_back = -(MAP_SIZE - 1) / MAP_SIZE  # 0 crop pixels
    landmarks_grid: Tensor

    def __init__(self, atlas: Atlas) -> None:
        super().__init__()
        centres = pixel_centres(MAP_SIZE)
        self.train_uv = np.stack(np.meshgrid(centres, centres), -1).astype(np.float32)
        self.layers = nn.Sequential()
        self.layers.add_module("Conv", _Convolution(3, FIRST_CHANNELS, KERNEL))
        inputs = FIRST_CHANNELS
        for index, (outputs, stride) in enumerate(ENCODER_BLOCKS):
            block = _ResidualBlock(inputs, outputs, stride)
            self.layers.add_module(_numbered("resBlock", index), block)
            inputs = outputs
        for index, (outputs, stride) in enumerate(DECODER_LAYERS):
            activation = nn.Sigmoid() if index == len(DECODER_LAYERS) - 1 else nn.ReLU()
            layer = _TransposedConvolution(inputs, outputs, stride, activation)
            if inputs == outputs == 3:
                layer.start_as_identity()
            if outputs == 3 and index < len(DECODER_LAYERS) - 1:
                nn.init.constant_(layer.BatchNorm.bias, 2.0)  # ReLU cuts little off
            self.layers.add_module(_numbered("Conv2d_transpose", index), layer)
            inputs = outputs
        # grid_sample counts from -1 to 1 over the outer edges of the border's pixels
        grid = torch.from_numpy(2 * atlas.landmarks68_uv - 1)
        self.register_buffer("landmarks_grid", grid, persistent=False)

    def forward(self, crops: Tensor) -> Prediction:
        """Regress what the loss compares.

        Args:
            crops: (N, 3, 256, 256) float RGB, pixels / 255.

        Returns:
            Prediction with M = 256, no shape and no confidence.
        """
        maps = (self._regress(crops) - (MAP_SIZE - 1) / 2) / (MAP_SIZE / 2)
        grid = self.landmarks_grid.expand(len(maps), 1, -1, -1)
        landmarks = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        return Prediction(maps.permute(0, 2, 3, 1), landmarks[:, :, 0].mT, None, None)

    def finish(self, crops: Tensor) -> Finished:
        """Regress finished maps: (N, 3, 256, 256) → (N, 256, 256, 3), crop frame."""
        return Finished(self._regress(crops).permute(0, 2, 3, 1))

    def _regress(self, crops: Tensor) -> Tensor:
        """Crops → maps (N, 3, 256, 256), pixels of the crop."""
        features = self.layers[:-LAST_LAYERS](crops)
        with torch.autocast(crops.device.type, enabled=False):  # 16 bits can't hold a coordinate
            position: Tensor = self.layers[-LAST_LAYERS:](features.float())
        return POSITION_RANGE_PX * position


def _numbered(name: str, index: int) -> str:
    """TensorFlow's name of the index-th layer of a kind."""
    return f"{name}_{index}" if index else name


class _Convolution(nn.Conv2d):
    """Convolution with SAME padding, then batch norm and ReLU unless it is bare."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, is_bare: bool = False
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=False)
        nn.init.xavier_uniform_(self.weight)
        total = max(kernel - stride, 0)
        before, after = total // 2, total - total // 2  # the odd one goes to the right and bottom
        self.margins = [before, after, before, after] if total else []
        self.BatchNorm = None if is_bare else _batch_norm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        if self.margins:
            features = functional.pad(features, self.margins)
        features = super().forward(features)
        return features if self.BatchNorm is None else self.BatchNorm(features).relu()


class _ResidualBlock(nn.Module):
    """1×1, 4×4 and 1×1 convolution beside a shortcut; batch norm and ReLU come after their sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = _Convolution(inputs, outputs, 1, stride, is_bare=True)
        self.Conv = _Convolution(inputs, outputs // 2, 1)
        self.Conv_1 = _Convolution(outputs // 2, outputs // 2, KERNEL, stride)
        self.Conv_2 = _Convolution(outputs // 2, outputs, 1, is_bare=True)
        self.BatchNorm = _batch_norm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        residual = self.Conv_2(self.Conv_1(self.Conv(features)))
        return functional.relu(self.BatchNorm(residual + self.shortcut(features)))


class _TransposedConvolution(nn.ConvTranspose2d):
    """The transpose of a 4×4 convolution with SAME padding, then batch norm and activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: nn.Module) -> None:
        super().__init__(inputs, outputs, KERNEL, stride, padding=1, bias=False)
        nn.init.xavier_uniform_(self.weight)
        self.BatchNorm = _batch_norm(outputs)
        self.activation = activation

    def start_as_identity(self) -> None:
        """Pass each channel on, with a little of everything around.

        Three channels at random lose a coordinate more often than not, and training takes hundreds
        of steps to find it again.
        """
        with torch.no_grad():
            self.weight.mul_(0.1)
            self.weight[:, :, 1, 1] += torch.eye(len(self.weight))  # [1, 1] moves nothing

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        if self.stride == (2, 2):
            features = super().forward(features, output_size)
        else:
            # SAME pads 1 before and 2 after, so its transpose is a convolution with the turned
            # kernel and 2 before, 1 after; nn.ConvTranspose2d itself only crops evenly
            kernel = self.weight.transpose(0, 1).flip(2, 3)
            features = functional.conv2d(functional.pad(features, (2, 1, 2, 1)), kernel)
        normed: Tensor = self.activation(self.BatchNorm(features))
        return normed


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, NORM_EPSILON, NORM_MOMENTUM)
