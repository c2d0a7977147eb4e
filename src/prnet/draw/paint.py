"""Points of the map → where and how a picture shows them: what textures are drawn with."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.bands import rasterize_bands
from prnet.geometry.surface import front_triangles
from prnet.uv.openings import film_triangles


@dataclass(frozen=True)
class Canvas:
    """The part of a picture where a mesh of map pixels shows.

    Attributes:
        rows: Of the picture.
        columns: Of the picture.
        uv: (h, w, 2) float32 in [0, 1], the map's place that each pixel of the part shows.
        values: (h, w, D) float32, what was given at the points.
        is_skin: (h, w) bool.
        is_film: (h, w) bool, true in openings.
    """

    rows: slice
    columns: slice
    uv: NDArray[np.float32]
    values: NDArray[np.float32]
    is_skin: NDArray[np.bool_]
    is_film: NDArray[np.bool_]

    def sample(self, texture: NDArray[np.generic]) -> NDArray[np.float32]:
        """Read an (S, S, …) texture bilinearly at what the pixels show: (h, w, …) float32."""
        size = np.float32(len(texture))
        return _remap(np.asarray(texture, np.float32), self.uv * size - np.float32(0.5))

    def look(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Read a photo where `values`, x and y in its pixels first, say: (h, w, 3) float32."""
        return _remap(photo.astype(np.float32), self.values[..., :2])


def _remap(picture: NDArray[np.float32], xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Read a picture bilinearly, past its border the border's color."""
    x, y = cv2.split(xy)
    drawn = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.float32)


def draw_canvas(
    face: Face,
    points: NDArray[np.floating],
    values: NDArray[np.floating],
    shape_hw: tuple[int, int],
    openings: str | None = None,
) -> Canvas:
    """Find what each pixel of a picture shows of a face.

    Args:
        face: For its atlas.
        points: (M·M, 3) float, the map's pixels in the picture: x, y down, z toward the viewer.
        values: (M·M, D) float, to be interpolated.
        shape_hw: The picture's height and width.
        openings: Those that a film closes, as `film_triangles` names them; None for none.

    Returns:
        The canvas; its rows and columns are empty if the picture doesn't show the face.
    """
    atlas = face.atlas
    side = len(face.position_map)
    skin = front_triangles(points, atlas.vertex_index[face.triangles])
    film: NDArray[np.integer] = np.empty((0, 3), np.int64)
    if openings is not None:
        film = front_triangles(points, film_triangles(atlas, openings))
    triangles = np.concatenate([skin, film])
    uv = (np.indices((side, side))[::-1].reshape(2, -1).T + 0.5) / side
    spread = np.column_stack([uv, values])
    height, width = shape_hw
    x0, y0 = np.clip(np.floor(points[:, :2].min(0)), 0, [width, height]).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(points[:, :2].max(0)) + 1, 0, [width, height]).astype(int).tolist()
    drawn = np.zeros((y1 - y0, x1 - x0, spread.shape[1]), np.float32)
    kind = np.zeros(drawn.shape[:2], np.uint8)
    for rows, columns, raster in rasterize_bands(points, triangles, shape_hw):
        part = slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0)
        drawn[part] = raster.interpolate(spread, triangles)
        kind[part] = np.where(raster.triangle >= len(skin), 2, raster.is_covered)
    return Canvas(
        slice(y0, y1), slice(x0, x1), drawn[..., :2], drawn[..., 2:], kind == 1, kind == 2
    )
