"""One face's skin on another's shape, in the other's photo and light."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.draw.paint import draw_canvas
from prnet.face import Face
from prnet.geometry.sampling import push_pull
from prnet.landmarks import BROWS
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.visibility import vertices_facing

ABOVE_BROWS = 12  # map pixels of the forehead that belong to what is swapped
EDGE = 12  # map pixels over which the pasted skin fades out, inside the face
STRETCH = (0.6, 1.3)  # by which the colors' spread may be changed
WORSE, AS_GOOD = 0.4, 0.8  # cosine to the view in the source's photo over that in the target's
CLEAR = 0.4  # cosine to the view from which on the photo shows skin alone
SEAM = 0.03  # of the face's size: how wide the strip is along which the pasted skin meets the photo


def swap_face(source: Face, target: Face) -> NDArray[np.uint8]:
    """Put a face's skin and eyes on another face.

    The skin is drawn on the target's own shape and so has its pose and expression; its colors get
    the target's mean and spread, and along its edge it is shifted by the membrane that Poisson
    blending has (Farbman et al. 2009, here by push-pull). Hair, ears, neck, the inside of the mouth
    and whatever of the target's skin the viewer doesn't see stay as they are.

    Args:
        source: With its photo.
        target: With its photo.

    Returns:
        (H, W, 3) uint8 RGB, the target's photo with the other face, a new array.

    Raises:
        ValueError: A face has no photo, or the two have different atlases.
    """
    if source.image is None or target.image is None:
        raise ValueError("a face that is swapped needs its photo")
    if source.atlas.sha256 != target.atlas.sha256:
        raise ValueError("faces to swap must come from models of one atlas")
    picture = np.array(target.image)
    places = source.position_map.reshape(-1, 3)[:, :2]
    points = target.position_map.reshape(-1, 3)
    share = _fading_share(target.atlas).ravel()
    facing, fitness = _facing(target), _fitness(source, target)
    values = np.column_stack([places, share, fitness, facing])
    canvas = draw_canvas(target, points, values, picture.shape[:2], openings="eyes")
    opacity, fitness, facing = np.moveaxis(canvas.values[..., 2:], 2, 0)
    opacity = opacity * (canvas.is_skin | canvas.is_film)
    if not opacity.any():
        return picture
    texture = source.texture(max(source.texture_size, target.texture_size), complete=True)
    own = np.where(canvas.is_film, 1, fitness)[..., None]
    painted = canvas.look(source.image) * own + canvas.sample(texture[..., :3]) * (1 - own)
    painted = _match_color(painted, source, target)
    part = picture[canvas.rows, canvas.columns]
    is_clear = canvas.is_skin & (facing > CLEAR) & (fitness > CLEAR)
    is_clear = cv2.erode(is_clear.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    part[:] = _blend(part, painted, opacity, is_clear)
    return picture


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


def _fitness(source: Face, target: Face) -> NDArray[np.float32]:
    """(M·M,) float32 in [0, 1]: where the source's photo shows the skin as well as the target's.

    There its own pixels are the best; elsewhere its completed texture is.
    """
    ratio = _facing(source) / np.maximum(_facing(target), 1e-3)
    is_seen = np.zeros(MAP_SIZE * MAP_SIZE, bool)
    is_seen[source.atlas.vertex_index] = source.visibility
    return np.asarray(np.clip((ratio - WORSE) / (AS_GOOD - WORSE), 0, 1) * is_seen, np.float32)


def _facing(face: Face) -> NDArray[np.float32]:
    """(M·M,) float32: cosine between normal and view, 0 off the chart."""
    facing = np.zeros(MAP_SIZE * MAP_SIZE, np.float32)
    facing[face.atlas.vertex_index] = vertices_facing(face.vertices, face.triangles)
    return facing


def _match_color(picture: NDArray[np.float32], source: Face, target: Face) -> NDArray[np.float32]:
    """Shift and stretch a picture's colors so that the source's face is as the target's.

    In CIE L*a*b*, where light and complexion are apart (Reinhard et al. 2001).
    """
    is_inner = _inner_face(source.atlas) > 0

    def spread(face: Face) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Mean and standard deviation of the inner face's colors."""
        colors = face.texture(MAP_SIZE, complete=True)[..., :3].astype(np.float32) / 255
        lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)[is_inner]
        return lab.mean(0), lab.std(0)

    (own_mean, own_spread), (mean, wanted) = spread(source), spread(target)
    stretch = np.clip(wanted / np.maximum(own_spread, 1e-3), *STRETCH)
    lab = cv2.cvtColor(np.clip(picture / np.float32(255), 0, 1), cv2.COLOR_RGB2LAB)
    matched = ((lab - own_mean) * stretch + mean).astype(np.float32)
    return np.asarray(cv2.cvtColor(matched, cv2.COLOR_LAB2RGB) * 255, np.float32)


def _blend(
    photo: NDArray[np.uint8],
    painted: NDArray[np.float32],
    opacity: NDArray[np.float32],
    is_clear: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Lay the painted face over the photo, shifted smoothly so that they meet along the edge.

    What is past the photo's border is unknown, and so doesn't pull; nor does the silhouette, where
    the photo's skin is mixed with its background, or skin that the source's photo doesn't show.
    """
    own = photo.astype(np.float32)
    width = max(int(SEAM * np.sqrt(opacity.size)), 1) * 2 + 1
    inside = (opacity > 0.5).astype(np.uint8)
    ring = (cv2.dilate(inside, np.ones((width, width), np.uint8)) > inside) & is_clear
    known = ring.astype(np.float32)
    membrane = push_pull((own - painted) * known[..., None], known)
    # the mean over the strip, not its detail: a photo's noise would run into the face
    smooth = cv2.GaussianBlur(membrane, (0, 0), width / 2)
    result = own + (painted + smooth - own) * opacity[..., None]
    return np.rint(np.clip(result, 0, 255)).astype(np.uint8)
