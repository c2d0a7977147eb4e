"""The ICT face model's file → the head model inside the package."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import LabelError
from prnet.morphable.head_model import (
    BACK,
    FACE,
    GUMS,
    IDENTITIES,
    LEFT_EYE,
    LEFT_LASHES,
    MOUTH,
    RIGHT_EYE,
    RIGHT_LASHES,
    SOCKETS,
    TEETH,
    HeadModel,
)

# The model's materials → parts. What is left out is transparent there: the eyes' inner balls behind
# a clear cornea, the film of tears, the shade and the blending strip around the eye.
PART_OF_MATERIAL = {
    "M_Face": FACE,
    "M_BackHead": BACK,
    "M_GumsTongue": GUMS,
    "M_Teeth": TEETH,
    "M_ScleraLeft": LEFT_EYE,
    "M_ScleraRight": RIGHT_EYE,
    "M_EyeLashes": LEFT_LASHES,
}
# ICT Face Model Light, by index: the linings that its material of the back of the head has, too
FIRST_MOUTH_QUAD, FIRST_SOCKETS_QUAD, END_SKIN_QUAD = 11144, 13226, 14034
# ARKit has one of these for both sides
JOINED = ("browInnerUp", "cheekPuff")
SIDES = {"_L": "Left", "_R": "Right"}


def build_head(path: str | os.PathLike[str]) -> HeadModel:
    """Make the head model of the facekit's `ict_face_model.npz`.

    The left and right halves of browInnerUp and cheekPuff are joined, so 51 of ARKit's 52 shapes
    come out; the model has no tongueOut.

    Raises:
        LabelError: The file is missing or not in that format.
    """
    path = Path(path)
    try:
        with np.load(path) as arrays:
            materials = [str(name) for name in arrays["material_names"]]
            part_of = np.array([PART_OF_MATERIAL.get(name, -1) for name in materials])
            part = part_of[arrays["material"]]
            part[FIRST_MOUTH_QUAD:FIRST_SOCKETS_QUAD] = MOUTH
            part[FIRST_SOCKETS_QUAD:END_SKIN_QUAD] = SOCKETS
            is_kept = part >= 0
            part, quads, quads_uv = (
                each[is_kept] for each in (part, arrays["quads"], arrays["quads_uv"])
            )
            vertices = arrays["vertices"]
            is_right = vertices[quads[:, 0], 0] < 0
            part[(part == LEFT_LASHES) & is_right] = RIGHT_LASHES
            uv = arrays["uv"] % 1 * [1, -1] + [0, 1]  # the parts' charts lie side by side there
            vertex, corners = np.unique(quads, return_inverse=True)
            row, corners_uv = np.unique(quads_uv, return_inverse=True)
            expression, names = _join_sides(
                arrays["expression"].astype(np.float32)[:, vertex],
                [str(name) for name in arrays["expression_names"]],
            )
            return HeadModel(
                vertices=vertices[vertex].astype(np.float32),
                quads=corners.reshape(quads.shape).astype(np.uint16),
                quads_uv=corners_uv.reshape(quads.shape).astype(np.uint16),
                uv=uv[row].astype(np.float32),
                part=part.astype(np.uint8),
                identity=arrays["identity"][:IDENTITIES, vertex].astype(np.float32),
                expression=expression,
                expression_names=names,
            )
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file; it comes with the facekit") from None
    except Exception as error:  # NumPy may fail in any way on a damaged file
        raise LabelError(f"{path}: not the ICT face model as .npz ({error})") from error


def _join_sides(
    expression: NDArray[np.float32], names: list[str]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The model's modes as ARKit's shapes, and their names."""
    shapes: dict[str, NDArray[np.float32]] = {}
    for mode, name in zip(expression, names, strict=True):
        stem, side = name[:-2], SIDES.get(name[-2:], "")
        arkit = name if not side else stem if stem in JOINED else stem + side
        shapes[arkit] = shapes.get(arkit, 0) + mode
    return np.stack(list(shapes.values())), tuple(shapes)
