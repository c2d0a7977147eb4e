"""What cameras and compression do to a scene."""

import cv2
import numpy as np
from numpy.typing import NDArray


def degrade(
    image: NDArray[np.uint8], rng: np.random.Generator, noise: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Light, color, blur, noise and compression of a whole scene.

    Args:
        image: (S, S, 3) uint8 RGB.
        rng: Chooses what and how much.
        noise: (2·S, 2·S, 3) float32, normal; a part of it is used.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    size = len(image)
    if rng.random() < 0.12:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < 0.6:
        ramp = np.linspace(0, 1, 256)[:, None]
        gamma = np.exp(rng.normal(0, 0.35))
        gain = rng.uniform(0.08, 0.5) if rng.random() < 0.2 else np.exp(rng.normal(0, 0.25))
        tint = np.exp(rng.normal(0, 0.08, 3))
        offset = rng.normal(0, 0.06)
        table = np.clip((ramp**gamma * gain * tint + offset) * 255, 0, 255)
        image = np.asarray(cv2.LUT(image, table.astype(np.uint8)[:, None]), np.uint8)
    kind = rng.random()
    if kind < 0.12:
        sigma = np.exp(rng.uniform(np.log(0.4), np.log(2.5)))
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    elif kind < 0.17:
        length = int(rng.integers(3, 12))
        kernel = np.zeros((length, length), np.float32)
        ends = rng.integers(0, length, (2, 2)).tolist()
        cv2.line(kernel, ends[0], ends[1], 1.0)
        image = np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
    elif kind < 0.25:
        small = int(size * rng.uniform(0.35, 0.9))
        shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(shrunk, (size, size)), np.uint8)
    if rng.random() < 0.25:
        x, y = rng.integers(0, size, 2)
        part = noise[y : y + size, x : x + size]
        noisy = cv2.addWeighted(image, 1, part, rng.uniform(2, 18), 0, dtype=cv2.CV_8U)
        image = np.asarray(noisy, np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(15, 90))
        stream = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR), np.uint8)
    return image
