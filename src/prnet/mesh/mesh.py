"""A textured triangle mesh, whatever it shows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.sampling import all_finite, sample_bilinear
from prnet.geometry.surface import check_mesh

NO_STEP = 1e-3  # of a texel: so near to its center it is the texel's own color


@dataclass(frozen=True, eq=False)
class Mesh:
    """What a mesh file holds.

    Attributes:
        vertices: (V, 3) float32, metres, y up, z toward the viewer.
        triangles: (T, 3) int32, counter-clockwise seen from outside.
        uv: (V, 2) float32 in [0, 1], u right, v down from the texture's upper edge.
        texture: (S, S, 3) uint8 RGB.
        normals: (V, 3) float32 of length 1, outward.

    Raises:
        ValueError: Another shape or type, numbers that aren't finite, or a triangle of vertices
            that aren't there.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float32]
    texture: NDArray[np.uint8]
    normals: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check what was given."""
        count, size = len(self.vertices), len(self.texture)
        expected = {
            "vertices": ((count, 3), np.float32),
            "triangles": ((len(self.triangles), 3), np.int32),
            "uv": ((count, 2), np.float32),
            "texture": ((size, size, 3), np.uint8),
            "normals": ((count, 3), np.float32),
        }
        for name, (shape, dtype) in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {shape} {np.dtype(dtype)}, got {array.shape} {array.dtype}"
                )
            if array.dtype == np.float32 and not all_finite(array):
                raise ValueError(f"{name} must be finite, got NaN or infinity")
        check_mesh(self.vertices, self.triangles)

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """(V, 3) uint8 RGB, the texture at the vertices, bilinear."""
        size = len(self.texture)
        places = self.uv.astype(np.float64) * size - 0.5
        pixels = np.rint(places)
        if np.abs(places - pixels).max(initial=0) < NO_STEP:  # a tenth of the time
            columns, rows = np.clip(pixels, 0, size - 1).astype(np.intp).T
            return self.texture.reshape(-1, 3).take(rows * size + columns, 0)
        return np.rint(sample_bilinear(self.texture, places)).astype(np.uint8)
