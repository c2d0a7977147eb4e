"""The larger network: `lite` with a residual encoder, for a few milliseconds more."""

from torch import Tensor, nn
from torch.nn import functional

from prnet.networks.lite import Lite
from prnet.networks.mobilenet import convolution
from prnet.uv.atlas import Atlas

STEM = 48
STAGES = 48, 96, 192, 320  # channels of two residual blocks each, at strides 4, 8, 16, 32
FEATURES = 512  # what the layers after lite's encoder take


class Large(Lite):
    """`Lite` with a ResNet-like encoder: 7 M parameters, 0.3 billion multiplications.

    Args:
        atlas: The UV space.
        input_size: Side of the crop, a multiple of 32.
        latent: Width of the code between encoder and decoder.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", its blocks.
    """

    name = "large"

    def __init__(self, atlas: Atlas, input_size: int = 128, latent: int = 512) -> None:
        super().__init__(atlas, input_size, latent)
        layers: list[nn.Module] = [convolution(3, STEM, 3, stride=2)]
        inputs = STEM
        for outputs in STAGES:
            layers += [_Residual(inputs, outputs, 2), _Residual(outputs, outputs, 1)]
            inputs = outputs
        self.encoder = nn.Sequential(*layers, convolution(inputs, FEATURES, 1))


class _Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.shortcut(x) + self.second(self.first(x)))
