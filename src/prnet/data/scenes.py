"""Photos with one face → scenes with any number, of any size and angle, and the boxes in them.

Every scene is a function of the random generator, so a seed gives the same scenes everywhere.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.drawn import draw_texture
from prnet.data.scene_canvas import (
    MASK_PX,
    Canvas,
    around,
    draw_mask,
    similarity_matrix,
)
from prnet.data.scene_degrade import degrade
from prnet.data.scene_mix import MEASURED, Mix, draw_sizes
from prnet.data.scene_parts import jittered, shared_part, shuffled
from prnet.data.scene_photos import BACKGROUND, SOURCES, ScenePhotos

SCENE_SIZE = 320
MAX_ROWS = 48  # of faces and ignored regions in a scene; more are dropped, the smallest first
TEXTURES, TEXTURE_PX = 240, 160
DISTRACTOR_PX = (16.0, 220.0)
# of pasted hard negatives; what was taken for a face is half as large; their share of distractors
HARD_PX, HARD_SHARE = (20.0, 90.0), 0.4
MASKS = 64
PHOTO_REACH = (0.7, 1.15)  # a photo that is a scene by itself: its longer side, in the scene's


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


class SceneComposer:
    """Composes scenes of one split."""

    def __init__(
        self,
        photos: ScenePhotos,
        *,
        held_out: bool,
        seed: int = 0,
        size: int = SCENE_SIZE,
        mix: Mix = MEASURED,
        hard: NDArray[np.uint8] | None = None,
    ) -> None:
        """Prepare textures and masks.

        Args:
            photos: To compose of.
            held_out: Take the val split's photos and backgrounds, not the train split's.
            seed: Of the drawn textures.
            size: Side of the scenes.
            mix: What they show.
            hard: (K, P, P, 3) uint8 RGB, pictures that were taken for faces; they are among what
                is no face. None: there are none.
        """
        self.photos, self.size, self.mix, self.hard = photos, size, mix, hard
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
        self._masks = [draw_mask(rng) for _ in range(MASKS)]
        self._noise = rng.normal(0, 1, (2 * size, 2 * size, 3)).astype(np.float32)

    def compose(self, rng: np.random.Generator) -> Scene:
        """Make a scene."""
        size = self.size
        canvas = Canvas(self._ground(rng), np.zeros((size, size), np.uint8))
        if self.mix.photos and rng.random() < self.mix.photos:
            self._show_photo(canvas, rng)
            return self._finish(canvas, rng)
        self._paste_distractors(canvas, rng)
        sizes = draw_sizes(rng, size / SCENE_SIZE, self.mix)
        if len(sizes) == 1 and rng.random() < 0.3:
            self._paste_face(canvas, rng, sizes[0], whole=True)
        else:
            for px in sizes:
                self._paste_face(canvas, rng, px)
                if rng.random() < 0.15:
                    self._occlude(canvas, rng)
        return self._finish(canvas, rng)

    def compose_faceless(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Make a scene without a face, (S, S, 3) uint8 RGB."""
        canvas = Canvas(self._ground(rng), np.zeros((self.size, self.size), np.uint8))
        self._paste_distractors(canvas, rng)
        return self._finish(canvas, rng).image

    def _finish(self, canvas: Canvas, rng: np.random.Generator) -> Scene:
        """What the canvas shows, as a camera takes it."""
        faces, yaw, visible, ignored = canvas.settle()
        return Scene(degrade(canvas.image, rng, self._noise), faces, yaw, visible, ignored)

    def redraw_textures(self, rng: np.random.Generator, count: int) -> None:
        """Draw so many of the textures anew."""
        for index in rng.integers(0, TEXTURES, count):
            self._textures[index] = draw_texture(rng, TEXTURE_PX)

    def _mask(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """One of the masks."""
        return self._masks[rng.integers(MASKS)]

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
            scale = self.size / TEXTURE_PX * np.exp(rng.uniform(np.log(0.3), np.log(3)))
            matrix = similarity_matrix(rng.uniform(0, 2 * np.pi), scale)
            return _warp_around(texture, matrix, self.size)
        ground = np.empty((self.size, self.size, 3), np.uint8)
        # black, as photos are padded, or any color
        ground[:] = 0 if rng.random() < 0.5 else rng.integers(0, 256, 3)
        return ground

    def _zoomed(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A part of a photo at random zoom and angle."""
        photo = self.photos.photo(index)
        least = self.size / max(photo.shape[:2])
        scale = least * np.exp(rng.uniform(np.log(self.mix.smallest_ground), np.log(4)))
        turn = rng.uniform(-0.3, 0.3) if rng.random() < 0.6 else rng.uniform(0, 2 * np.pi)
        matrix = similarity_matrix(turn, scale, mirror=rng.random() < 0.5)
        return _warp_around(photo, matrix, self.size, rng)

    def _show_photo(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Fill the scene with a photo; what it leaves free is one color or the ground."""
        index = self._choose_face(rng)
        photo, face = self.photos.photo(index), self.photos.faces[index].astype(np.float64)
        wh = np.array(photo.shape[1::-1], np.float64)
        scale = rng.uniform(*PHOTO_REACH) * self.size / wh.max()
        matrix = similarity_matrix(self._draw_turn(rng), scale, mirror=rng.random() < 0.5)
        slack = np.abs(self.size - scale * wh.max()) / 2
        shift = rng.uniform(-slack, slack, 2)
        matrix[:, 2] = self.size / 2 + shift - matrix[:, :2] @ ((wh - 1) / 2)
        if rng.random() < 0.7:
            canvas.image[:] = 0 if rng.random() < 0.6 else rng.integers(0, 256, 3)
        opaque = np.ones((MASK_PX, MASK_PX), np.float32)
        canvas.paste(photo, (0.0, 0.0, *wh), matrix, 1.0, opaque)
        self._label(canvas, index, face, matrix)
        if self.mix.covered_photos and rng.random() < self.mix.covered_photos:
            self._occlude(canvas, rng)

    def _paste_face(
        self, canvas: Canvas, rng: np.random.Generator, px: float, whole: bool = False
    ) -> None:
        """Paste a labelled face of a size, anywhere it doesn't hide others much."""
        index = self._choose_face(rng)
        face = self.photos.faces[index].astype(np.float64)
        scale = px / np.sqrt(face[2] * face[3])
        matrix = similarity_matrix(self._draw_turn(rng), scale, mirror=rng.random() < 0.5)
        reach = 1e3 if whole else rng.choice([rng.uniform(0.75, 1.1), rng.uniform(1.1, 2.6)])
        matrix[:, 2] = self._place(canvas, rng, px) - matrix[:, :2] @ face[:2]
        half = face[2:4].max() * reach * 0.5 + 2
        region = (*(face[:2] - half), *(face[:2] + half))
        if not whole and rng.random() < 0.3:
            region = jittered(region, rng)
        gain = rng.uniform(0.6, 1.3) if rng.random() < 0.5 else 1.0
        canvas.paste(self.photos.photo(index), region, matrix, gain, self._mask(rng))
        self._label(canvas, index, face, matrix)

    def _choose_face(self, rng: np.random.Generator) -> int:
        """A photo with a face, of each source as likely."""
        rows = self._by_source[rng.integers(len(self._by_source))]
        return int(rows[rng.integers(len(rows))])

    def _draw_turn(self, rng: np.random.Generator) -> float:
        """By how much a photo is turned, radians."""
        upright = rng.random() < self.mix.upright
        return float(rng.normal(0, 0.2) if upright else rng.uniform(-np.pi, np.pi))

    def _label(
        self,
        canvas: Canvas,
        index: int,
        face: NDArray[np.float64],
        matrix: NDArray[np.float64],
    ) -> None:
        """Write down where the last paste shows a photo's face, and others without a label."""
        scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        mirrored = np.linalg.det(matrix[:, :2]) < 0
        turn = np.arctan2(-matrix[0, 1], matrix[1, 1])
        center = matrix[:, :2] @ face[:2] + matrix[:, 2]
        angle = (-face[4] if mirrored else face[4]) + turn
        placed = np.array([*center, *(face[2:4] * scale), angle])
        canvas.faces.append((placed, float(self.photos.yaw[index]), canvas.layers))
        first, last = np.searchsorted(self._ignored[:, 0], [index, index + 1])
        for box in self._ignored[first:last, 1:]:
            x, y = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
            radius = scale * (box[2:] - box[:2]).max() * 0.6
            canvas.ignored.append(np.array([x - radius, y - radius, x + radius, y + radius]))

    def _place(self, canvas: Canvas, rng: np.random.Generator, px: float) -> NDArray[np.float64]:
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

    def _paste_distractors(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Paste things that are no face, or nothing."""
        for _ in range(rng.integers(0, self.mix.distractors)):
            if self.hard is not None and rng.random() < HARD_SHARE:
                px = np.exp(rng.uniform(*np.log(HARD_PX)))
                picture = self.hard[rng.integers(len(self.hard))]
                region = (0.0, 0.0, picture.shape[1] - 1.0, picture.shape[0] - 1.0)
            else:
                px = np.exp(rng.uniform(*np.log(DISTRACTOR_PX)))
                picture, region = self._faceless(rng)
            self._paste_distractor(canvas, rng, px, picture, region)

    def _paste_distractor(
        self,
        canvas: Canvas,
        rng: np.random.Generator,
        px: float,
        picture: NDArray[np.uint8],
        region: tuple[float, float, float, float],
    ) -> None:
        """Paste a faceless region of a picture, of a size, at any place and angle."""
        matrix = similarity_matrix(
            rng.uniform(0, 2 * np.pi), px / (region[2] - region[0]), mirror=rng.random() < 0.5
        )
        middle = np.array([region[0] + region[2], region[1] + region[3]]) / 2
        matrix[:, 2] = rng.uniform(0, self.size, 2) - matrix[:, :2] @ middle
        canvas.paste(picture, region, matrix, 1.0, self._mask(rng))

    def _occlude(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Cover a part of the last face."""
        face = canvas.faces[-1][0]
        px = np.sqrt(face[2] * face[3])
        if px < 14:
            return
        picture, region = self._faceless(rng)
        cover = px * rng.uniform(0.35, 0.9)
        matrix = similarity_matrix(rng.uniform(0, 2 * np.pi), cover / (region[2] - region[0]))
        turn = rng.uniform(0, 2 * np.pi)
        center = face[:2] + np.array([np.cos(turn), np.sin(turn)]) * px * rng.uniform(0.2, 0.6)
        middle = np.array([region[0] + region[2], region[1] + region[3]]) / 2
        matrix[:, 2] = center - matrix[:, :2] @ middle
        canvas.paste(picture, region, matrix, 1.0, self._mask(rng))

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
            return shuffled(photo, face, rng)
        first, last = np.searchsorted(self._ignored[:, 0], [index, index + 1])
        taken = [*self._ignored[first:last, 1:], around(face)]
        height, width = photo.shape[:2]
        for _ in range(8):
            side = rng.uniform(16, 0.5 * min(height, width))
            x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
            region = (x, y, x + side, y + side)
            if all(shared_part(region, box) < 0.12 for box in taken):
                return photo, region
        return shuffled(photo, face, rng)


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
