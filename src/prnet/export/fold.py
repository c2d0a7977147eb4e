"""Layers of a trained network → fewer that compute the same in less time, for its file."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

# Weights of a folded doubling at most: it has 16/9 as many as before, which is worth it where a
# map is large and has few channels.
MOST_WEIGHTS = 40_000


def fold_batch_norms(network: nn.Module) -> None:
    """Make each batch norm part of the convolution or linear layer before it, in place.

    Args:
        network: In evaluation mode; layers that follow each other in an `nn.Sequential` are folded.
    """
    for child in network.children():
        fold_batch_norms(child)
    if not isinstance(network, nn.Sequential):
        return
    for k, (layer, norm) in enumerate(pairwise(network)):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            network[k], network[k + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
        elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
            network[k], network[k + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()


def fold_enlargements(network: nn.Module) -> None:
    """Make each doubling by repetition part of the 3×3 convolution after it, in place.

    Both together are a transposed convolution of 4×4, with 4 products for each number of the larger
    map in place of 9.

    Args:
        network: Doublings that are followed in an `nn.Sequential` by a convolution of few channels,
            or by another `nn.Sequential` that begins with it, are folded.
    """
    for child in network.children():
        fold_enlargements(child)
    if not isinstance(network, nn.Sequential):
        return
    for k, (enlargement, following) in enumerate(pairwise(network)):
        if not isinstance(enlargement, nn.Upsample) or not _doubles(enlargement):
            continue
        place, where = (following, 0) if isinstance(following, nn.Sequential) else (network, k + 1)
        layer = place[where]
        if isinstance(layer, nn.Conv2d) and _keeps_size(layer) and _is_small(layer):
            network[k], place[where] = nn.Identity(), _doubling(layer)


def _doubles(enlargement: nn.Upsample) -> bool:
    """Whether it doubles by repetition."""
    return enlargement.scale_factor == 2 and enlargement.mode == "nearest"


def _keeps_size(layer: nn.Conv2d) -> bool:
    """Whether it is the plain 3×3 convolution."""
    plain = layer.kernel_size == (3, 3) and layer.stride == (1, 1) and layer.padding == (1, 1)
    return plain and layer.dilation == (1, 1) and layer.groups == 1


def _is_small(layer: nn.Conv2d) -> bool:
    """Whether it has few weights."""
    return layer.in_channels * layer.out_channels * 16 <= MOST_WEIGHTS


@torch.no_grad()
def _doubling(layer: nn.Conv2d) -> nn.ConvTranspose2d:
    """What a 3×3 convolution is to a map that wasn't doubled before it."""
    has_bias = layer.bias is not None
    folded = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, 2, 1, bias=has_bias)
    folded.weight.copy_(_spread(_spread(layer.weight, 2), 3).transpose(0, 1))
    if layer.bias is not None and folded.bias is not None:
        folded.bias.copy_(layer.bias)
    return folded


def _spread(kernel: Tensor, axis: int) -> Tensor:
    """A kernel's three weights along an axis → four: of each place's two, those of its copies."""
    before, middle, after = kernel.unbind(axis)
    return torch.stack([after, middle + after, before + middle, before], axis)
