"""Clips with a truth: a head at exactly known places, frame by frame, from one still photo."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from prnet.data.rotate import rotate
from prnet.geometry.pose import Pose
from prnet.landmarks import EYES
from prnet.reconstructor import Reconstructor
from prnet.uv.position_map import decode_landmarks68

Picture = NDArray[np.uint8]
Array = NDArray[np.floating]

WIDTH, HEIGHT, RATE = 640, 360, 30
HEAD = (slice(0, 240), slice(100, 340))  # the astronaut's, in her photo
HEAD_WIDTH, HEAD_HEIGHT, HEAD_UP = 0.85, 1.15, 0.22  # the ellipse that is cut out, in face sizes
FEATHER_PX = 4.0
# of an eye, in its heights: above the landmarks the lashes, below them the rim, and above the
# lashes the skin that a closing lid stretches
LASHES, RIM, CREASE = 0.55, 0.25, 0.9
GRAIN_PX = 97  # by which a film's one field of noise is larger than a frame, to be shifted in
NOISE, JPEG_QUALITY = 6.0, 70  # gray levels; of compressed clips


@dataclass(frozen=True, eq=False)
class Sprite:
    """A head to be put into frames.

    Attributes:
        rgb: (S, S, 3) uint8.
        alpha: (S, S) float32 in [0, 1].
        landmarks: (68, 2) float, sprite pixels: what the network says of it, taken for the truth.
        pose: Canonical frame → sprite.
    """

    rgb: Picture
    alpha: NDArray[np.float32]
    landmarks: Array
    pose: Pose

    @property
    def center(self) -> Array:
        """(2,) the middle of the landmarks' box."""
        return (self.landmarks.min(0) + self.landmarks.max(0)) / 2


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame and where its heads are.

    Attributes:
        rgb: (H, W, 3) uint8.
        landmarks: (68, 2) float of each head, frame pixels, in a fixed order.
    """

    rgb: Picture
    landmarks: list[Array]


# sprite, center in the frame, scale, angle in degrees clockwise
Placed = tuple[Sprite, tuple[float, float], float, float]


class Studio:
    """Makes sprites of the sample photo, and clips of sprites.

    Args:
        reconstructor: Gives the truth of the still photo.
    """

    def __init__(self, reconstructor: Reconstructor) -> None:
        self._reconstructor = reconstructor
        self._photo = np.ascontiguousarray(astronaut()[HEAD])
        self._turned: dict[float, Sprite] = {}
        self._face = reconstructor(self._photo, max_faces=1)[0]
        self.head = self._sprite(self._photo, self._face.landmarks68[:, :2], self._face.pose)
        another = _disguise(self._photo)
        other = reconstructor(another, max_faces=1)[0]
        self.other = self._sprite(another, other.landmarks68[:, :2], other.pose)
        rng = np.random.default_rng(5)
        coarse = rng.uniform(60, 190, (5, 9, 3)).astype(np.float32)
        smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        grain = cv2.GaussianBlur(rng.normal(0, 60, (HEIGHT, WIDTH, 3)), (0, 0), 3)
        self.background = np.clip(smooth + grain, 0, 255).astype(np.uint8)

    def turned(self, yaw_deg: float) -> Sprite:
        """The head rotated in depth by so much."""
        if yaw_deg in self._turned:
            return self._turned[yaw_deg]
        face = self._face
        rgb, pose = rotate(self._photo, face.frontal_vertices, face.triangles, face.pose, yaw_deg)
        shape = decode_landmarks68(face.pose.remove(face.position_map), face.atlas)
        self._turned[yaw_deg] = self._sprite(rgb, pose.apply(shape)[:, :2], pose)
        return self._turned[yaw_deg]

    def blinking(self, closed: float) -> Sprite:
        """The head with its eyes closed by a part from 0 to 1; its landmarks stay the open ones."""
        rgb = self._photo
        for across, along in EYES:
            rgb = _close_eye(rgb, self.head.landmarks, across, along, closed)
        return replace(self.head, rgb=rgb)

    def frame(self, heads: Sequence[Placed], background: Picture | None = None) -> Frame:
        """Put heads before a background, the last one in front."""
        picture = np.array(self.background if background is None else background, np.float32)
        truth = []
        for sprite, (x, y), scale, angle_deg in heads:
            matrix = cv2.getRotationMatrix2D(sprite.center.tolist(), -angle_deg, scale)
            matrix[:, 2] += (x, y) - sprite.center
            size_wh = picture.shape[1::-1]
            alpha = cv2.warpAffine(sprite.alpha, matrix, size_wh)[..., None]
            rgb = cv2.warpAffine(sprite.rgb, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE)
            picture += alpha * (rgb - picture)
            truth.append(sprite.landmarks @ matrix[:, :2].T + matrix[:, 2])
        return Frame(np.rint(picture).astype(np.uint8), truth)

    def crossing(self, part: float, apart_px: float = 175.0) -> Frame:
        """Two heads on their way past each other; part goes from 0 to 1.

        Less than about 150 pixels apart, the second hides some of the first in the middle.
        """
        x, y = 90 + part * (WIDTH - 180), HEIGHT / 2
        upper = self.head, (x, y - apart_px / 2), 0.7, 0.0
        lower = self.other, (WIDTH - x, y + apart_px / 2), 0.7, 0.0
        return self.frame([upper, lower])

    def occluded(self, is_hidden: bool) -> Frame:
        """Two heads, one of them perhaps behind a post."""
        heads = [(self.head, (200.0, 190.0), 1.0, 0.0), (self.other, (450.0, 190.0), 1.0, 0.0)]
        frame = self.frame(heads)
        rgb = frame.rgb.copy()
        rgb[:, 130:270] = (70, 75, 80) if is_hidden else rgb[:, 130:270]
        return replace(frame, rgb=rgb)

    def shot(self, number: int) -> Frame:
        """The same head at the same place in one shot and another."""
        background = np.ascontiguousarray(np.roll(self.background, 1 + number, axis=2)[:, ::-1])
        own = self.background if number == 0 else background
        sprite = self.head if number == 0 else self.other
        return self.frame([(sprite, (320.0, 190.0), 1.0, 0.0)], own)

    def passing(self, part: float) -> Frame:
        """A head that comes in at one side and leaves at the other; part goes from 0 to 1."""
        return self.frame([(self.head, (-80 + part * (WIDTH + 160), 190.0), 1.0, 0.0)])

    def _sprite(self, rgb: Picture, landmarks: Array, pose: Pose) -> Sprite:
        low, high = landmarks.min(0), landmarks.max(0)
        (width, height), center = high - low, (low + high) / 2
        alpha = np.zeros(rgb.shape[:2], np.float32)
        middle = np.rint(center - [0, HEAD_UP * height]).astype(int).tolist()
        axes = round(HEAD_WIDTH * width), round(HEAD_HEIGHT * height)
        cv2.ellipse(alpha, middle, axes, 0, 0, 360, 1.0, cv2.FILLED)
        return Sprite(rgb, cv2.GaussianBlur(alpha, (0, 0), FEATHER_PX), landmarks, pose)


def film(
    count: int, draw: Callable[[float], Frame], noise: float = 0.0, quality: int | None = None
) -> Iterator[tuple[float, Frame]]:
    """Shoot a clip.

    Args:
        count: Frames, RATE a second.
        draw: Seconds → the frame of then.
        noise: Standard deviation of each pixel's noise, gray levels.
        quality: Of JPEG, through which each frame goes; None for none.

    Yields:
        Seconds and frame.
    """
    rng = np.random.default_rng(7)
    grain = rng.normal(0, noise, (HEIGHT + GRAIN_PX, WIDTH + GRAIN_PX, 3)).astype(np.float32)
    for number in range(count):
        time_s = number / RATE
        frame = draw(time_s)
        if noise:
            y, x = rng.integers(GRAIN_PX, size=2)
            noisy = frame.rgb + grain[y : y + HEIGHT, x : x + WIDTH]
            frame = replace(frame, rgb=np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        if quality is not None:
            jpeg = cv2.imencode(".jpg", frame.rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            frame = replace(frame, rgb=np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8))
        yield time_s, frame


def _disguise(photo: Picture) -> Picture:
    """Someone else: mirrored, gray-haired, of darker skin, lit from below."""
    gray = photo.mean(2, keepdims=True)
    mixed = (0.4 * photo + 0.6 * gray)[:, ::-1] / 255
    light = np.linspace(0.5, 1.25, len(photo))[:, None, None]
    return np.ascontiguousarray(np.clip(255 * light * mixed**1.3, 0, 255).astype(np.uint8))


def _close_eye(
    rgb: Picture,
    landmarks: Array,
    across: Sequence[tuple[int, int]],
    along: tuple[int, int],
    closed: float,
) -> Picture:
    """Draw the upper lid down: the skin above the eye is stretched, the eye squeezed under it."""
    corners = landmarks[list(along)]
    corners = corners[np.argsort(corners[:, 0])]
    uppers, lowers = (landmarks[list(lids)] for lids in zip(*across, strict=True))
    tall = (lowers - uppers)[:, 1].mean()
    corners = corners + [[-tall / 2, 0], [tall / 2, 0]]
    x, y = np.meshgrid(*(np.arange(side, dtype=np.float64) for side in rgb.shape[1::-1]))
    upper, lower = (
        np.interp(x[0], *np.vstack([corners[:1], lids[np.argsort(lids[:, 0])], corners[1:]]).T)
        for lids in (uppers - [0, LASHES * tall], lowers + [0, RIM * tall])
    )
    height = np.maximum(lower - upper, 1e-6)
    top, lid = upper - CREASE * height, upper + closed * height
    skin = top + (y - top) * (upper - top) / (lid - top)
    eye = lower - (lower - y) * height / np.maximum(lower - lid, 1e-6)
    source = np.where(y < top, y, np.where(y < lid, skin, np.where(y < lower, eye, y)))
    inside = (corners[0, 0] < x) & (x < corners[1, 0])
    where = np.where(inside, source, y).astype(np.float32)
    return np.asarray(cv2.remap(rgb, x.astype(np.float32), where, cv2.INTER_LINEAR), np.uint8)
