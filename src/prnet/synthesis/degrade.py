"""Clean crops → crops as cameras, files and passers-by leave them; batched.

`draw_damage` throws the dice, `degrade` does the damage: the same dice twice, on two crops of one
face, give a pair that differs by its crop alone.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from prnet.synthesis.grids import blur, pixel_grid, read_at
from prnet.train.config import AugmentConfig

OCCLUDERS = 3  # at most, on one crop
BLUR_REACH = 8  # pixels at 128
# where faces wear things, as iBUG points: what a mask reaches over and between; the eyes
MASK_WIDTH, MASK_HEIGHT = (2, 14), (29, 8)
EYES = ((36, 39), (42, 45))
# JPEG's tables for brightness and colour (ITU T.81, annex K)
QUANTIZATION = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55]
        + [14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62]
        + [18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92]
        + [49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99],
        [17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99]
        + [24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99]
        + 32 * [99],
    ],
    dtype=torch.float32,
).view(2, 8, 8)


class Damage(NamedTuple):
    """What happens to each of N crops; K occluders, positions in units of half the crop's side.

    Attributes:
        place: (N, K, 2) float, the occluders' centres.
        reach: (N, K, 2) float, half their length and width.
        angle: (N, K) float, radians.
        power: (N, K) float, 2 for ellipses, 8 for bars.
        opacity: (N, K) float, 0 where there is none.
        is_half: (N, K) bool, covers all on one side of its place.
        color: (N, K, 3) float.
        texture: (N, K) int64: 0 another photo, 1 one color, 2 noise.
        patch: (N, 4) float: zoom, x, y of the part of another photo, and grain of the noise.
        coarse: (N, 3, 6, 6) float, noise in large grains.
        fine: (N, 3, 24, 24) float, in small ones.
        gamma: (N,) float.
        ramp: (N, 2) float, change of brightness to the right and down.
        tint: (N, 3) float, factor of each channel.
        is_gray: (N,) bool.
        sigma: (N, 2) float, pixels at 128, blur along x and y.
        block: (N,) float, side of the pixels of a coarse picture in pixels; 1 for none.
        noise: (N,) float, standard deviation.
        quality: (N,) float, JPEG's; 0 for none.
    """

    place: Tensor
    reach: Tensor
    angle: Tensor
    power: Tensor
    opacity: Tensor
    is_half: Tensor
    color: Tensor
    texture: Tensor
    patch: Tensor
    coarse: Tensor
    fine: Tensor
    gamma: Tensor
    ramp: Tensor
    tint: Tensor
    is_gray: Tensor
    sigma: Tensor
    block: Tensor
    noise: Tensor
    quality: Tensor

    def take(self, index: Tensor) -> "Damage":
        """That of some of the crops, (P,) int64."""
        return Damage(*(part[index] for part in self))


def draw_damage(landmarks: Tensor, settings: AugmentConfig, dice: torch.Generator) -> Damage:
    """Choose what happens to N crops.

    Args:
        landmarks: (N, 68, 2) float, x and y, in units of half the crop's side, y down.
        settings: Probabilities and ranges.
        dice: On the landmarks' device.
    """
    n, device = len(landmarks), landmarks.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, device=device, generator=dice)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, device=device, generator=dice)

    def happens(probability: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, device=device, generator=dice) < probability

    k = OCCLUDERS
    is_bar, is_half = happens(0.45, k), happens(0.2, k)
    reach = torch.where(
        is_bar[..., None],
        torch.stack([uniform(0.4, 1.6, k) / 2, uniform(0.16, 0.6, k) / 2], -1),
        uniform(0.12, 0.56, k, 2),
    )
    place = uniform(-0.8, 0.8, k, 2)
    # a line that leaves the middle on one side
    angle = uniform(0, 2 * math.pi, k)
    outward = torch.stack([angle.cos(), angle.sin()], -1) * uniform(0.2, 0.8, k)[..., None]
    place = torch.where(is_half[..., None], outward, place)
    any_occluder = happens(settings.p_occluder, 1)
    amount = torch.arange(k, device=device) <= uniform(0, k, 1).floor()
    opacity = (any_occluder & amount).float()
    color, texture = uniform(0, 255, k, 3), uniform(0, 4, k).floor().long()
    texture = (texture - 1).clamp_min(0)  # photos half of the time
    power = torch.where(is_bar, 8.0, 2.0)
    place, reach, angle, power, opacity, is_half, texture = _wear(
        landmarks,
        (place, reach, angle, power, opacity, is_half, texture),
        happens(0.08 * settings.p_occluder / 0.35),
        happens(0.10 * settings.p_occluder / 0.35),
        uniform(0.45, 1.3),
    )
    low, high = settings.color
    is_lit = happens(settings.p_light)
    ramp = uniform(-0.5, 0.5, 1) * functional.one_hot((uniform(0, 1) < 0.3).long(), 2)
    is_soft, is_coarse = happens(settings.p_blur), happens(settings.p_low_resolution)
    shrink = torch.exp(uniform(math.log(0.16), math.log(0.7)))
    coarse_sigma = torch.where(is_coarse, 0.45 / shrink, 0.0)
    sigma = uniform(0.5, 2.5, 1) * torch.where(happens(0.5, 1), 1.0, uniform(0.0, 1.0, 2))
    sigma = torch.where(is_soft[:, None], sigma, 0.0)
    sigma = (sigma.square() + coarse_sigma.square()[:, None]).sqrt().clamp_max(3.2)
    return Damage(
        place=place,
        reach=reach,
        angle=angle,
        power=power,
        opacity=opacity,
        is_half=is_half,
        color=color,
        texture=texture,
        patch=torch.cat([uniform(0.4, 1.0, 1), uniform(-0.5, 0.5, 2), uniform(0, 1, 1)], 1),
        coarse=uniform(0, 255, 3, 6, 6),
        fine=uniform(0, 255, 3, 24, 24),
        gamma=torch.where(is_lit, torch.exp(0.35 * normal()), 1.0),
        ramp=torch.where(is_lit[:, None], ramp, 0.0),
        tint=uniform(low, high, 1) ** 0.7 * uniform(low, high, 3) ** 0.5,
        is_gray=happens(settings.p_gray),
        sigma=sigma,
        block=torch.where(is_coarse & happens(0.1), 1 / shrink, 1.0),
        noise=torch.where(happens(settings.p_noise), uniform(2, 18), 0.0),
        quality=torch.where(happens(settings.p_jpeg), uniform(12, 80), 0.0),
    )


def _wear(
    landmarks: Tensor,
    occluders: tuple[Tensor, ...],
    has_mask: Tensor,
    has_glasses: Tensor,
    lens: Tensor,
) -> tuple[Tensor, ...]:
    """Turn some of the occluders into masks over mouth and nose, and into dark glasses."""
    place, reach, angle, power, opacity, is_half, texture = (part.clone() for part in occluders)
    left, right = (landmarks[:, k] for k in MASK_WIDTH)
    top, bottom = (landmarks[:, k] for k in MASK_HEIGHT)
    across, along = right - left, bottom - top
    worn = {0: (has_mask, (top + bottom) / 2, 0.55 * torch.stack([across, along], 1).norm(dim=2))}
    for slot, (outer, inner) in enumerate(EYES, start=1):
        a, b = landmarks[:, outer], landmarks[:, inner]
        width = (b - a).norm(dim=1)
        worn[slot] = (has_glasses, (a + b) / 2, torch.stack([width * 0.9, width * lens], 1))
    tilt = torch.atan2(across[:, 1], across[:, 0])
    for slot, (has, middle, size) in worn.items():
        place[:, slot] = torch.where(has[:, None], middle, place[:, slot])
        reach[:, slot] = torch.where(has[:, None], size.clamp_min(0.03), reach[:, slot])
        angle[:, slot] = torch.where(has, tilt, angle[:, slot])
        power[:, slot] = torch.where(has, 3.5, power[:, slot])
        shade = 1.0 if slot == 0 else 0.85
        opacity[:, slot] = torch.where(has, shade, opacity[:, slot])
        is_half[:, slot] = is_half[:, slot] & ~has
        texture[:, slot] = torch.where(has, 1, texture[:, slot])
    return place, reach, angle, power, opacity, is_half, texture


def degrade(crops: Tensor, damage: Damage, dice: torch.Generator) -> Tensor:
    """Damage crops.

    Args:
        crops: (N, 3, S, S) float RGB in [0, 255], S a multiple of 16; a new tensor is returned.
        damage: What happens to each.
        dice: For the noise, on the crops' device.

    Returns:
        (N, 3, S, S) float32, whole numbers in [0, 255].
    """
    noise = torch.randn(crops.shape, device=crops.device, generator=dice)
    return damaged(crops, damage, noise)


def damaged(crops: Tensor, damage: Damage, noise: Tensor) -> Tensor:
    """`degrade` without chance: the noise is given, (N, 3, S, S) of standard deviation 1."""
    size = crops.shape[2]
    light = _occlude(crops, damage)
    place = pixel_grid(size, crops.device) * (2 / (size - 1)) - 1
    slope = torch.einsum("hwc,nc->nhw", place, damage.ramp)[:, None]
    light = (light * (1 + slope)).clamp(0.5, 255) / 255
    light = 255 * light ** damage.gamma[:, None, None, None]
    light = light * damage.tint[:, :, None, None]
    gray = light.mean(1, keepdim=True)
    light = torch.where(damage.is_gray[:, None, None, None], gray, light)
    sigma = damage.sigma * (size / 128)
    light = blur(light, sigma[:, 0], sigma[:, 1], round(BLUR_REACH * size / 128))
    step = damage.block[:, None, None, None] * (size / 128)
    pixel = pixel_grid(size, crops.device)[None]
    blocky = read_at(light, ((pixel / step).floor() + 0.5) * step)
    light = torch.where(damage.block[:, None, None, None] > 1, blocky, light)
    light = (light + damage.noise[:, None, None, None] * noise).clamp(0, 255)
    return compress(light, damage.quality).round().clamp(0, 255)


def _occlude(crops: Tensor, damage: Damage) -> Tensor:
    """Draw the occluders."""
    size = crops.shape[2]
    place = pixel_grid(size, crops.device) * (2 / (size - 1)) - 1
    other = crops.roll(1, 0)
    zoom, shift, grain = damage.patch[:, :1], damage.patch[:, 1:3], damage.patch[:, 3]
    within = (place * zoom[:, None, None] + shift[:, None, None] + 1) * ((size - 1) / 2)
    photo = read_at(other, within)
    noise = functional.interpolate(damage.fine, size=size, mode="bilinear")
    large = functional.interpolate(damage.coarse, size=size, mode="bilinear")
    noise = torch.where(grain[:, None, None, None] < 0.5, noise, large)
    for k in range(damage.place.shape[1]):
        off = place - damage.place[:, k, None, None]
        c, s = damage.angle[:, k].cos(), damage.angle[:, k].sin()
        along = off[..., 0] * c[:, None, None] + off[..., 1] * s[:, None, None]
        across = off[..., 1] * c[:, None, None] - off[..., 0] * s[:, None, None]
        reach = damage.reach[:, k, None, None]
        power = damage.power[:, k, None, None]
        radius = (along.abs() / reach[..., 0] + 1e-6) ** power
        radius = (radius + (across.abs() / reach[..., 1] + 1e-6) ** power) ** (1 / power)
        edge = torch.where(damage.is_half[:, k, None, None], along, (1 - radius) * reach.amin(-1))
        cover = (edge * size / 3 + 0.5).clamp(0, 1) * damage.opacity[:, k, None, None]
        kind = damage.texture[:, k, None, None, None]
        color = damage.color[:, k, :, None, None]
        texture = torch.where(kind == 0, photo, torch.where(kind == 1, color, noise))
        crops = crops + cover[:, None] * (texture - crops)
    return crops


def compress(pictures: Tensor, quality: Tensor) -> Tensor:
    """What JPEG leaves of pictures: 8×8 blocks, quantized; colors at half the resolution.

    Args:
        pictures: (N, 3, S, S) float RGB in [0, 255], S a multiple of 16.
        quality: (N,) float in [1, 100], 0 to leave a picture as it is.

    Returns:
        (N, 3, S, S) float, not clipped.
    """
    step = quality.clamp_min(1)
    factor = torch.where(step < 50, 50 / step, 2 - step / 50)
    tables = QUANTIZATION.to(pictures.device)
    red, green, blue = pictures.unbind(1)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    colors = torch.stack([(blue - bright) / 1.772, (red - bright) / 1.402], 1)
    bright = _quantize(bright[:, None] - 128, tables[0], factor) + 128
    colors = _quantize(functional.avg_pool2d(colors, 2), tables[1], factor)
    colors = functional.interpolate(colors, scale_factor=2.0, mode="bilinear")
    cb, cr = colors[:, :1], colors[:, 1:]
    green = bright - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587
    result = torch.cat([bright + 1.402 * cr, green, bright + 1.772 * cb], 1)
    return torch.where(quality[:, None, None, None] > 0, result, pictures)


def _quantize(channels: Tensor, table: Tensor, factor: Tensor) -> Tensor:
    """Round each 8×8 block's cosine transform to the table's steps; (N, C, H, W)."""
    count, depth, height, width = channels.shape
    k = torch.arange(8, device=channels.device, dtype=torch.float32)
    cosine = torch.cos((2 * k + 1) * k[:, None] * (math.pi / 16)) / 2
    cosine = torch.cat([cosine[:1] / math.sqrt(2), cosine[1:]])
    both = torch.kron(cosine, cosine)  # of a block's 64 pixels at once
    blocks = channels.reshape(count, depth, height // 8, 8, width // 8, 8).transpose(3, 4)
    steps = (table.flatten() * factor[:, None]).round().clamp(1, 255)[:, None]
    rounded = ((blocks.reshape(count, -1, 64) @ both.T) / steps).round() * steps
    blocks = (rounded @ both).view(count, depth, height // 8, width // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(channels.shape)
