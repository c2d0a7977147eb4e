"""The head model as the page takes it: what is fixed is worked out here, the rest in the browser.

The file is fetched when someone asks for a head. It holds flat little-endian arrays one behind the
other, from eight bytes a number down to one, so that each lies at a multiple of its own size.
Shapes lie axis by axis and 16-bit numbers byte by byte: so they pack to half the size.
"""

import gzip
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.head.eyes import measure_ball
from prnet.head.head import MATERIALS
from prnet.head.layout import HeadLayout, head_layout
from prnet.morphable.blendshapes import BlendshapeFitter, blendshape_fitter
from prnet.morphable.head_model import (
    BACK,
    EXPRESSION_STEP_CM,
    MOUTH,
    PARTS,
    SOCKETS,
    UV_STEPS,
)

HEAD_NAME = "model/head.bin.gz"
EYE_VERTICES = ("ball", "lashes", "upper", "lower", "lining", "carriers")  # of `layout.Eye`


@cache
def describe_head() -> tuple[dict[str, Any], bytes]:
    """What the page must know of the head model inside the package, and its file.

    Returns:
        `head` of the contract, see `web/src/core/headModel.ts`; and the arrays, packed by gzip.
    """
    layout = head_layout()
    arrays = pack_head(layout, blendshape_fitter())
    model = layout.model
    surfaces = []
    for material in MATERIALS:
        vertices, _, triangles = layout.corners_of(*material.parts)
        surfaces.append(material._asdict() | {"rows": len(vertices), "triangles": len(triangles)})
        surfaces[-1]["parts"] = [PARTS[part] for part in material.parts]
    contract = {
        "names": model.expression_names,
        "identities": len(model.identity),
        "expression_step": EXPRESSION_STEP_CM,
        "uv_steps": UV_STEPS,
        "surfaces": surfaces,
        "eyes": [
            {"side": eye.side, "axis": measure_ball(model.vertices[eye.ball]).axis.tolist()}
            for eye in layout.eyes
        ],
        "arrays": [
            {"name": name, "type": array.dtype.name, "count": array.size}
            for name, array in arrays.items()
        ],
    }
    return contract, gzip.compress(
        b"".join(each.tobytes() for each in arrays.values()), compresslevel=6, mtime=0
    )


def pack_head(layout: HeadLayout, fitter: BlendshapeFitter) -> dict[str, NDArray[np.generic]]:
    """The head model, its layout and its fitter as flat little-endian arrays, the widest first."""
    model = layout.model
    corners = [layout.corners_of(*material.parts) for material in MATERIALS]
    steps = np.abs(model.identity).max((1, 2)) / np.float32(127)
    identity = np.rint(model.identity / steps[:, None, None])
    expression = np.rint(model.expression / np.float32(EXPRESSION_STEP_CM)).astype("<i2")
    moves = expression.any(2)
    planes = np.ascontiguousarray(expression[moves].T)
    wide = {name: getattr(fitter, name) for name in ("inverse", "cross", "quadratic", "sparsity")}
    arrays = {name: array.astype("<f8") for name, array in wide.items()}
    single = {
        "vertices": model.vertices,
        "identity_steps": steps,
        "fit_weight": fitter.weight,
        "trust": layout.trust,
        "areas": layout.areas,
    } | {f"{eye.side} carrier_weights": eye.carrier_weights for eye in layout.eyes}
    arrays |= {name: array.astype("<f4") for name, array in single.items()}
    double = {
        "chart_uv": np.rint(model.chart_uv * UV_STEPS),
        "rows": np.concatenate([vertices for vertices, _, _ in corners]),
        "uv": np.concatenate([np.rint(uv * UV_STEPS) for _, uv, _ in corners]),
        "triangles": np.concatenate([triangles for _, _, triangles in corners]),
        "lips": layout.lips,
    } | {PARTS[part]: model.vertices_of(part) for part in (BACK, MOUTH, SOCKETS)}
    double |= {
        f"{eye.side} {name}": getattr(eye, name) for eye in layout.eyes for name in EYE_VERTICES
    }
    arrays |= {name: array.astype("<u2") for name, array in double.items()}
    arrays["identity"] = np.moveaxis(identity, 2, 1).astype("i1")
    arrays["moves"] = np.packbits(moves, axis=1)
    arrays["expression"] = np.moveaxis(planes.view("u1").reshape(*planes.shape, 2), 2, 0)
    return {name: np.ascontiguousarray(array).ravel() for name, array in arrays.items()}
