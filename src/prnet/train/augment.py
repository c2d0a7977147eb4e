"""Face crop → crop: 2D augmentation that moves the photo and its pose together."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import Pose
from prnet.geometry.similarity import Similarity
from prnet.image.crop import cut, square_to_crop
from prnet.train.config import AugmentConfig

Photo = NDArray[np.uint8]

PAIR_JITTER = 0.04  # of face size: how far a pair's second crop is shifted and scaled at most


def augmented_crop(
    pixels: Photo,
    pose: Pose,
    landmarks68: NDArray[np.floating],
    size: int,
    settings: AugmentConfig,
    rng: np.random.Generator | None,
    jitter: np.random.Generator | None = None,
) -> tuple[Photo, Pose]:
    """Cut the network's crop out of a face crop.

    Args:
        pixels: (C, C, 3) uint8 RGB.
        pose: Canonical frame → face crop pixels.
        landmarks68: (68, 3) float, canonical frame, cm.
        size: Side of the crop in pixels.
        settings: Ranges.
        rng: None for the plain crop around the landmarks' box, as evaluation takes it.
        jitter: Moves that crop a little, see `choose_crop`.

    Returns:
        The crop (size, size, 3) uint8 RGB, and the pose in it: canonical frame → crop units, where
        0 is the crop's middle and 1 half its side.
    """
    points = pose.apply(landmarks68)[:, :2]
    image_to_crop = choose_crop(points.min(0), points.max(0), size, settings, rng, jitter)
    return cut(pixels, image_to_crop, size), crop_units(size) @ image_to_crop @ pose


def choose_crop(
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    size: int,
    settings: AugmentConfig,
    rng: np.random.Generator | None,
    jitter: np.random.Generator | None = None,
) -> Similarity:
    """Choose the part of a photo that becomes the crop.

    Args:
        low: (2,) float, the face box's top left corner, photo pixels.
        high: (2,) float, its bottom right corner.
        size: Side of the crop in pixels.
        settings: Ranges.
        rng: None for the plain crop around the box, as evaluation takes it.
        jitter: Given, the crop is shifted and scaled by up to 4% of the face, as the box that a
            detector finds in a video's next frame.

    Returns:
        The 2D similarity photo pixels → crop pixels, y down.
    """
    centre, side = (low + high) / 2, settings.crop_scale * float((high - low).mean())
    angle = 0.0
    if rng is not None:
        if rng.random() < settings.wide_share:  # the paper's ranges
            centre = centre + rng.uniform(-1, 1, 2) * settings.translation * side
            side /= rng.uniform(*settings.scale)
            angle = rng.uniform(-1, 1) * settings.rotation_deg
        else:  # as a detector cuts
            centre = centre + rng.normal(0, settings.box_jitter, 2) * side / settings.crop_scale
            side *= float(np.exp(rng.normal(0, settings.box_jitter)))
            angle = rng.normal(0, settings.rotation_deg / 6)
    if jitter is not None:
        centre = centre + jitter.uniform(-PAIR_JITTER, PAIR_JITTER, 2) * (high - low)
        side *= 1 + jitter.uniform(-PAIR_JITTER, PAIR_JITTER)
    return square_to_crop(centre, side, size, angle)


def crop_units(size: int) -> Similarity:
    """Crop pixels → units of half the crop's side, 0 in its middle, y down."""
    return Similarity(2 / size, np.eye(2), np.full(2, (1 - size) / size))


def mirror_pose(pose: Pose) -> Pose:
    """Find the pose of a mirrored shape in the mirrored crop: x ↦ −x on both sides.

    Args:
        pose: Canonical frame → crop units, x = 0 in the crop's middle.

    Returns:
        The mirrored one, again with a rotation of determinant +1.
    """
    flip = np.array([-1.0, 1.0, 1.0])
    return Pose(pose.scale, flip[:, None] * pose.rotation * flip, pose.translation * flip)


def degrade(crop: Photo, other: Photo, settings: AugmentConfig, rng: np.random.Generator) -> Photo:
    """Occlude, light, blur and compress a crop.

    Args:
        crop: (S, S, 3) uint8 RGB.
        other: (P, P, 3) uint8 RGB, another photo, to take textures from.
        settings: Probabilities and ranges.
        rng: Source of randomness.

    Returns:
        (S, S, 3) uint8, a new array.
    """
    size = crop.shape[0]
    crop = crop.copy()
    if rng.random() < settings.p_occluder:
        for _ in range(rng.integers(1, 4)):
            _occlude(crop, other, rng)
    light: NDArray[Any] = crop.astype(np.float32)
    if rng.random() < settings.p_light:
        ramp = np.linspace(-1, 1, size, dtype=np.float32) * rng.uniform(-0.5, 0.5)
        light *= 1 + (ramp[:, None, None] if rng.random() < 0.3 else ramp[None, :, None])
        gamma = float(np.exp(rng.normal(0, 0.35)))
        light = 255 * (np.clip(light, 0, 255) / 255) ** gamma
    low, high = settings.color
    light *= rng.uniform(low, high) ** 0.7 * rng.uniform(low, high, 3).astype(np.float32) ** 0.5
    if rng.random() < settings.p_gray:
        light[:] = light.mean(2, keepdims=True)
    if rng.random() < settings.p_low_resolution:
        small = int(round(size * float(np.exp(rng.uniform(np.log(0.16), np.log(0.7))))))
        light = cv2.resize(light, (small, small), interpolation=cv2.INTER_AREA)
        kind = rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST], p=[0.6, 0.3, 0.1])
        light = cv2.resize(light, (size, size), interpolation=int(kind))
    if rng.random() < settings.p_blur:
        if rng.random() < 0.5:
            light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.5, 2.5) * size / 128)
        else:
            light = cv2.filter2D(light, -1, _motion_kernel(rng, size))
    if rng.random() < settings.p_noise:
        deviation = rng.uniform(2, 18)
        light += deviation * rng.standard_normal(light.shape, np.float32)
    crop = np.clip(light, 0, 255).astype(np.uint8)
    if rng.random() < settings.p_jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 80))]
        encoded = cv2.imencode(".jpg", crop, quality)[1]
        crop = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return crop


def _motion_kernel(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A short line that sums to 1."""
    length = int(rng.integers(3, max(4, size // 12))) | 1
    kernel = np.zeros((length, length), np.float32)
    angle, middle = rng.uniform(0, np.pi), length // 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    start, end = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
    return np.asarray(kernel / kernel.sum())


def _occlude(crop: Photo, other: Photo, rng: np.random.Generator) -> None:
    """Draw an occluder into the crop: blob, bar or half a face; of texture, noise or one color."""
    size = crop.shape[0]
    mask = np.zeros((size, size), np.uint8)
    kind = rng.random()
    if kind < 0.4:
        axes = rng.uniform(0.06, 0.28, 2) * size
        centre = rng.uniform(0.1, 0.9, 2) * size
        cv2.ellipse(mask, (tuple(centre), tuple(2 * axes), rng.uniform(0, 180)), 255, thickness=-1)
    elif kind < 0.75:
        sides = np.array([rng.uniform(0.08, 0.3), rng.uniform(0.2, 0.8)]) * size
        centre = rng.uniform(0.1, 0.9, 2) * size
        corners = cv2.boxPoints((tuple(centre), tuple(sides), rng.uniform(0, 180)))
        cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 255)
    else:  # everything on one side of a line, as a mask, a scarf, or another person covers it
        direction = rng.uniform(0, 2 * np.pi)
        x, y = np.meshgrid(np.arange(size), np.arange(size))
        along = (x - size / 2) * np.cos(direction) + (y - size / 2) * np.sin(direction)
        mask[along > rng.uniform(0.1, 0.4) * size] = 255
    texture = rng.random()
    if texture < 0.5:
        top, left = rng.integers(0, other.shape[0] // 2, 2)
        reach = other.shape[0] // 2
        patch = cv2.resize(other[top : top + reach, left : left + reach], (size, size))
    elif texture < 0.75:
        patch = np.empty_like(crop)
        patch[:] = rng.integers(0, 256, 3)
    else:
        grain = int(rng.integers(2, size))
        patch = rng.integers(0, 256, (grain, grain, 3), dtype=np.uint8)
        patch = cv2.resize(patch, (size, size), interpolation=cv2.INTER_LINEAR)
    is_hidden = mask > 0
    crop[is_hidden] = patch[is_hidden]
