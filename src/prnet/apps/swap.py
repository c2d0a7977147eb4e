"""One face's skin on another's shape, in the other's photo and light."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.draw.paint import draw_canvas
from prnet.face import Face
from prnet.geometry.sampling import push_pull
from prnet.landmarks import BROWS
from prnet.uv.atlas import MAP_SIZE, Atlas

ABOVE_BROWS = 12  # map pixels of the forehead that belong to what is swapped
EDGE = 12  # map pixels over which the pasted skin fades out, inside the face
STRETCH = (0.6, 1.3)  # by which the colors' spread may be changed
WORSE, AS_GOOD = 0.4, 0.8  # cosine to the view in the source's photo over that in the target's
CLEAR = 0.4  # cosine to the view from which on the photo shows skin alone
SEAM = 0.03  # of the face's size: how wide the strip is along which the pasted skin meets the photo
SEAM_SIZE, SEAM_BLUR = 64, 1.5  # side of the map of what it lacks there; its cells
STRAY_LEVELS = (35, 70)  # off the median, between which that comes to say nothing
USUAL_COUNT = 75  # percentile of the pixels in a cell from which it counts in full
SETTLE_S, FADE_S = 0.5, 3.0  # seconds over which that follows a video, and is forgotten when unseen


@dataclass(frozen=True, eq=False)
class Colors:
    """The colors of a face within the jaw line, in CIE L*a*b*.

    Attributes:
        mean: (3,) float.
        spread: (3,) float, standard deviations.
    """

    mean: NDArray[np.floating]
    spread: NDArray[np.floating]


def measure_colors(face: Face) -> Colors:
    """Take them from the face's photo, hidden skin as `Face.texture` completes it."""
    colors = face.texture(MAP_SIZE, complete=True)[..., :3].astype(np.float32) / 255
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)[_inner_face(face.atlas) > 0]
    return Colors(lab.mean(0), lab.std(0))


def swap_face(source: Face, target: Face) -> NDArray[np.uint8]:
    """Put a face's skin and eyes on another face, see `Swapper`.

    Args:
        source: With its photo.
        target: With its photo.

    Returns:
        (H, W, 3) uint8 RGB, the target's photo with the other face, a new array.

    Raises:
        ValueError: A face has no photo, or the two have different atlases.
    """
    return Swapper(source).draw(target)


class Swapper:
    """Puts one face's skin and eyes on others.

    The skin is drawn on the target's own shape and so has its pose and expression; its colors get
    the target's mean and spread, and along its edge it is shifted by the membrane that Poisson
    blending has (Farbman et al. 2009, here by push-pull). Hair, ears, neck, the inside of the mouth
    and whatever of the target's skin the viewer doesn't see stay as they are.

    Args:
        source: With its photo.

    Raises:
        ValueError: The face has no photo.
    """

    def __init__(self, source: Face) -> None:
        if source.image is None:
            raise ValueError("a face that is swapped needs its photo")
        self._source = source
        self._photos = [source.image]  # each half as large as the one before
        self._texture = source.texture(source.texture_size, complete=True)[..., :3]
        self._colors = measure_colors(source)
        self._facing = _facing(source)
        self._is_seen = source.atlas.spread(source.visibility).ravel()

    def draw(
        self,
        target: Face,
        colors: Colors | None = None,
        seam: "Seam | None" = None,
        seconds: float = np.inf,
    ) -> NDArray[np.uint8]:
        """Put it on a face.

        Args:
            target: With its photo.
            colors: Those that the target has; None to measure them.
            seam: Of the same face in the frames before; None for a photo.
            seconds: Since the last of them.

        Returns:
            (H, W, 3) uint8 RGB, the target's photo with the other face, a new array.

        Raises:
            ValueError: The target has no photo, or another atlas than the source.
        """
        source = self._source
        if target.image is None:
            raise ValueError("a face that is swapped needs its photo")
        if source.atlas.sha256 != target.atlas.sha256:
            raise ValueError("faces to swap must come from models of one atlas")
        picture = np.array(target.image)
        photo, shrunk = self._photo(source.pose.scale / target.pose.scale)
        places = (source.position_map.reshape(-1, 3)[:, :2] + 0.5) * shrunk - 0.5
        points = target.position_map.reshape(-1, 3)
        share = _fading_share(target.atlas).ravel()
        facing = _facing(target)
        values = np.column_stack([places, share, self._fitness(facing), facing])
        canvas = draw_canvas(target, points, values, picture.shape[:2], openings="eyes")
        opacity, fitness, facing = np.moveaxis(canvas.values[..., 2:], 2, 0)
        opacity = opacity * (canvas.is_skin | canvas.is_film)
        if not opacity.any():
            return picture
        seam = Seam() if seam is None else seam
        own = np.where(canvas.is_film, 1, fitness)[..., None]
        painted = canvas.look(photo) * own + canvas.sample(self._texture) * (1 - own)
        painted = _match_colors(painted, self._colors, colors or measure_colors(target))
        part = picture[canvas.rows, canvas.columns]
        is_clear = canvas.is_skin & (facing > CLEAR) & (fitness > CLEAR)
        is_clear = cv2.erode(is_clear.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        strip = _strip(opacity, is_clear)
        membrane = seam.see(part[strip] - painted[strip], canvas.uv[strip], seconds)
        pasted = part + (painted + canvas.sample(membrane) - part) * opacity[..., None]
        part[:] = np.rint(np.clip(pasted, 0, 255)).astype(np.uint8)
        return picture

    def _photo(self, ratio: float) -> tuple[NDArray[np.uint8], NDArray[np.floating]]:
        """The source's photo, not twice as fine as the target's; by how much x and y shrank."""
        level = max(int(np.log2(max(ratio, 1))), 0)
        while len(self._photos) <= level:
            height, width = (max(side // 2, 1) for side in self._photos[-1].shape[:2])
            half = cv2.resize(self._photos[-1], (width, height), interpolation=cv2.INTER_AREA)
            self._photos.append(np.asarray(half, np.uint8))
        photo = self._photos[level]
        return photo, np.divide(photo.shape[1::-1], self._photos[0].shape[1::-1])

    def _fitness(self, facing: NDArray[np.float32]) -> NDArray[np.float32]:
        """(M·M,) float32 in [0, 1]: where the source shows the skin as well as the target does.

        There its own pixels are the best; elsewhere its completed texture is.

        Args:
            facing: (M·M,) float32, of the target.
        """
        ratio = self._facing / np.maximum(facing, 1e-3)
        share = np.clip((ratio - WORSE) / (AS_GOOD - WORSE), 0, 1) * self._is_seen
        return np.asarray(share, np.float32)


@cache
def _inner_face(atlas: Atlas) -> NDArray[np.uint8]:
    """(M, M) uint8, 1 within the jaw line and a little above the brows: below most hair."""
    points = atlas.landmarks68_uv * MAP_SIZE
    brows = points[BROWS] - [0, ABOVE_BROWS]
    hull = cv2.convexHull(np.rint(np.concatenate([points, brows])).astype(np.int32))
    filled = cv2.fillConvexPoly(np.zeros((MAP_SIZE, MAP_SIZE), np.uint8), hull, 1)
    return np.asarray(filled, np.uint8)


def _fading_share(atlas: Atlas) -> NDArray[np.float32]:
    """(M, M) float32 in [0, 1]: how far each map pixel takes the other's skin; 0 past the face."""
    distance = cv2.distanceTransform(_inner_face(atlas), cv2.DIST_L2, 5)
    ramp = np.clip(distance / EDGE, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)


def _facing(face: Face) -> NDArray[np.float32]:
    """(M·M,) float32: cosine between normal and view, 0 off the chart."""
    facing = np.zeros(MAP_SIZE * MAP_SIZE, np.float32)
    facing[face.atlas.vertex_index] = face.view.normals[:, 2]
    return facing


def _match_colors(picture: NDArray[np.float32], own: Colors, wanted: Colors) -> NDArray[np.float32]:
    """Shift and stretch a picture's colors so that a face in it gets those wanted.

    In CIE L*a*b*, where light and complexion are apart (Reinhard et al. 2001).
    """
    stretch = np.clip(wanted.spread / np.maximum(own.spread, 1e-3), *STRETCH)
    lab = cv2.cvtColor(np.clip(picture / np.float32(255), 0, 1), cv2.COLOR_RGB2LAB)
    matched = ((lab - own.mean) * stretch + wanted.mean).astype(np.float32)
    return np.asarray(cv2.cvtColor(matched, cv2.COLOR_LAB2RGB) * 255, np.float32)


class Seam:
    """How a face's skin differs from what is pasted along the edge of that, frame by frame.

    It is kept by place on the face and fades slowly, so a strip that is seen no more, or narrowly,
    still counts and what is pasted doesn't flicker.
    """

    def __init__(self) -> None:
        self._difference = np.zeros((SEAM_SIZE, SEAM_SIZE, 3), np.float32)
        self._weight = np.zeros((SEAM_SIZE, SEAM_SIZE), np.float32)

    def see(
        self, difference: NDArray[np.float32], uv: NDArray[np.float32], seconds: float
    ) -> NDArray[np.float32]:
        """Take a frame in.

        Args:
            difference: (N, 3) float32, levels of the strip's pixels.
            uv: (N, 2) float32 in [0, 1], where they are on the face.
            seconds: Since the frame before; infinite at the first.

        Returns:
            (SEAM_SIZE, SEAM_SIZE, 3) float32 in UV space: the differences' smooth continuation to
            all of the face, the membrane.
        """
        # hair, and the shadow of it, isn't skin in another light
        off = np.abs(difference - np.median(difference, 0)).max(1) if len(difference) else 0
        low, high = STRAY_LEVELS
        own = np.clip((high - off) / (high - low), 0, 1)
        column, row = np.clip((uv * SEAM_SIZE).astype(int), 0, SEAM_SIZE - 1).T
        cell, cells = row * SEAM_SIZE + column, SEAM_SIZE * SEAM_SIZE
        count, *sums = (
            np.bincount(cell, own * values, minlength=cells) for values in (1, *difference.T)
        )
        mean = np.stack(sums, 1) / np.maximum(count, 1e-6)[:, None]
        # a cell counts by how much of it is seen
        usual = np.percentile(count[count > 0], USUAL_COUNT) if count.any() else 1
        weight = np.minimum(count / usual, 1).reshape(self._weight.shape).astype(np.float32)
        self._weight *= np.exp(-seconds / FADE_S)
        gain = 1 - self._weight / np.maximum(weight, 1e-6)
        share = np.maximum(1 - np.exp(-seconds / SETTLE_S), gain) * (weight > 0)
        self._difference += share[..., None] * (mean.reshape(*weight.shape, 3) - self._difference)
        self._weight = np.maximum(self._weight, weight)
        membrane = push_pull(self._difference * self._weight[..., None], self._weight)
        # the mean over the strip, not its detail: a photo's noise would run into the face
        return np.asarray(cv2.GaussianBlur(membrane, (0, 0), SEAM_BLUR), np.float32)


def _strip(opacity: NDArray[np.float32], is_clear: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(h, w) bool: just around the pasted skin, where the photo shows skin alone.

    What is past the photo's border is unknown, and so doesn't count; nor does the silhouette, where
    the photo's skin is mixed with its background, or skin that the source's photo doesn't show.
    """
    width = max(int(SEAM * np.sqrt(opacity.size)), 1) * 2 + 1
    inside = (opacity > 0.5).astype(np.uint8)
    around = cv2.dilate(inside, np.ones((width, width), np.uint8)) > inside
    return np.asarray(around & is_clear, np.bool_)
