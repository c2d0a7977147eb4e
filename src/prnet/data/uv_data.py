"""PRNet's own UV space, the folder `Data/uv-data` of its repository → the atlas.

Of its files these are read; M is 256, and a pixel's flat index is row · M + column:

    face_ind.txt            (V,) flat indices of the pixels that are vertices
    triangles.txt           (T, 3) vertices of each triangle
    uv_kpt_ind.txt          (2, 68) columns, then rows, of the iBUG points
    canonical_vertices.npy  (V, 3) a mean face: x right, y down, z toward the viewer, in no unit
    uv_weight_mask.png      (M, M) gray: 255 at key points, 64 on eyes, nose and mouth, 48 elsewhere
"""

import os
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import ImageReadError, LabelError
from prnet.files import read_text
from prnet.image.read import read_image
from prnet.landmarks import (
    CHIN,
    JAW_ENDS,
    LEFT_EYE_OUTER,
    NOSE_BRIDGE,
    NOSE_TIP,
    RIGHT_EYE_OUTER,
)
from prnet.uv.atlas import EYE_NOSE_MOUTH, FACE, KEYPOINT, MAP_SIZE, NECK, OUTSIDE, Atlas
from prnet.uv.chart import nearest_covered

VERTICES, TRIANGLES, LANDMARKS68, CANONICAL, WEIGHTS = (
    "face_ind.txt",
    "triangles.txt",
    "uv_kpt_ind.txt",
    "canonical_vertices.npy",
    "uv_weight_mask.png",
)
FILES = (VERTICES, TRIANGLES, LANDMARKS68, CANONICAL, WEIGHTS)
# gray value of the weight mask → region; the mask was smoothed a little, so the nearest one counts
GRAYS = np.array([0, 48, 64, 255])
REGION_OF_GRAY = np.array([OUTSIDE, FACE, EYE_NOSE_MOUTH, KEYPOINT], np.uint8)
# between the outer corners of the eyes; an adult's is 8 to 10, ICT's mean face has 8.75
OUTER_EYES_CM = 8.75


def load_uv_data(folder: str | os.PathLike[str]) -> Atlas:
    """Read PRNet's UV space.

    Args:
        folder: With the files that the module's docstring lists.

    Returns:
        Atlas with the vertices in the files' order. The mean face is scaled to the size of an
        adult's and centred; there are no ears of their own, and the neck has no vertices.

    Raises:
        LabelError: A file is missing, damaged or doesn't fit the others.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise LabelError(
            f"{folder}: no {', '.join(missing)}; it must be a copy of Data/uv-data from PRNet's "
            "repository"
        )
    vertex_index = _indices(folder / VERTICES, (-1, 1), MAP_SIZE**2)[:, 0]
    if len(np.unique(vertex_index)) < len(vertex_index):
        raise LabelError(f"{folder / VERTICES}: names a pixel twice")
    triangles = _indices(folder / TRIANGLES, (-1, 3), len(vertex_index))
    columns, rows = _indices(folder / LANDMARKS68, (2, 68), MAP_SIZE)
    is_vertex = np.zeros((MAP_SIZE, MAP_SIZE), bool)
    is_vertex.flat[vertex_index] = True
    if not is_vertex[rows, columns].all():
        raise LabelError(f"{folder / LANDMARKS68}: has points off the face of {VERTICES}")
    canonical = np.zeros((MAP_SIZE**2, 3))
    canonical[vertex_index] = _canonical(folder / CANONICAL, len(vertex_index))
    canonical = canonical[nearest_covered(is_vertex)[0]]
    try:
        canonical = _in_cm(canonical, canonical[rows, columns], is_vertex)
    except ValueError as error:
        raise LabelError(f"{folder / CANONICAL}: {error}") from error
    return Atlas(
        region=_regions(folder / WEIGHTS, is_vertex),
        vertex_index=vertex_index,
        triangles=_wind(triangles, vertex_index),
        landmarks68_uv=((np.stack([columns, rows], 1) + 0.5) / MAP_SIZE).astype(np.float32),
        canonical_map=canonical.astype(np.float32),
    )


def _indices(path: Path, shape: tuple[int, int], limit: int) -> NDArray[np.int32]:
    """Whole numbers below `limit` from a text file; −1 in the shape stands for any length."""
    try:
        values = np.loadtxt(StringIO(read_text(path)), ndmin=2)
    except (OSError, ValueError) as error:
        raise LabelError(f"{path}: not a table of numbers ({error})") from error
    if not all(want in (-1, got) for want, got in zip(shape, values.shape, strict=True)):
        wanted = " × ".join("any" if want < 0 else str(want) for want in shape)
        raise LabelError(f"{path}: must hold {wanted} numbers, got {values.shape}")
    if not ((values >= 0) & (values < limit) & (values == np.rint(values))).all():
        raise LabelError(f"{path}: must hold whole numbers from 0 to {limit - 1}")
    return values.astype(np.int32)


def _canonical(path: Path, count: int) -> NDArray[np.float64]:
    """The mean face's vertices (V, 3), as the file has them."""
    try:
        vertices = np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy may fail in any way on a damaged file
        raise LabelError(f"{path}: not an array file ({error})") from error
    if vertices.shape != (count, 3) or not np.isfinite(vertices).all():
        raise LabelError(
            f"{path}: must hold ({count}, 3) finite numbers, as many as {VERTICES} has pixels, "
            f"got {vertices.shape}"
        )
    return np.asarray(vertices, np.float64)


def _in_cm(
    canonical_map: NDArray[np.float64],
    landmarks68: NDArray[np.float64],
    is_vertex: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Bring the mean face from PRNet's frame to the canonical one, centred on its vertices.

    Raises:
        ValueError: It is no face that looks along z, upright, its left on the right.
    """
    flip = np.array([1, -1, 1])
    left_eye_from_right, nose_from_jaw, bridge_from_chin = (
        landmarks68[LEFT_EYE_OUTER] - landmarks68[RIGHT_EYE_OUTER],
        landmarks68[NOSE_TIP] - landmarks68[list(JAW_ENDS)].mean(0),
        (landmarks68[NOSE_BRIDGE] - landmarks68[CHIN]) * flip,
    )
    if left_eye_from_right[0] <= 0 or bridge_from_chin[1] <= 0 or nose_from_jaw[2] <= 0:
        raise ValueError("must be a face with x to the right, y down and z toward the viewer")
    centre = canonical_map[is_vertex].mean(0)
    scale = OUTER_EYES_CM / np.linalg.norm(left_eye_from_right)
    return np.asarray((canonical_map - centre) * flip * scale)


def _regions(path: Path, is_vertex: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Region of every pixel, (M, M) uint8: what the mask weights off the face is the neck."""
    try:
        gray = read_image(path)[..., 0]
    except ImageReadError as error:
        raise LabelError(str(error)) from error
    if gray.shape != is_vertex.shape:
        raise LabelError(f"{path}: must be {MAP_SIZE} × {MAP_SIZE} pixels, got {gray.shape}")
    nearest = np.abs(gray[..., None].astype(int) - GRAYS).argmin(-1)
    region: NDArray[np.uint8] = REGION_OF_GRAY[nearest]
    region[~is_vertex & (region != OUTSIDE)] = NECK
    return region


def _wind(triangles: NDArray[np.int32], vertex_index: NDArray[np.int32]) -> NDArray[np.int32]:
    """Turn every triangle counter-clockwise as the atlas wants it.

    The map shows the face unmirrored, so what is counter-clockwise in it (with v up) is so on the
    face seen from outside.
    """
    rows, columns = np.divmod(vertex_index[triangles], MAP_SIZE)
    x, y = columns - columns[:, :1], rows[:, :1] - rows
    is_clockwise = x[:, 1] * y[:, 2] - x[:, 2] * y[:, 1] < 0
    return np.where(is_clockwise[:, None], triangles[:, ::-1], triangles)
