"""The head model inside the package: a whole head's mean shape, identities and expressions."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.errors import ModelFileError
from prnet.files import write_aside
from prnet.geometry.sampling import read_only
from prnet.uv.chart import split_quads

# what a polygon belongs to; the order is that of the file. The skin is one piece: face (the
# atlas's chart, ear to ear), back (skull, neck, shoulders), mouth and sockets (their linings)
PARTS = (
    *("face", "back", "mouth", "sockets", "gums", "teeth"),
    *("left eye", "right eye", "left lashes", "right lashes"),
)
FACE, BACK, MOUTH, SOCKETS, GUMS, TEETH, LEFT_EYE, RIGHT_EYE, LEFT_LASHES, RIGHT_LASHES = range(
    len(PARTS)
)
SKIN = (FACE, BACK, MOUTH, SOCKETS)
HEAD_FILE = resources.files("prnet") / "assets" / "head" / "head.npz"

IDENTITIES = 50  # of the model's 100 modes; the others move a face by 0.7 mm in the mean
EXPRESSION_STEP_CM = 2e-4
LEAST_STEPS = 5  # vertices that an expression moves by less don't move
UV_STEPS = 65535  # UVs are 16-bit fractions


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A linear model of a whole head; V vertices, canonical frame, cm. Its arrays are read-only.

    Attributes:
        vertices: (V, 3) float32, the mean head without expression; the skin's come first, and of
            those the chart's.
        quads: (Q, 4) uint16, counter-clockwise seen from outside; a triangle repeats its last
            index.
        quads_uv: (Q, 4) uint16, the same corners as rows of `uv`.
        uv: (U, 2) float32 in [0, 1], u right, v down; each of face, the rest of the skin, gums,
            teeth and eyes has the whole square. The face's is the atlas's.
        part: (Q,) uint8, index into PARTS.
        identity: (K, V, 3) float32, cm per standard deviation.
        expression: (E, V, 3) float32, cm per unit; weights in [0, 1].
        expression_names: E names, ARKit's.
    """

    vertices: NDArray[np.float32]
    quads: NDArray[np.uint16]
    quads_uv: NDArray[np.uint16]
    uv: NDArray[np.float32]
    part: NDArray[np.uint8]
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    expression_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Close the arrays to writing; raises ValueError naming one of a wrong shape."""
        count, polygons = len(self.vertices), len(self.quads)
        expected = {
            "vertices": (count, 3),
            "quads": (polygons, 4),
            "quads_uv": (polygons, 4),
            "uv": (len(self.uv), 2),
            "part": (polygons,),
            "identity": (len(self.identity), count, 3),
            "expression": (len(self.expression_names), count, 3),
        }
        for name, shape in expected.items():
            array = read_only(getattr(self, name).view())
            if array.shape != shape:
                raise ValueError(f"{name} must be {shape}, got {array.shape}")
            object.__setattr__(self, name, array)

    def vertices_of(self, *parts: int) -> NDArray[np.int64]:
        """Indices of the vertices that parts of the head have, in order: (N,) int64."""
        return np.unique(self.quads[np.isin(self.part, parts)]).astype(np.int64)

    def triangles_of(self, *parts: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The triangles of parts of the head, (T, 3) int32 twice: as vertices, as rows of `uv`."""
        chosen = np.isin(self.part, parts)
        return split_quads(self.quads[chosen]), split_quads(self.quads_uv[chosen])

    @cached_property
    def chart_uv(self) -> NDArray[np.float32]:
        """(C, 2) float32: where the first C vertices, those of the face, lie in the atlas."""
        is_face = self.part == FACE
        corners, rows = self.quads[is_face].ravel(), self.quads_uv[is_face].ravel()
        uv = np.zeros((int(corners.max()) + 1, 2), np.float32)
        uv[corners] = self.uv[rows]
        return read_only(uv)

    def shape(self, identity: NDArray[np.floating]) -> NDArray[np.float32]:
        """The neutral head of a person: (K,) standard deviations → (V, 3) float32, cm."""
        return self.vertices + np.einsum(
            "k,kvd->vd", identity.astype(np.float32), self.identity, dtype=np.float32
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as .npz, all or nothing; equal models give equal bytes.

        Identities are kept in 8 bits, expressions in steps of 2 µm where they move anything.

        Raises:
            OSError: It can't be written.
        """
        steps = np.abs(self.identity).max((1, 2)) / np.float32(127)
        expression = np.rint(self.expression / np.float32(EXPRESSION_STEP_CM)).astype(np.int16)
        moves = np.abs(expression).max(2) >= LEAST_STEPS
        with write_aside(Path(path)) as aside, aside.open("wb") as stream:
            np.savez(
                stream,
                vertices=self.vertices,
                quads=self.quads,
                quads_uv=self.quads_uv,
                uv=np.rint(self.uv * UV_STEPS).astype(np.uint16),
                part=self.part,
                identity=np.rint(self.identity / steps[:, None, None]).astype(np.int8),
                identity_steps=steps,
                expression=expression[moves],
                expression_moves=np.packbits(moves, axis=1),
                expression_names=np.array(self.expression_names),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str] | Any = HEAD_FILE) -> "HeadModel":  # noqa: ANN401
        """Read a model that `save` wrote.

        Raises:
            ModelFileError: The file is missing, or not a head model.
        """
        try:
            file = Path(path) if isinstance(path, str | os.PathLike) else path
            with file.open("rb") as stream, np.load(stream) as arrays:
                return cls(**_unpack(arrays))
        except FileNotFoundError:
            raise ModelFileError(f"{path}: no such head model") from None
        except Exception as error:  # NumPy may fail in any way on a damaged file
            raise ModelFileError(
                f"{path}: not a head model ({error}); rebuild it with `prnet data head`"
            ) from error


@cache
def embedded_head() -> HeadModel:
    """The head model inside the package."""
    return HeadModel.load()


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The file's arrays → the model's."""
    vertices = arrays["vertices"]
    moves = np.unpackbits(arrays["expression_moves"], axis=1, count=len(vertices)).astype(bool)
    expression = np.zeros((*moves.shape, 3), np.float32)
    expression[moves] = arrays["expression"] * np.float32(EXPRESSION_STEP_CM)
    identity = arrays["identity"] * arrays["identity_steps"][:, None, None]
    return {
        **{name: arrays[name] for name in ("vertices", "quads", "quads_uv", "part")},
        "uv": arrays["uv"] / np.float32(UV_STEPS),
        "identity": identity.astype(np.float32, copy=False),
        "expression": expression,
        "expression_names": tuple(str(name) for name in arrays["expression_names"]),
    }
