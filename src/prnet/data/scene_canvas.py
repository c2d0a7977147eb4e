"""A scene while it is painted: pictures pasted one over the other, and whose pixel each is."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

# the part of a face's box that must be seen for a label, and to be a face at all
LABELLED_VISIBLE, FACE_VISIBLE = 0.5, 0.12
LEAST_LABELLED_PX = 12.0  # smaller ones look like any blob
MASK_PX = 48
COVERED = 0.5  # of a paste's opacity, from which on it hides what is beneath
SHRINK = 0.6  # from which on a photo is averaged down before it is warped

Region = tuple[float, float, float, float]


@dataclass
class Canvas:
    """A scene being painted.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        owner: (S, S) uint8, the number of the paste that each pixel is of.
        faces: Of each pasted face the box (5,), the yaw and the number of its paste.
        ignored: Regions (4,) that may show a face or not.
        layers: Pastes so far.
    """

    image: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    faces: list[tuple[NDArray[np.float64], float, int]] = field(default_factory=list)
    ignored: list[NDArray[np.float64]] = field(default_factory=list)
    layers: int = 0

    def paste(
        self,
        picture: NDArray[np.uint8],
        region: Region,
        matrix: NDArray[np.float64],
        gain: float,
        mask: NDArray[np.float32],
    ) -> None:
        """Paste a picture's region with soft edges; it owns what it covers.

        Args:
            picture: (H, W, 3) uint8 RGB.
            region: x0 y0 x1 y1 in it.
            matrix: (2, 3), pixels of the picture → pixels of the scene.
            gain: By which its brightness is multiplied.
            mask: As `draw_mask` gives it.
        """
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
        high = np.minimum(np.ceil(corners.max(0)) + 1, len(self.image)).astype(int)
        if (high - low < 2).any():
            return
        matrix[:, 2] -= low
        size = (high - low).tolist()
        target = self.image[low[1] : high[1], low[0] : high[0]]
        warped = cv2.warpAffine(
            patch, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if gain != 1:
            warped = cv2.convertScaleAbs(warped, alpha=gain)
        opacity = cv2.warpAffine(mask, _of_grid(matrix, patch_wh / MASK_PX), size)
        self.layers += 1
        self.owner[low[1] : high[1], low[0] : high[0]][opacity > COVERED] = self.layers
        target[:] = cv2.blendLinear(warped, np.ascontiguousarray(target), opacity, 1 - opacity)

    def settle(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Faces (N, 5), their yaw and visible parts, and the ignored regions (K, 4)."""
        rows: list[NDArray[np.float64]] = []
        yaws: list[float] = []
        seen: list[float] = []
        ignored = list(self.ignored)
        for face, yaw, layer in self.faces:
            visible = _visible(self.owner, face, layer)
            if visible >= LABELLED_VISIBLE and np.sqrt(face[2] * face[3]) >= LEAST_LABELLED_PX:
                rows.append(face)
                yaws.append(yaw)
                seen.append(visible)
            elif visible >= FACE_VISIBLE:
                ignored.append(around(face))
        return (
            np.array(rows, np.float32).reshape(-1, 5),
            np.array(yaws, np.float32),
            np.array(seen, np.float32),
            np.array(ignored, np.float32).reshape(-1, 4),
        )


def around(face: NDArray[np.floating]) -> NDArray[np.float64]:
    """(4,) x0 y0 x1 y1 of a square that holds a face at any angle."""
    half = face[2:4].max() * 0.65
    return np.array([*(face[:2] - half), *(face[:2] + half)], np.float64)


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


def draw_mask(rng: np.random.Generator) -> NDArray[np.float32]:
    """A paste's opacity over its region, (48, 48) float32, 0 at the edge: box or ellipse."""
    axis = np.abs(np.linspace(-1, 1, MASK_PX))
    x, y = np.meshgrid(axis, axis)
    power = rng.choice([2.0, 2.6, 4.0, 30.0])
    away = (x**power + y**power) ** (1 / power)
    soft = rng.uniform(0.06, 0.3) if rng.random() < 0.7 else 0.02
    mask: NDArray[np.float32] = np.clip((1 - away) / soft, 0, 1).astype(np.float32)
    return mask


def similarity_matrix(turn: float, scale: float, mirror: bool = False) -> NDArray[np.float64]:
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
