"""Batched pictures: filling holes, reading at places, blurring; the tools of this room."""

import torch
from torch import Tensor
from torch.nn import functional


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Continue pictures smoothly into their unknown pixels.

    Args:
        values: (N, C, H, W) float; what stands at unknown pixels doesn't matter, if it is finite.
        known: (N, 1, H, W) float, 1 where known, else 0.

    Returns:
        (N, C, H, W) float: known pixels as they are, unknown ones from ever coarser averages of
        known ones, or 0 where nothing is known at all.

    Source: Gortler et al. 1996, "The Lumigraph", section 3.4.
    """
    height, width = values.shape[2:]
    if height == 1 and width == 1:
        return values * known
    pad = (0, width % 2, 0, height % 2)
    weight = functional.avg_pool2d(functional.pad(known, pad), 2)
    means = functional.avg_pool2d(functional.pad(values * known, pad), 2) / weight.clamp_min(1e-6)
    coarse = push_pull(means, (weight > 0).to(values.dtype))
    coarse = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear")
    return torch.where(known > 0, values, coarse[..., :height, :width])


def read_at(pictures: Tensor, places: Tensor, border: str = "border") -> Tensor:
    """Read pictures between their pixels.

    Args:
        pictures: (N, C, H, W) float.
        places: (N, h, w, 2) float, x and y in pixels, pixel centres at integers.
        border: `border` repeats the outermost pixels, `zeros` gives 0 outside.

    Returns:
        (N, C, h, w) float, bilinear.
    """
    height, width = pictures.shape[2:]
    size = places.new_tensor([width, height])
    grid = ((2 * places + 1) / size - 1).to(pictures.dtype)
    return functional.grid_sample(
        pictures, grid, mode="bilinear", padding_mode=border, align_corners=False
    )


def pixel_grid(size: int, device: torch.device | str) -> Tensor:
    """The pixels' own places, (size, size, 2) float32: x and y."""
    axis = torch.arange(size, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1)


def blur(pictures: Tensor, sigma_x: Tensor, sigma_y: Tensor, reach: int) -> Tensor:
    """Blur each picture with a Gaussian of its own.

    Args:
        pictures: (N, C, H, W) float.
        sigma_x: (N,) float, standard deviation along rows in pixels; 0 leaves them as they are.
        sigma_y: (N,) float, along columns.
        reach: Pixels on each side that count, about 2.5 times the largest deviation.

    Returns:
        (N, C, H, W) float; the border's pixels repeat outwards.
    """
    return _blur_rows(_blur_rows(pictures, sigma_x, reach).mT, sigma_y, reach).mT


def _blur_rows(pictures: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """`blur` along the last axis."""
    distance = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (distance / sigma.clamp_min(0.05)[:, None]).square())
    weights = (weights / weights.sum(1, keepdim=True)).to(pictures.dtype)
    count, channels, height, width = pictures.shape
    padded = functional.pad(pictures, (reach, reach, 0, 0), mode="replicate")
    # every channel of every picture is a group with a kernel of its own
    kernels = weights[:, None, None, None].expand(-1, channels, 1, 1, -1)
    rows = padded.reshape(1, count * channels, height, width + 2 * reach)
    kernels = kernels.reshape(count * channels, 1, 1, 2 * reach + 1)
    return functional.conv2d(rows, kernels, groups=count * channels).view(pictures.shape)
