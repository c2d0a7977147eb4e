"""The atlas: the fixed UV space that says which map pixel is which point of a face."""

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import ModelFileError
from prnet.files import write_aside
from prnet.geometry.pose import PoseFit
from prnet.geometry.sampling import A, read_only, sample_map
from prnet.landmarks import NOSE_BASE
from prnet.uv.chart import coarser_triangles

if sys.version_info >= (3, 11):
    from importlib.resources.abc import Traversable
else:
    from importlib.abc import Traversable


# a Path where the package lies in a folder; where it lies in a zip, what reads from that
EMBEDDED_FOLDER = resources.files("prnet") / "assets" / "lite"
ATLAS_FILE = "atlas.npz"
MAP_SIZE = 256  # side of every finished position map, as in the paper

MOST_BEND_CM = 0.03  # that coarse triangles leave out

# region of a pixel → its name; the order is that of the file
REGIONS = ("outside", "neck", "ears", "face", "eye_nose_mouth", "keypoint")
OUTSIDE, NECK, EARS, FACE, EYE_NOSE_MOUTH, KEYPOINT = range(len(REGIONS))
# weight of a region in the loss, paper section 3.3: 16 : 4 : 3 : 0; ears count as rest of the face
REGION_WEIGHTS = np.array([0, 0, 3, 3, 4, 16], np.float32)


@dataclass(frozen=True, eq=False)
class Atlas:
    """One UV space; M = 256 is the side of its maps. Its arrays can't be written into.

    The atlas inside the package pickles as its name; any other with all that is in it.

    Attributes:
        region: (M, M) uint8, index into REGIONS.
        vertex_index: (V,) int32, flat map index (row · M + column) of each vertex, in vertex order.
        triangles: (T, 3) int32, indices of vertices; counter-clockwise seen from outside with y up.
        landmarks68_uv: (68, 2) float32 in [0, 1], u right, v down: the iBUG points, sub-pixel.
        canonical_map: (M, M, 3) float32, canonical frame (cm, x to the subject's left, y up, z out
            of the face): the mean face as a position map, complete over holes and border.
    """

    region: NDArray[np.uint8]
    vertex_index: NDArray[np.int32]
    triangles: NDArray[np.int32]
    landmarks68_uv: NDArray[np.float32]
    canonical_map: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that the parts fit each other; raises ValueError naming the one that doesn't."""
        for field in fields(self):  # views, so that the caller may go on writing into their own
            object.__setattr__(self, field.name, read_only(getattr(self, field.name).view()))
        side = MAP_SIZE
        expected = {
            "region": (side, side),
            "landmarks68_uv": (68, 2),
            "canonical_map": (side, side, 3),
            "vertex_index": (len(self.vertex_index),),
            "triangles": (len(self.triangles), 3),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")
        if self.vertex_index.min() < 0 or self.vertex_index.max() >= side * side:
            raise ValueError(f"vertex_index must lie in a {side}×{side} map")
        if self.triangles.min() < 0 or self.triangles.max() >= len(self.vertex_index):
            raise ValueError(f"triangles must index the {len(self.vertex_index)} vertices")

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """(M, M) bool, true at the pixels that are vertices."""
        mask = np.zeros(MAP_SIZE * MAP_SIZE, bool)
        mask[self.vertex_index] = True
        return read_only(mask.reshape(MAP_SIZE, MAP_SIZE))

    @cached_property
    def _places(self) -> NDArray[np.bool_] | NDArray[np.int32]:
        """Indices of the vertices' pixels; where they are in order the mask, which is quicker."""
        is_in_order = (np.diff(self.vertex_index) > 0).all()
        return self.mask.ravel() if is_in_order else self.vertex_index

    @cached_property
    def vertices_uv(self) -> NDArray[np.float32]:
        """(V, 2) float32 in [0, 1], u right, v down: the pixel centres of the vertices."""
        rows, columns = np.divmod(self.vertex_index, MAP_SIZE)
        return read_only(((np.stack([columns, rows], 1) + 0.5) / MAP_SIZE).astype(np.float32))

    @cached_property
    def coarse_triangles(self) -> NDArray[np.int32]:
        """(F, 3) int32, fewer, within a fraction of a millimeter of the mean face's surface."""
        surface = self.canonical_map, MOST_BEND_CM
        return read_only(coarser_triangles(self.triangles, self.vertex_index, *surface))

    @cached_property
    def canonical_vertices(self) -> NDArray[np.float32]:
        """(V, 3) float32, canonical frame: the mean face."""
        return read_only(self.canonical_map.reshape(-1, 3)[self.vertex_index])

    @cached_property
    def rigid_vertices(self) -> NDArray[np.int64]:
        """(R,) int64, vertices that expression hardly moves: the face above the nose's base."""
        nose_base = sample_map(self.canonical_map, self.landmarks68_uv[NOSE_BASE : NOSE_BASE + 1])[
            0, 1
        ]
        region = self.region.ravel()[self.vertex_index]
        is_face = (region == FACE) | (region == EYE_NOSE_MOUTH) | (region == KEYPOINT)
        return read_only(np.flatnonzero(is_face & (self.canonical_vertices[:, 1] > nose_base)))

    @cached_property
    def vertex_shares(self) -> NDArray[np.float32]:
        """(M·M,) float32, 1 / V at each vertex's pixel: a map times these is its vertices' mean."""
        shares = np.bincount(self.vertex_index, minlength=MAP_SIZE * MAP_SIZE)
        return read_only((shares / len(self.vertex_index)).astype(np.float32))

    @cached_property
    def pose_fit(self) -> PoseFit:
        """Photo points (R, 3) of `rigid_vertices` → the pose that takes the mean face to them."""
        return PoseFit(self.canonical_vertices[self.rigid_vertices])

    @cached_property
    def pose_weights(self) -> tuple[slice, NDArray[np.float32]]:
        """What `pose_fit` needs of a map: its pixels from … to, P of them, and (4, P) float32.

        These times those are the moments of `rigid_vertices`.
        """
        pixels = self.vertex_index[self.rigid_vertices]
        span = slice(int(pixels.min()), int(pixels.max()) + 1)
        weights = np.zeros((4, span.stop - span.start), np.float32)
        weights[:, pixels - span.start] = self.pose_fit.weights
        return span, read_only(weights)

    @cached_property
    def landmark_reads(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How the 68 points are read off a map, between its pixels.

        (68, 4) int64 flat map indices, and (68, 1, 4) float64 how much each of these counts.
        """
        xy = np.clip(self.landmarks68_uv.astype(np.float64) * MAP_SIZE - 0.5, 0, MAP_SIZE - 1)
        x, y = np.minimum(xy.astype(np.int64), MAP_SIZE - 2).T
        right, down = (xy - np.stack([x, y], 1)).T
        first = MAP_SIZE * y + x
        pixels = np.stack([first, first + 1, first + MAP_SIZE, first + MAP_SIZE + 1], 1)
        shares = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
        return read_only(pixels), read_only(np.stack(shares, 1)[:, None])

    @cached_property
    def sha256(self) -> str:
        """Hash of all that is in the atlas; a network carries that of the atlas it learned on."""
        digest = hashlib.sha256()
        for field in fields(self):
            digest.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Callable[..., "Atlas"], tuple[object, ...]]:
        """How it pickles."""
        if self is embedded_atlas() or self.sha256 == embedded_atlas().sha256:
            return embedded_atlas, ()
        return Atlas, tuple(np.array(getattr(self, field.name)) for field in fields(self))

    def spread(self, values: A) -> A:
        """Put (V, …) values where their vertices lie in the map: (M, M, …), 0 outside the chart."""
        spread = np.zeros((MAP_SIZE * MAP_SIZE, *values.shape[1:]), values.dtype)
        spread[self._places] = values
        return spread.reshape(MAP_SIZE, MAP_SIZE, *values.shape[1:])  # type: ignore[return-value]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the atlas as .npz, all or nothing; equal atlases give equal bytes."""
        with write_aside(Path(path)) as aside, aside.open("wb") as stream:
            np.savez(stream, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str] | Traversable) -> "Atlas":
        """Read an atlas that `save` wrote.

        Raises:
            ModelFileError: The file is missing, or not an atlas.
        """
        try:
            file = Path(path) if isinstance(path, str | os.PathLike) else path
            with file.open("rb") as stream, np.load(stream) as arrays:
                return cls(**{f.name: arrays[f.name] for f in fields(cls)})
        except FileNotFoundError:
            raise ModelFileError(f"{path}: no such atlas; a model folder needs one") from None
        except Exception as error:  # NumPy may fail in any way on a damaged file
            raise ModelFileError(
                f"{path}: not a prnet atlas ({error}); rebuild it with `prnet data atlas`"
            ) from error


@cache
def embedded_atlas() -> Atlas:
    """The atlas of the model folder inside the package."""
    return Atlas.load(EMBEDDED_FOLDER / ATLAS_FILE)
