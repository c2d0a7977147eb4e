"""Drawn pictures that a face detector may take for faces: textures, moons, galaxies, patterns."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def draw_texture(rng: np.random.Generator, size: int) -> Picture:
    """Draw a picture without a face.

    Args:
        rng: Chooses kind and details.
        size: Side S in pixels.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    return KINDS[rng.integers(len(KINDS))](rng, size)


def _grid(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """X and y in [−1, 1], (S, S) float32 each."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def _colors(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """(count, 3) colors; skin is one of them now and then."""
    colors = rng.uniform(0, 255, (count, 3))
    if rng.random() < 0.4:
        colors[0] = np.array([224, 172, 140]) * rng.uniform(0.35, 1.1)
    return np.clip(colors, 0, 255).astype(np.float32)


def _mixed(rng: np.random.Generator, share: NDArray[np.floating]) -> Picture:
    """Two colors by the share (S, S) in [0, 1] of the second."""
    first, second = _colors(rng, 2)
    return (first + (second - first) * np.clip(share, 0, 1)[..., None]).astype(np.uint8)


def _noise(rng: np.random.Generator, size: int, fall: float) -> NDArray[np.float32]:
    """Noise of amplitude 1 / frequency^fall, (S, S) in [0, 1]."""
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1
    spectrum = rng.normal(size=(*frequency.shape, 2)) @ [1, 1j] / frequency**fall
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (size, size))
    return ((noise - noise.min()) / max(np.ptp(noise), 1e-9)).astype(np.float32)


def _cloud(rng: np.random.Generator, size: int) -> Picture:
    """Clouds, plasma, bark: noise of any roughness."""
    if rng.random() < 0.5:
        return _mixed(rng, _noise(rng, size, rng.uniform(0.6, 2.2)))
    channels = [_noise(rng, size, rng.uniform(0.6, 2.2)) for _ in range(3)]
    return (np.stack(channels, -1) * 255).astype(np.uint8)


def _stripes(rng: np.random.Generator, size: int) -> Picture:
    """Stripes, checkers and weaves."""
    x, y = _grid(size)
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    wave = np.sin(u * rng.uniform(5, 60))
    if rng.random() < 0.6:
        other = np.sin(v * rng.uniform(5, 60))
        wave = wave * other if rng.random() < 0.5 else np.maximum(wave, other)
    return _mixed(rng, wave * rng.uniform(0.5, 6) + 0.5)


def _rings(rng: np.random.Generator, size: int) -> Picture:
    """Concentric rings, as of eyes, targets and wheels."""
    x, y = _grid(size)
    radius = np.hypot(x, y * rng.uniform(0.6, 1.6))
    return _mixed(rng, np.sin(radius * rng.uniform(6, 50)) * rng.uniform(0.5, 5) + 0.5)


def _dots(rng: np.random.Generator, size: int) -> Picture:
    """Discs in rows or anywhere, buttons and holes."""
    picture = np.empty((size, size, 3), np.uint8)
    ground, *inks = _colors(rng, 4)
    picture[:] = ground
    if rng.random() < 0.5:
        step = rng.integers(8, max(9, size // 3))
        axis = range(step // 2, size, step)
        places = [(i, j) for i in axis for j in axis]
        radius = int(rng.integers(2, step // 2 + 1))
    else:
        places = rng.integers(0, size, (rng.integers(3, 60), 2)).tolist()
        radius = 0
    for place in places:
        reach = radius or int(rng.integers(2, size // 6))
        ink = inks[rng.integers(3)].tolist()
        cv2.circle(picture, tuple(map(int, place)), reach, ink, -1, cv2.LINE_AA)
    return picture


def _shapes(rng: np.random.Generator, size: int) -> Picture:
    """Lines, boxes, ellipses: buildings, furniture, signs."""
    picture = np.empty((size, size, 3), np.uint8)
    ground, *inks = _colors(rng, 6)
    picture[:] = ground
    for _ in range(rng.integers(4, 30)):
        a, b = rng.integers(0, size, (2, 2)).tolist()
        ink, kind = inks[rng.integers(5)].tolist(), rng.integers(4)
        thick = int(rng.integers(1, 8))
        if kind == 0:
            cv2.line(picture, a, b, ink, thick, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(picture, a, b, ink, -1 if rng.random() < 0.6 else thick)
        elif kind == 2:
            axes = rng.integers(3, size // 3, 2).tolist()
            turn = float(rng.uniform(0, 180))
            cv2.ellipse(picture, a, axes, turn, 0, 360, ink, -1, cv2.LINE_AA)
        else:
            count = int(rng.integers(3, 7))
            corners = np.array(a) + rng.integers(-size // 3, size // 3, (count, 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], ink, cv2.LINE_AA)
    return picture


def _writing(rng: np.random.Generator, size: int) -> Picture:
    """Lines of letters."""
    picture = np.empty((size, size, 3), np.uint8)
    ground, ink = _colors(rng, 2)
    picture[:] = ground
    scale = rng.uniform(0.4, 2.5)
    for y in np.arange(20 * scale, size + 20, 30 * scale):
        letters = "".join(map(chr, rng.integers(33, 127, 24)))
        place = (int(rng.integers(-20, 10)), int(y))
        font = int(rng.integers(8))
        cv2.putText(picture, letters, place, font, scale, ink.tolist(), int(1 + scale), cv2.LINE_AA)
    return picture


def _moon(rng: np.random.Generator, size: int) -> Picture:
    """A round body with craters, lit from a side, in the dark; sometimes one in daylight."""
    x, y = _grid(size)
    radius = rng.uniform(0.5, 0.98)
    z = np.sqrt(np.clip(radius**2 - x**2 - y**2, 0, None)) / radius
    turn, lift = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 1)
    light = np.clip(x * np.cos(turn) + y * np.sin(turn) + lift * z + 0.2, 0, 1)
    ground = 0.4 + 0.6 * _noise(rng, size, rng.uniform(0.8, 1.8))
    for _ in range(rng.integers(0, 40)):
        cx, cy = rng.uniform(-0.8, 0.8, 2)
        away = np.hypot(x - cx, y - cy) / rng.uniform(0.02, 0.22)
        ground *= 1 - rng.uniform(-0.3, 0.6) * np.exp(-(away**2) * 2)
    shade = ground * light
    if rng.random() < 0.3:  # a ball, a fruit, a plate
        shade = ground * (0.5 + 0.5 * light)
    tint = 0.8 + 0.2 * rng.random(3) if rng.random() < 0.6 else rng.random(3)
    sky = _colors(rng, 1)[0] * (rng.random() < 0.3)
    edge = np.clip((radius - np.hypot(x, y)) * size / 3, 0, 1)[..., None]
    picture = shade[..., None] * tint * 255 * edge + sky * (1 - edge)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _galaxies(rng: np.random.Generator, size: int) -> Picture:
    """Stars, spirals and smudges on black, as telescopes see them."""
    x, y = _grid(size)
    picture = np.zeros((size, size, 3), np.float32)
    for _ in range(rng.integers(1, 10)):
        cx, cy = rng.uniform(-1, 1, 2)
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.2, 1)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = ((y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)) / flat
        reach = np.exp(rng.uniform(np.log(0.03), np.log(0.7)))
        away = np.hypot(u, v) / reach
        glow = np.exp(-away * rng.uniform(1.5, 4)) + np.exp(-((away * 6) ** 2))
        if rng.random() < 0.6:
            arms = np.cos(2 * np.arctan2(v, u) - rng.uniform(2, 9) * np.log(away + 0.1))
            glow *= 1 + rng.uniform(0.2, 0.9) * arms
        tint = np.array([1, rng.uniform(0.6, 1), rng.uniform(0.3, 1)])[:: rng.choice([-1, 1])]
        picture += (glow[..., None] * tint * rng.uniform(60, 300)).astype(np.float32)
    stars = rng.integers(0, size, (int(rng.integers(10, 500)), 2))
    picture[stars[:, 0], stars[:, 1]] += rng.uniform(20, 255, (len(stars), 1))
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    picture += rng.normal(0, rng.uniform(0, 12), picture.shape) + rng.uniform(0, 25)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _coins(rng: np.random.Generator, size: int) -> Picture:
    """Round things with relief on a grainy ground: coins, buttons, cookies, seen from above."""
    ground, *metals = _colors(rng, 4)
    picture = ground * (0.7 + 0.6 * _noise(rng, size, rng.uniform(0.3, 1.2)))[..., None]
    count = int(rng.integers(1, 5))
    step = size / count
    relief = _noise(rng, size, rng.uniform(1.2, 3.0))
    turn, depth = rng.uniform(0, 2 * np.pi), rng.uniform(3, 30)
    slope = np.gradient(relief * depth)
    shade = 0.8 + 0.5 * np.tanh(slope[1] * np.cos(turn) + slope[0] * np.sin(turn))
    rows, columns = np.mgrid[:size, :size]
    for row in range(count):
        for column in range(count):
            cx, cy = (np.array([column, row]) + rng.uniform(0.4, 0.6, 2)) * step
            radius = step * rng.uniform(0.25, 0.5)
            away = np.hypot(columns - cx, rows - cy) / radius
            rim = np.exp(-(((away - 0.93) * rng.uniform(8, 25)) ** 2)) * rng.uniform(-0.4, 0.6)
            opacity = np.clip((1 - away) * radius, 0, 1)[..., None]
            body = metals[rng.integers(3)] * (shade + rim)[..., None]
            picture = picture * (1 - opacity) + body * opacity
    return np.clip(picture, 0, 255).astype(np.uint8)


def _retina(rng: np.random.Generator, size: int) -> Picture:
    """A glowing disc with a bright spot, a dark one and branching vessels; roots and rivers too."""
    x, y = _grid(size)
    radius = rng.uniform(0.7, 1.4)
    glow = np.clip((radius - np.hypot(x, y)) * size / 4, 0, 1)
    glow = glow * (0.5 + 0.5 * _noise(rng, size, rng.uniform(1.5, 2.5)))
    for sign in (1.0, -0.6):
        cx, cy = rng.uniform(-0.5, 0.5, 2)
        spread = rng.uniform(0.05, 0.25)
        glow = glow * (1 + sign * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / spread**2))
    vessels = np.zeros((size, size), np.float32)
    start = rng.uniform(0.3, 0.7, 2) * size
    for _ in range(rng.integers(3, 14)):
        heading, path = rng.uniform(0, 2 * np.pi), [start]
        for _ in range(24):
            heading += rng.normal(0, 0.25)
            path.append(path[-1] + size / 30 * np.array([np.cos(heading), np.sin(heading)]))
        line = np.rint(path).astype(np.int32)
        cv2.polylines(vessels, [line], False, 1.0, int(rng.integers(1, 4)), cv2.LINE_AA)
    glow = glow * (1 - rng.uniform(0.2, 0.7) * vessels)
    tint = _colors(rng, 1)[0]
    return np.clip(glow[..., None] * tint * rng.uniform(0.7, 1.5), 0, 255).astype(np.uint8)


def _wheel(rng: np.random.Generator, size: int) -> Picture:
    """A disc whose color changes with the direction: color wheels, pie charts, umbrellas, dials."""
    x, y = _grid(size)
    away = np.hypot(x, y) / rng.uniform(0.6, 0.98)
    share = np.arctan2(y, x) / (2 * np.pi) + rng.random()
    if rng.random() < 0.4:
        sectors = int(rng.integers(2, 13))
        share = np.floor(share * sectors) / sectors
    hue = np.uint8(np.float32(180) * (share * rng.integers(1, 3) % 1))
    saturation = np.clip(away, 0, 1) if rng.random() < 0.6 else np.full_like(away, rng.random())
    value = np.full_like(away, rng.uniform(0.5, 1))
    hsv = np.stack([hue, *(np.uint8(255 * part) for part in (saturation, value))], -1)
    ground = _colors(rng, 1)[0] if rng.random() < 0.5 else np.full(3, 255 * rng.integers(2))
    edge = np.clip((1 - away) * size / 3, 0, 1)[..., None]
    disc = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.clip(disc * edge + ground * (1 - edge), 0, 255).astype(np.uint8)


KINDS: tuple[Callable[[np.random.Generator, int], Picture], ...] = (
    *(_cloud, _stripes, _rings, _dots, _shapes, _writing),
    *(_moon, _galaxies, _coins, _retina, _moon, _galaxies, _coins, _wheel, _retina),
)
