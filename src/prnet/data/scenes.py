"""Photos with one face → scenes with any number, of any size and angle, and the boxes in them.

Every scene is a function of the random generator, so a seed gives the same scenes everywhere.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.drawn import draw_texture
from prnet.data.scene_photos import BACKGROUND, SOURCES, ScenePhotos

SCENE_SIZE = 320
MAX_ROWS = 48  # of faces and ignored regions in a scene; more are dropped, the smallest first
SMALLEST_PX, LARGEST_PX = 10.0, 400.0
# the part of a face's box that must be seen for a label, and to be a face at all
LABELLED_VISIBLE, FACE_VISIBLE = 0.5, 0.12
LEAST_LABELLED_PX = 9.0
TEXTURES, TEXTURE_PX = 240, 160
MASKS, MASK_PX = 64, 48
COVERED = 0.5  # of a paste's opacity, from which on it hides what is beneath
SHRINK = 0.6  # from which on a photo is averaged down before it is warped
FACE, IGNORED = 1.0, 0.0


class Scene(NamedTuple):
    """A scene and what is in it.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        faces: (N, 5) float32, as `ScenePhotos.faces`, pixels of the scene.
        yaw: (N,) float32, degrees, the size of the yaw.
        visible: (N,) float32, the part of the box that is neither covered nor cut off.
        ignored: (K, 4) float32, x0 y0 x1 y1 of regions that may show a face or not.
    """

    image: NDArray[np.uint8]
    faces: NDArray[np.float32]
    yaw: NDArray[np.float32]
    visible: NDArray[np.float32]
    ignored: NDArray[np.float32]


@dataclass
class _Canvas:
    """A scene being painted: pixels, whose pixel each is, and the faces so far."""

    image: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    faces: list[tuple[NDArray[np.float64], float, int]]
    ignored: list[NDArray[np.float64]]
    layers: int = 0


class SceneComposer:
    """Composes scenes of one split."""

    def __init__(
        self, photos: ScenePhotos, *, held_out: bool, seed: int = 0, size: int = SCENE_SIZE
    ) -> None:
        """Prepare textures and masks.

        Args:
            photos: To compose of.
            held_out: Take the val split's photos and backgrounds, not the train split's.
            seed: Of the drawn textures.
            size: Side of the scenes.
        """
        self.photos, self.size = photos, size
        background = photos.source == SOURCES.index(BACKGROUND)
        mine = photos.held_out == held_out
        self._faces = np.flatnonzero(mine & ~background)
        self._backgrounds = np.flatnonzero(mine & background)
        by_source = [np.flatnonzero(photos.source[self._faces] == s) for s in range(len(SOURCES))]
        self._by_source = [self._faces[rows] for rows in by_source if len(rows)]
        order = np.argsort(photos.ignored[:, 0], kind="stable")
        self._ignored = photos.ignored[order]
        rng = np.random.default_rng([seed, 1])
        self._textures = [draw_texture(rng, TEXTURE_PX) for _ in range(TEXTURES)]
        self._masks = [_draw_mask(rng) for _ in range(MASKS)]
        self._noise = rng.normal(0, 1, (2 * size, 2 * size, 3)).astype(np.float32)

    def compose(self, rng: np.random.Generator) -> Scene:
        """Make a scene."""
        size = self.size
        canvas = _Canvas(self._ground(rng), np.zeros((size, size), np.uint8), [], [])
        for _ in range(rng.integers(0, 5)):
            self._paste_distractor(canvas, rng)
        sizes = _draw_sizes(rng, size / SCENE_SIZE)
        if len(sizes) == 1 and rng.random() < 0.3:
            self._paste_face(canvas, rng, sizes[0], whole=True)
        else:
            for px in sizes:
                self._paste_face(canvas, rng, px)
                if rng.random() < 0.15:
                    self._occlude(canvas, rng)
        faces, yaw, visible, ignored = _settle(canvas)
        return Scene(self._degrade(canvas.image, rng), faces, yaw, visible, ignored)

    def background(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A scene of a background photo alone, (S, S, 3) uint8 RGB."""
        return self._zoomed(self._backgrounds[rng.integers(len(self._backgrounds))], rng)

    def _ground(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """What the scene begins with, (S, S, 3) uint8 RGB."""
        kind = rng.random()
        if kind < 0.6:
            return self.background(rng)
        if kind < 0.85:
            texture = self._textures[rng.integers(TEXTURES)]
            matrix = _similarity(
                rng.uniform(0, 2 * np.pi), self.size / TEXTURE_PX * rng.uniform(1, 3)
            )
            return _warp_around(texture, matrix, self.size)
        ground = np.empty((self.size, self.size, 3), np.uint8)
        # black, as photos are padded, or any color
        ground[:] = 0 if rng.random() < 0.5 else rng.integers(0, 256, 3)
        return ground

    def _zoomed(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A part of a photo at random zoom and angle."""
        photo = self.photos.photo(index)
        least = self.size / max(photo.shape[:2])
        scale = least * np.exp(rng.uniform(np.log(0.9), np.log(4)))
        turn = rng.uniform(-0.3, 0.3) if rng.random() < 0.6 else rng.uniform(0, 2 * np.pi)
        matrix = _similarity(turn, scale, mirror=rng.random() < 0.5)
        return _warp_around(photo, matrix, self.size, rng)

    def _paste_face(
        self, canvas: _Canvas, rng: np.random.Generator, px: float, whole: bool = False
    ) -> None:
        """Paste a labelled face of a size, anywhere it doesn't hide others much."""
        rows = self._by_source[rng.integers(len(self._by_source))]
        index = int(rows[rng.integers(len(rows))])
        face = self.photos.faces[index].astype(np.float64)
        scale = px / np.sqrt(face[2] * face[3])
        turn = rng.normal(0, 0.2) if rng.random() < 0.4 else rng.uniform(-np.pi, np.pi)
        matrix = _similarity(turn, scale, mirror=rng.random() < 0.5)
        reach = 1e3 if whole else rng.choice([rng.uniform(0.75, 1.1), rng.uniform(1.1, 2.6)])
        center = self._place(canvas, rng, px)
        matrix[:, 2] = center - matrix[:, :2] @ face[:2]
        half = face[2:4].max() * reach * 0.5 + 2
        region = (*(face[:2] - half), *(face[:2] + half))
        if not whole and rng.random() < 0.3:
            region = _jittered(region, rng)
        gain = rng.uniform(0.6, 1.3) if rng.random() < 0.5 else 1.0
        self._paste(canvas, rng, self.photos.photo(index), region, matrix, gain)
        mirrored = np.linalg.det(matrix[:, :2]) < 0
        angle = (-face[4] if mirrored else face[4]) + turn
        placed = np.array([*center, *(face[2:4] * scale), angle])
        canvas.faces.append((placed, float(self.photos.yaw[index]), canvas.layers))
        first, last = np.searchsorted(self._ignored[:, 0], [index, index + 1])
        for box in self._ignored[first:last, 1:]:
            x, y = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
            radius = scale * (box[2:] - box[:2]).max() * 0.6
            canvas.ignored.append(np.array([x - radius, y - radius, x + radius, y + radius]))

    def _place(self, canvas: _Canvas, rng: np.random.Generator, px: float) -> NDArray[np.float64]:
        """A center that is rarely on another face, mostly inside the scene."""
        center = np.zeros(2)
        for _ in range(6):
            if rng.random() < 0.12:  # cut by the border
                center = rng.uniform(-0.35 * px, self.size + 0.35 * px, 2)
            else:
                margin = min(0.55 * px, 0.42 * self.size)
                center = rng.uniform(margin, self.size - margin, 2)
            others = np.array([[*face[:2], face[2:4].max()] for face, _, _ in canvas.faces])
            if not len(others):
                break
            away = np.hypot(*(others[:, :2] - center).T)
            if (away > 0.5 * (others[:, 2] + px) * rng.uniform(0.7, 1.1)).all():
                break
        return center

    def _paste_distractor(self, canvas: _Canvas, rng: np.random.Generator) -> None:
        """Paste something that is no face: a photo's faceless part, a drawing, shuffled parts."""
        px = np.exp(rng.uniform(np.log(16), np.log(220)))
        picture, region = self._faceless(rng)
        matrix = _similarity(
            rng.uniform(0, 2 * np.pi), px / (region[2] - region[0]), mirror=rng.random() < 0.5
        )
        middle = np.array([region[0] + region[2], region[1] + region[3]]) / 2
        matrix[:, 2] = rng.uniform(0, self.size, 2) - matrix[:, :2] @ middle
        self._paste(canvas, rng, picture, region, matrix, 1.0)

    def _occlude(self, canvas: _Canvas, rng: np.random.Generator) -> None:
        """Cover a part of the last face."""
        face = canvas.faces[-1][0]
        px = np.sqrt(face[2] * face[3])
        if px < 14:
            return
        picture, region = self._faceless(rng)
        cover = px * rng.uniform(0.35, 0.9)
        matrix = _similarity(rng.uniform(0, 2 * np.pi), cover / (region[2] - region[0]))
        turn = rng.uniform(0, 2 * np.pi)
        center = face[:2] + np.array([np.cos(turn), np.sin(turn)]) * px * rng.uniform(0.2, 0.6)
        middle = np.array([region[0] + region[2], region[1] + region[3]]) / 2
        matrix[:, 2] = center - matrix[:, :2] @ middle
        self._paste(canvas, rng, picture, region, matrix, 1.0)

    def _faceless(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
        """A picture and the region of it (x0 y0 x1 y1) that shows no face."""
        kind = rng.random()
        if kind < 0.4:
            texture = self._textures[rng.integers(TEXTURES)]
            return texture, (0.0, 0.0, TEXTURE_PX - 1.0, TEXTURE_PX - 1.0)
        if kind < 0.6:
            index = int(self._backgrounds[rng.integers(len(self._backgrounds))])
            photo = self.photos.photo(index)
            side = rng.uniform(30, min(photo.shape[:2]))
            x, y = rng.uniform(0, np.array(photo.shape[1::-1]) - side)
            return photo, (x, y, x + side, y + side)
        index = int(self._faces[rng.integers(len(self._faces))])
        photo, face = self.photos.photo(index), self.photos.faces[index]
        if kind < 0.75:
            return _shuffled(photo, face, rng)
        first, last = np.searchsorted(self._ignored[:, 0], [index, index + 1])
        taken = [*self._ignored[first:last, 1:], _around(face)]
        height, width = photo.shape[:2]
        for _ in range(8):
            side = rng.uniform(16, 0.5 * min(height, width))
            x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
            region = (x, y, x + side, y + side)
            if all(_shared(region, box) < 0.12 for box in taken):
                return photo, region
        return _shuffled(photo, face, rng)

    def _paste(
        self,
        canvas: _Canvas,
        rng: np.random.Generator,
        picture: NDArray[np.uint8],
        region: tuple[float, float, float, float],
        matrix: NDArray[np.float64],
        gain: float,
    ) -> None:
        """Paste a picture's region with soft edges; it owns what it covers."""
        height, width = picture.shape[:2]
        x0, y0 = max(int(region[0]), 0), max(int(region[1]), 0)
        x1, y1 = min(int(region[2]) + 1, width), min(int(region[3]) + 1, height)
        if x1 - x0 < 4 or y1 - y0 < 4:
            return
        patch = picture[y0:y1, x0:x1]
        matrix = matrix.copy()
        matrix[:, 2] += matrix[:, :2] @ [x0, y0]
        scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        if scale < SHRINK:
            wh = np.array([x1 - x0, y1 - y0])
            small = np.maximum(np.rint(wh * scale * 1.2), 4)
            small_wh = small.astype(int).tolist()
            patch = np.asarray(cv2.resize(patch, small_wh, interpolation=cv2.INTER_AREA), np.uint8)
            matrix = _of_grid(matrix, wh / small)
        patch_wh = np.array([patch.shape[1], patch.shape[0]], np.float64)
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (patch_wh - 1)
        corners = corners @ matrix[:, :2].T + matrix[:, 2]
        low = np.maximum(np.floor(corners.min(0)), 0).astype(int)
        high = np.minimum(np.ceil(corners.max(0)) + 1, self.size).astype(int)
        if (high - low < 2).any():
            return
        matrix[:, 2] -= low
        size = (high - low).tolist()
        target = canvas.image[low[1] : high[1], low[0] : high[0]]
        warped = cv2.warpAffine(
            patch, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if gain != 1:
            warped = cv2.convertScaleAbs(warped, alpha=gain)
        mask = self._masks[rng.integers(MASKS)]
        opacity = cv2.warpAffine(mask, _of_grid(matrix, patch_wh / MASK_PX), size)
        canvas.layers += 1
        canvas.owner[low[1] : high[1], low[0] : high[0]][opacity > COVERED] = canvas.layers
        target[:] = cv2.blendLinear(warped, np.ascontiguousarray(target), opacity, 1 - opacity)

    def _degrade(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Light, colour, blur, noise and compression of a whole scene."""
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
            small = int(self.size * rng.uniform(0.35, 0.9))
            shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = np.asarray(cv2.resize(shrunk, (self.size, self.size)), np.uint8)
        if rng.random() < 0.25:
            x, y = rng.integers(0, self.size, 2)
            noise = self._noise[y : y + self.size, x : x + self.size]
            noisy = cv2.addWeighted(image, 1, noise, rng.uniform(2, 18), 0, dtype=cv2.CV_8U)
            image = np.asarray(noisy, np.uint8)
        if rng.random() < 0.3:
            quality = int(rng.integers(15, 90))
            stream = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            image = np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR), np.uint8)
        return image


def _draw_sizes(rng: np.random.Generator, room: float) -> NDArray[np.float64]:
    """How many faces, and of which size in pixels, largest first; `room`: the scene's, over 320."""
    kind = rng.random()
    if kind < 0.1:
        return np.empty(0)
    if kind < 0.4:
        count, low, high = 1, 24.0, LARGEST_PX * room
    elif kind < 0.8:
        count, low, high = int(rng.integers(2, 7)), SMALLEST_PX, 180.0 * room
    else:
        count, low, high = int(rng.integers(8, int(9 + 22 * room**2))), SMALLEST_PX, 50.0
    return np.sort(np.exp(rng.uniform(np.log(low), np.log(high), count)))[::-1]


def _draw_mask(rng: np.random.Generator) -> NDArray[np.float32]:
    """A paste's opacity over its region, (48, 48) float32, 0 at the edge: box or ellipse."""
    axis = np.abs(np.linspace(-1, 1, MASK_PX))
    x, y = np.meshgrid(axis, axis)
    power = rng.choice([2.0, 2.6, 4.0, 30.0])
    away = (x**power + y**power) ** (1 / power)
    soft = rng.uniform(0.06, 0.3) if rng.random() < 0.7 else 0.02
    mask: NDArray[np.float32] = np.clip((1 - away) / soft, 0, 1).astype(np.float32)
    return mask


def _similarity(turn: float, scale: float, mirror: bool = False) -> NDArray[np.float64]:
    """(2, 3) matrix that mirrors, turns clockwise as seen and scales about 0."""
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    flip = -1 if mirror else 1
    return np.array([[cos * flip, -sin, 0], [sin * flip, cos, 0]])


def _of_grid(matrix: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same map for a picture shrunk by `step` (x, y): pixel centers stay centers."""
    changed = matrix.copy()
    changed[:, :2] *= step
    changed[:, 2] += matrix[:, :2] @ (step / 2 - 0.5)
    return changed


def _warp_around(
    photo: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    size: int,
    rng: np.random.Generator | None = None,
) -> NDArray[np.uint8]:
    """Fill a square with a photo, about a random point of it or its middle."""
    height, width = photo.shape[:2]
    share = np.array([0.5, 0.5]) if rng is None else rng.uniform(0.25, 0.75, 2)
    matrix[:, 2] = size / 2 - matrix[:, :2] @ (share * [width, height])
    return np.asarray(
        cv2.warpAffine(
            photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        ),
        np.uint8,
    )


def _jittered(
    region: tuple[float, ...], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A region with each side moved outward a little."""
    x0, y0, x1, y1 = region
    a, b, c, d = rng.uniform(0, 0.3, 4) * (x1 - x0)
    return x0 - a, y0 - b, x1 + c, y1 + d


def _around(face: NDArray[np.floating]) -> NDArray[np.float64]:
    """(4,) x0 y0 x1 y1 of a square that holds a face at any angle."""
    half = face[2:4].max() * 0.65
    return np.array([*(face[:2] - half), *(face[:2] + half)], np.float64)


def _shared(region: tuple[float, ...], box: NDArray[np.floating]) -> float:
    """The part of the smaller of two boxes that both cover."""
    width = min(region[2], box[2]) - max(region[0], box[0])
    height = min(region[3], box[3]) - max(region[1], box[1])
    smaller = min(
        (region[2] - region[0]) * (region[3] - region[1]), (box[2] - box[0]) * (box[3] - box[1])
    )
    return float(max(width, 0) * max(height, 0) / smaller)


def _shuffled(
    photo: NDArray[np.uint8], face: NDArray[np.floating], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """A face cut into 3 × 3 or 4 × 4 parts that change places and turn: skin and parts, no face."""
    parts = int(rng.integers(3, 5))
    step = 24
    side = parts * step
    half = face[2:4].max() * 0.5
    matrix = _similarity(0.0, side / (2 * half))
    matrix[:, 2] = side / 2 - matrix[:, :2] @ face[:2]
    square = cv2.warpAffine(photo, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    blocks = square.reshape(parts, step, parts, step, 3).swapaxes(1, 2).reshape(-1, step, step, 3)
    # no part stays where it was: a derangement by rotation of a random order
    order = rng.permutation(len(blocks))
    mixed = np.empty_like(blocks)
    mixed[order] = blocks[np.roll(order, 1)]
    mixed = np.stack([np.rot90(block, int(rng.integers(4))) for block in mixed])
    grid = mixed.reshape(parts, parts, step, step, 3).swapaxes(1, 2).reshape(side, side, 3)
    return np.ascontiguousarray(grid), (0.0, 0.0, side - 1.0, side - 1.0)


def _settle(
    canvas: _Canvas,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Faces, yaw, visible parts and ignored regions of a painted scene."""
    rows: list[NDArray[np.float64]] = []
    yaws: list[float] = []
    seen: list[float] = []
    ignored = list(canvas.ignored)
    for face, yaw, layer in canvas.faces:
        visible = _visible(canvas.owner, face, layer)
        if visible >= LABELLED_VISIBLE and np.sqrt(face[2] * face[3]) >= LEAST_LABELLED_PX:
            rows.append(face)
            yaws.append(yaw)
            seen.append(visible)
        elif visible >= FACE_VISIBLE:
            ignored.append(_around(face))
    return (
        np.array(rows, np.float32).reshape(-1, 5),
        np.array(yaws, np.float32),
        np.array(seen, np.float32),
        np.array(ignored, np.float32).reshape(-1, 4),
    )


def _visible(owner: NDArray[np.uint8], face: NDArray[np.float64], layer: int) -> float:
    """The part of a face's ellipse that its own layer still shows."""
    x, y, width, height, angle = face
    reach = np.hypot(width, height) / 2
    low = np.maximum(np.floor([x - reach, y - reach]), 0).astype(int)
    high = np.ceil([x + reach + 1, y + reach + 1]).astype(int)
    mine = owner[low[1] : high[1], low[0] : high[0]] == layer
    if not mine.any():
        return 0.0
    ellipse = np.zeros(mine.shape, np.uint8)
    # in sixteenths of a pixel, since faces may be ten pixels wide
    center = np.rint((face[:2] - low) * 16).astype(int).tolist()
    axes = np.rint([width * 8, height * 8]).astype(int).tolist()
    cv2.ellipse(ellipse, center, axes, np.degrees(angle), 0, 360, 1, -1, cv2.LINE_8, 4)
    covered = np.count_nonzero(mine & (ellipse > 0))
    return float(min(covered / (np.pi / 4 * width * height), 1.0))
