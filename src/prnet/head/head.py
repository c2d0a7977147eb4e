"""Head: a whole head of a person in a photo, with named shapes to animate it by."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError
from prnet.files import write_files
from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import Pose
from prnet.head.layout import head_layout
from prnet.head.paint import eye_colors, paint_back, paint_eye, paint_lashes
from prnet.head.rig import build_rig
from prnet.head.weights import Frames
from prnet.morphable.blendshapes import HeadCoefficients
from prnet.morphable.head_model import (
    BACK,
    FACE,
    GUMS,
    LEFT_EYE,
    LEFT_LASHES,
    MOUTH,
    RIGHT_EYE,
    RIGHT_LASHES,
    SOCKETS,
    TEETH,
)

if TYPE_CHECKING:
    from prnet.head.glb import MorphMesh, Surface

CM_PER_METRE = 100
LASH_SHADE = 0.35  # of the hair's color
SCENE_DEPTH_M = 1.0  # before and behind the heads, where camera and photo are


class HeadMaterial(NamedTuple):
    """What some parts of a head have in common.

    Attributes:
        name: Of the material and, where it has no color, of its texture in `HeadTextures`.
        parts: Of the head model.
        roughness: From a mirror's 0 to chalk's 1.
        color: RGB in [0, 1], linear; None for a texture.
        is_thin: Whether the texture's alpha counts, and both sides show.
    """

    name: str
    parts: tuple[int, ...]
    roughness: float
    color: tuple[float, float, float] | None = None
    is_thin: bool = False


MATERIALS = (
    HeadMaterial("face", (FACE,), 0.9),
    HeadMaterial("back", (BACK, MOUTH, SOCKETS), 0.9),
    HeadMaterial("gums", (GUMS,), 0.35, color=(0.42, 0.10, 0.09)),
    HeadMaterial("teeth", (TEETH,), 0.25, color=(0.78, 0.72, 0.62)),
    HeadMaterial("left eye", (LEFT_EYE,), 0.15),
    HeadMaterial("right eye", (RIGHT_EYE,), 0.15),
    HeadMaterial("lashes", (LEFT_LASHES, RIGHT_LASHES), 0.9, is_thin=True),
)


@dataclass(frozen=True, eq=False)
class HeadTextures:
    """What the parts of a head look like: (S, S, 3) uint8 RGB each, u right, v down.

    Attributes:
        face: In the atlas's UV space.
        back: Skull, neck and the linings of mouth and sockets.
        left_eye: The eyeball.
        right_eye: The eyeball.
        lashes: (S, S, 4) RGBA.
    """

    face: NDArray[np.uint8]
    back: NDArray[np.uint8]
    left_eye: NDArray[np.uint8]
    right_eye: NDArray[np.uint8]
    lashes: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Head:
    """A head in the canonical frame: cm, x to the subject's left, y up, z out of the face.

    Attributes:
        neutral: (V, 3) float32, without expression; vertices and polygons are the head model's.
        targets: (E, V, 3) float32, what each expression adds at a weight of 1.
        names: E names, ARKit's.
        weights: (E,) float32 in [0, 1]; at first the photo's expression.
        textures: Of its parts.
        pose: Canonical frame → photo frame.
        image: (H, W, 3) uint8 RGB, the photo.
    """

    neutral: NDArray[np.float32]
    targets: NDArray[np.float32]
    names: tuple[str, ...]
    weights: NDArray[np.float32]
    textures: HeadTextures
    pose: Pose
    image: NDArray[np.uint8]

    @property
    def vertices(self) -> NDArray[np.float32]:
        """(V, 3) float32, with the weights' expression."""
        return self.neutral + np.einsum("e,evd->vd", self.weights, self.targets)

    @property
    def expression(self) -> dict[str, float]:
        """The weights by name."""
        return dict(zip(self.names, self.weights.tolist(), strict=True))

    def with_weights(self, weights: Mapping[str, float]) -> "Head":
        """The same head with another expression; names that aren't given have a weight of 0.

        Raises:
            ValueError: A name that the head hasn't got, or a weight outside [0, 1].
        """
        for name, weight in weights.items():
            if name not in self.names:
                raise ValueError(f"{name!r} is not one of the head's expressions")
            if not 0 <= weight <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {weight}")
        given = [weights.get(name, 0.0) for name in self.names]
        other = replace(self, weights=np.array(given, np.float32))
        if "_normals" in self.__dict__:  # of the same shapes, and slow to find
            other.__dict__["_normals"] = self._normals
        return other

    def save(
        self, path: str | os.PathLike[str], scene: bool = False, frames: Frames | None = None
    ) -> None:
        """Write a GLB: metres, y up, facing +z, with the expressions as morph targets.

        Args:
            path: Ends in .glb.
            scene: Also pose, camera and photo, so that it opens to the view of the photo.
            frames: Also an animation of the weights; F > 1 frames.

        Raises:
            OutputError: Another extension, or the file can't be written.
        """
        save_heads(path, [self], scene, frames)

    def surfaces(self) -> "list[Surface]":
        """The head's materials and what has them."""
        from prnet.head.glb import Surface

        layout = head_layout()
        return [
            Surface(
                each.name,
                *layout.corners_of(*each.parts),
                each.color or getattr(self.textures, each.name.replace(" ", "_")),
                each.roughness,
                each.is_thin,
            )
            for each in MATERIALS
        ]

    @cached_property
    def _normals(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(V, 3) of the neutral head, and (E, V, 3) by how much each target changes them."""
        layout = head_layout()
        triangles = layout.triangles
        corners = np.ascontiguousarray(triangles.T)  # NumPy is slow at short last axes
        normals = vertex_normals(self.neutral, triangles)
        turns = np.zeros_like(self.targets)
        for turn, target in zip(turns, self.targets, strict=True):
            x, y, z = target.T
            moved = (x != 0) | (y != 0) | (z != 0)
            ring = np.zeros(len(moved), bool)
            ring[triangles[moved[corners].any(0)]] = True
            around = triangles[ring[corners].any(0)]
            bent = vertex_normals(self.neutral + target, around)
            turn[ring] = bent[ring] - normals[ring]
        return normals, turns


def build_head(
    position_map: NDArray[np.floating],
    coefficients: HeadCoefficients,
    texture: NDArray[np.uint8],
    image: NDArray[np.uint8],
    pose: Pose,
) -> Head:
    """Make a head of a face.

    Args:
        position_map: (M, M, 3) float, canonical frame, cm: the face without its pose.
        coefficients: What the head model says of it.
        texture: (S, S, 3) uint8 RGB, the face's, complete.
        image: (H, W, 3) uint8 RGB, the photo.
        pose: Canonical frame → photo frame.
    """
    layout = head_layout()
    neutral, targets = build_rig(position_map, coefficients, layout)
    weights = coefficients.expression
    shown = neutral + np.einsum("e,evd->vd", weights, targets)
    left, right = (
        paint_eye(eye, part, *eye_colors(eye, shown, image, pose, layout), layout)
        for eye, part in zip(layout.eyes, (LEFT_EYE, RIGHT_EYE), strict=True)
    )
    back = paint_back(shown, texture, image, pose, layout)
    dark = np.median(back.reshape(-1, 3), axis=0) * LASH_SHADE
    return Head(
        neutral.astype(np.float32),
        targets,
        layout.model.expression_names,
        weights.astype(np.float32),
        HeadTextures(texture, back, left, right, paint_lashes(dark)),
        pose,
        image,
    )


def save_heads(
    path: str | os.PathLike[str],
    heads: Sequence[Head],
    scene: bool = False,
    frames: Frames | None = None,
) -> None:
    """Write heads of one photo into one GLB; without `scene` that is one head.

    Args:
        path: Ends in .glb.
        heads: One, or several in a scene.
        scene: See `Head.save`.
        frames: An animation that all of them play.

    Raises:
        OutputError: Another extension than .glb, or the file can't be written.
        ValueError: No head, or several without `scene`.
    """
    path = Path(path)
    if path.suffix.lower() != ".glb":
        raise OutputError(f"{path}: a head's file ends in .glb, not {path.suffix!r}")
    write_files({path: encode_heads(heads, scene, frames)})


def encode_heads(heads: Sequence[Head], scene: bool = False, frames: Frames | None = None) -> bytes:
    """The bytes of `save_heads`.

    Raises:
        ValueError: No head, or several without `scene`.
    """
    from prnet.head.glb import HeadFile  # slow to import

    if not heads or (len(heads) > 1 and not scene):
        raise ValueError(f"expected one head, or several in a scene, got {len(heads)}")
    file = HeadFile()
    first = heads[0]
    pixel_m = 1 / (first.pose.scale * CM_PER_METRE)
    for number, head in enumerate(heads, 1):
        name = "head" if len(heads) == 1 else f"head{number}"
        file.add_head(morph_mesh(head, name, _view_matrix(head, pixel_m) if scene else None))
        if frames is not None:
            file.animate(name, frames.times, weights=frames.weights)
    if scene:
        file.add_view(first.image, pixel_m, SCENE_DEPTH_M)
    return file.to_bytes()


def morph_mesh(head: Head, name: str, matrix: NDArray[np.floating] | None = None) -> "MorphMesh":
    """A head as what a GLB holds, in metres; `matrix` (4, 4) is that of its node."""
    from prnet.head.glb import MorphMesh

    normals, turns = head._normals
    return MorphMesh(
        name=name,
        vertices=head.neutral / np.float32(CM_PER_METRE),
        normals=normals,
        moves=head.targets / np.float32(CM_PER_METRE),
        turns=turns,
        target_names=head.names,
        weights=head.weights.tolist(),
        surfaces=head.surfaces(),
        matrix=matrix,
    )


def _view_matrix(head: Head, pixel_m: float) -> NDArray[np.float64]:
    """A head in metres → the scene, whose origin is the middle of the photo."""
    height, width = head.image.shape[:2]
    matrix = np.eye(4)
    matrix[:3, :3] = head.pose.rotation * (head.pose.scale * CM_PER_METRE * pixel_m)
    middle = np.array([(width - 1) / 2, -(height - 1) / 2, 0])
    matrix[:3, 3] = (head.pose.translation - middle) * pixel_m
    matrix[2, 3] = 0
    return matrix
