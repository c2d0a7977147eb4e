"""MobileNetV1×0.5, an encoder that computes fast on a CPU, and its warm start."""

from torch import Tensor, nn

# (output channels, stride) of MobileNetV1's 13 blocks at width 0.5, after a first layer of 16
ENCODER_BLOCKS = (
    ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2))
    + 5 * ((256, 1),)
    + ((512, 2), (512, 1))
)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3×3, then 1×1 convolution, each with batch norm and ReLU (MobileNetV1's block)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *convolution(inputs, outputs, 1),
    )


def mobilenet() -> nn.Sequential:
    """MobileNetV1×0.5 (Howard et al. 2017, table 1): (N, 3, S, S) → (N, 512, S/32, S/32)."""
    layers = [convolution(3, 16, 3, stride=2)]
    inputs = 16
    for outputs, stride in ENCODER_BLOCKS:
        layers.append(separable(inputs, outputs, stride))
        inputs = outputs
    return nn.Sequential(*layers)


def warm_start(encoder: nn.Sequential, state: dict[str, Tensor]) -> None:
    """Copy the encoder of 3DDFA_V2's mb05_120x120.pth into another.

    Args:
        encoder: A `mobilenet`, changed in place.
        state: The file's state_dict; its network takes BGR, ours RGB.

    Raises:
        ValueError: The state isn't that network's.
    """
    source = {k: v for k, v in state.items() if ".fc" not in k}
    target = encoder.state_dict()
    if [v.shape for v in source.values()] != [v.shape for v in target.values()]:
        raise ValueError("the warm start must be a MobileNetV1×0.5 with the layers of mb05_120x120")
    renamed = dict(zip(target, source.values(), strict=True))
    first = next(iter(renamed))
    renamed[first] = renamed[first].flip(1)
    encoder.load_state_dict(renamed)
