"""One face of a photo: its position map, and everything that is read off it."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prnet.geometry.bands import rasterize_bands
from prnet.geometry.pose import Pose, flip_y
from prnet.geometry.sampling import read_only
from prnet.geometry.surface import front_triangles
from prnet.mesh.mesh import Mesh
from prnet.morphable.blendshapes import HeadCoefficients, fit_blendshapes
from prnet.morphable.head_model import embedded_head
from prnet.uv import position_map as maps
from prnet.uv.atlas import MAP_SIZE, Atlas, embedded_atlas
from prnet.uv.complete import complete_face
from prnet.uv.outline import meet_outline
from prnet.uv.texture import fitting_size, sample_photo, sample_texture
from prnet.uv.topology import Topology
from prnet.uv.visibility import MeshView

if TYPE_CHECKING:
    from prnet.head.head import Head

CM_PER_METRE = 100
DECIMALS, WEIGHT_DECIMALS = 6, 4  # of a record's numbers, and of its expression weights


@dataclass(frozen=True, eq=False)
class Face:
    """A face in the photo frame: pixels, x right, y down, centres at integers, z toward the viewer.

    What is derived is worked out when first asked for and kept; those arrays are read-only, copy
    them to change them. Nothing here ever writes into the position map, the box or the photo.

    Attributes:
        given_map: `position_map`, or what it is drawn from when it is first asked for.
        atlas: The UV space of the map.
        box: (4,) float32, x0 y0 x1 y1 in pixels, tight around the face's landmarks: what was
            reconstructed.
        score: In [0, 1], how far to trust it. From a network with a confidence, as the one in the
            package, what it expects of exp(−NME / 5 %): about 0.7 for a usual face, near 0 where
            there is none. From others the detector's score, 1 for boxes given by hand.
        image: (H, W, 3) uint8 RGB, the whole photo. Shared, not copied: leave it as it is. None for
            a face without its photo, which has no colors and no texture.
        detection_score: In [0, 1], how sure the detector was; None for boxes given by hand.
    """

    given_map: maps.PositionMap = field(repr=False)
    atlas: Atlas = field(repr=False)
    box: NDArray[np.float32]
    score: float
    image: NDArray[np.uint8] | None = field(default=None, repr=False)
    detection_score: float | None = None

    def __post_init__(self) -> None:
        """Check the parts; raises ValueError naming the one that is wrong."""
        maps.check_map(self.given_map, self.atlas)
        image = self.image
        if image is not None and (image.shape[2:] != (3,) or image.dtype != np.uint8):
            raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
        if np.shape(self.box) != (4,):
            raise ValueError(f"box must be x0 y0 x1 y1, got shape {np.shape(self.box)}")

    def __getstate__(self) -> dict[str, object]:
        """What pickles: the parts, not what was worked out of them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def without_image(self) -> "Face":
        """The same face without its photo, which needn't stay in memory then."""
        return replace(self, image=None)

    def to_record(self, with_map: bool = True) -> dict[str, Any]:
        """Say in plain lists and numbers, as JSON has them, what the face is; not its photo.

        Args:
            with_map: Also `position_map`, base64 of its float32, little-endian, row by row (1 MB);
                what `from_record` makes the face of.

        Returns:
            `box`, `score`, `detection_score`, `pose` (`yaw`, `pitch`, `roll`, `scale`, `rotation`,
            `translation`), `landmarks68`, `expression` (None in another UV space than the
            package's) and `atlas`, its hash; frames and units as here.
        """
        names = "yaw", "pitch", "roll", "scale", "rotation", "translation"
        detected = self.detection_score
        record: dict[str, Any] = {
            "box": _plain(self.box),
            "score": _plain(self.score),
            "detection_score": None if detected is None else _plain(detected),
            "pose": {name: _plain(getattr(self.pose, name)) for name in names},
            "landmarks68": _plain(self.landmarks68),
            "expression": None,
            "atlas": self.atlas.sha256,
        }
        if self.has_head:
            weights = self.expression.items()
            record["expression"] = {name: round(each, WEIGHT_DECIMALS) for name, each in weights}
        if with_map:
            record["position_map"] = base64.b64encode(self.position_map.astype("<f4").data).decode()
        return record

    @classmethod
    def from_record(
        cls,
        record: Mapping[str, Any],
        atlas: Atlas | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> "Face":
        """Make a face of what `to_record` said, or `prnet reconstruct --position-map` wrote.

        Args:
            record: With the position map in it; or an entry of `faces` in a `<name>.json`.
            atlas: The one that the face was made with; None for the one in the package.
            folder: Of that `<name>.json`, where the position map's own file is.

        Returns:
            The face without its photo.

        Raises:
            ValueError: Not such a record, without its position map, or of another atlas.
            OSError: The position map's file can't be read.
        """
        atlas = embedded_atlas() if atlas is None else atlas
        try:
            if record["atlas"] != atlas.sha256:
                raise ValueError(f"made with another atlas, {record['atlas'][:12]}…; give that one")
            if "position_map" in record:
                content = base64.b64decode(record["position_map"], validate=True)
                flat = np.frombuffer(content, "<f4").astype(np.float32)
                position_map = flat.reshape(MAP_SIZE, MAP_SIZE, 3)
            elif folder is not None and "position_map" in record["files"]:
                position_map = np.load(Path(folder) / record["files"]["position_map"])
            else:
                raise ValueError("it holds no position map (`prnet reconstruct --position-map`)")
            box = np.array(record["box"], np.float32)
            score, detected = float(record["score"]), record["detection_score"]
            return cls(position_map, atlas, box, score, detection_score=detected)
        except (KeyError, TypeError, ValueError, EOFError) as error:
            raise ValueError(f"not a face's record: {error}") from error

    @cached_property
    def position_map(self) -> NDArray[np.float32]:
        """(256, 256, 3) float32, photo frame, z = 0 at the mean of the vertices."""
        return maps.draw(self.given_map)

    @cached_property
    def vertices(self) -> NDArray[np.float32]:
        """(V, 3) float32, photo frame: the mesh."""
        return read_only(maps.decode_vertices(self.position_map, self.atlas))

    @property
    def triangles(self) -> NDArray[np.int32]:
        """(T, 3) int32, indices of vertices; counter-clockwise from outside once y points up."""
        return self.atlas.triangles

    @cached_property
    def landmarks68(self) -> NDArray[np.float32]:
        """(68, 3) float32, photo frame: the iBUG points as in 300W-LP, jaw on the 3D outline."""
        return read_only(maps.decode_landmarks68(self.given_map, self.atlas))

    @cached_property
    def pose(self) -> Pose:
        """Canonical frame → photo frame, fitted over what expression hardly moves."""
        return maps.fit_pose(self.given_map, self.atlas)

    @cached_property
    def view(self) -> MeshView:
        """The mesh as the viewer sees it: its normals, and how far from an outline it is seen."""
        return MeshView(self.vertices, self.triangles, self.atlas.coarse_triangles)

    @cached_property
    def visibility(self) -> NDArray[np.bool_]:
        """(V,) bool, true where a vertex faces the viewer and no part of the face hides it."""
        return read_only(self.view.is_visible)

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """(V, 3) uint8 RGB, the photo at each vertex, bilinear; beyond its edge, the edge's color.

        A hidden vertex has the color of what hides it: see `visibility`.

        Raises:
            ValueError: The face has no photo.
        """
        return read_only(sample_photo(self._photo, self.vertices))

    @cached_property
    def frontal_vertices(self) -> NDArray[np.float32]:
        """(V, 3) float32, canonical frame (cm, y up): the mesh without its pose."""
        return read_only(self.pose.remove(self.vertices))

    @property
    def has_head(self) -> bool:
        """Whether the head model fits it: whether its UV space is that of the package."""
        return self.atlas is embedded_atlas() or self.atlas.sha256 == embedded_atlas().sha256

    @property
    def expression(self) -> dict[str, float]:
        """Weights in [0, 1] by ARKit's names, all but tongueOut; ValueError without `has_head`."""
        weights = self.head_coefficients.expression.tolist()
        return dict(zip(embedded_head().expression_names, weights, strict=True))

    @cached_property
    def head_coefficients(self) -> HeadCoefficients:
        """The head model's identity and expression; ValueError without `has_head`."""
        if not self.has_head:
            raise ValueError("the head model doesn't fit this face: it has another UV space")
        return fit_blendshapes(self.position_map, self.pose)

    def head(self) -> "Head":
        """Make a whole head; ValueError without a photo or `has_head`."""
        from prnet.head.head import build_head  # not every face becomes one

        return build_head(
            self.pose.remove(self.position_map.astype(np.float64)),
            self.head_coefficients,
            self._complete(self.texture_size, will_move=True),
            self._photo,
            self.pose,
        )

    def texture(self, size: int = MAP_SIZE, complete: bool = False) -> NDArray[np.uint8]:
        """Unroll the face's skin into UV space.

        Args:
            size: S, side in texels.
            complete: False for what the photo shows and nothing else; True to make up the rest from
                the face's other half and its surroundings, as the saved meshes do.

        Returns:
            (S, S, 4) uint8 RGBA, u right, v down. Alpha is 0 where the photo doesn't show the skin
            (hidden, turned away, outside the photo or the chart), 255 where it does or `complete`
            is set.

        Raises:
            ValueError: size is not a positive number, or the face has no photo.
        """
        if complete:
            return np.dstack([self._complete(size), np.full((size, size), 255, np.uint8)])
        return sample_texture(self._photo, self.position_map, self._seen_map, size)

    def _complete(self, size: int, will_move: bool = False) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB: the texture with likely colors where the photo shows none."""
        seen = sample_texture(self._photo, self.photo_map, self._seen_map, size)
        return complete_face(seen, self.view, self.atlas, self.pose.rotation, will_move)

    @cached_property
    def photo_map(self) -> NDArray[np.float32]:
        """The position map with a profile's outline moved onto the photo's, for its colors."""
        place = self.atlas, self.view, self.pose.rotation
        return read_only(meet_outline(self._photo, self.position_map, *place))

    @cached_property
    def texture_size(self) -> int:
        """Texels a side with which the texture is as fine as the photo: 256, 512, 1024 or 2048."""
        return fitting_size(self.position_map, self._seen_map)

    @cached_property
    def _seen_map(self) -> NDArray[np.bool_]:
        """(256, 256) bool, true at the vertices that the viewer sees."""
        return self.atlas.spread(self.visibility)

    def depth(self, shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """Draw how near the face is to the viewer.

        Args:
            shape: Height and width of the picture (more numbers, as in `image.shape`, don't
                matter); its pixels are the photo's, from the top left corner. None for the whole
                photo.

        Returns:
            (H, W) float32, z in pixels toward the viewer, 0 at the mean of the vertices; NaN where
            the picture shows no face (so `np.nanmin`, `np.nanmax`).

        Raises:
            ValueError: No shape, and the face has no photo.
        """
        height, width = (self._photo.shape if shape is None else shape)[:2]
        depth = np.full((height, width), np.nan, np.float32)
        triangles = front_triangles(self.vertices, self.triangles)
        for rows, columns, raster in rasterize_bands(self.vertices, triangles, (height, width)):
            np.copyto(depth[rows, columns], raster.depth, where=raster.is_covered)
        return depth

    def mesh(self, texture_size: int | None = None) -> Mesh:
        """The face as a mesh of its own, in metres.

        Frame: x right in the photo, y up, z toward the viewer, origin at the mean of the vertices;
        the head is rotated as in the photo, and as large as the canonical face. Skin that the photo
        doesn't show has a likely color.

        Args:
            texture_size: Texels a side; None for as many as the photo makes worth while.

        Raises:
            ValueError: texture_size is not a positive number, or the face has no photo.
        """
        vertices = self._to_metres(self.vertices)
        texture = self._complete(texture_size or self.texture_size)
        surface = self.triangles, self.atlas.vertices_uv, texture, self.view.normals
        return Mesh(vertices, *surface)

    def in_topology(self, topology: Topology) -> NDArray[np.floating]:
        """The face in other polygons: (V, 3) float64, metres, in the frame of `mesh`."""
        canonical = topology.shape(self.pose.remove(self.position_map.astype(np.float64)))
        return self._to_metres(self.pose.apply(canonical))

    def save(self, path: str | os.PathLike[str], lossless: bool = False) -> None:
        """Write the textured mesh as .glb, .obj (with .mtl and .png) or .ply (with vertex colors).

        Args:
            path: Where to.
            lossless: A GLB's texture is a PNG in place of a JPEG: larger and slower.

        Raises:
            OutputError: An extension other than these, or the file can't be written.
            ValueError: The face has no photo.
        """
        from prnet.mesh.files import is_textured, write_mesh  # what writes is slow to import

        mesh = self.mesh(None if is_textured(path) else MAP_SIZE)
        write_mesh(path, mesh, lossless)

    def _to_metres(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Photo points → the frame of mesh files."""
        mean = np.ascontiguousarray(self.vertices.T).mean(1, dtype=np.float64).tolist()
        scale = flip_y(np.full(3, 1 / (self.pose.scale * CM_PER_METRE))).tolist()
        return np.stack([(points[:, k] - mean[k]) * scale[k] for k in range(3)], 1)

    @property
    def _photo(self) -> NDArray[np.uint8]:
        """The photo; ValueError without one."""
        if self.image is None:
            raise ValueError("this face has no photo: its image is None")
        return self.image


def _plain(values: ArrayLike) -> Any:  # noqa: ANN401
    """Numbers as JSON has them."""
    return np.round(np.asarray(values, np.float64), DECIMALS).tolist()
