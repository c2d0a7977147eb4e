from typing import Any

import numpy as np
import pytest

from prnet.mesh.mesh import Mesh

SQUARE: dict[str, Any] = {
    "vertices": np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32),
    "triangles": np.array([[0, 1, 2], [1, 3, 2]], np.int32),
    "uv": np.array([[0.25, 0.75], [0.75, 0.75], [0.25, 0.25], [0.5, 0.5]], np.float32),
    "normals": np.tile(np.float32([0, 0, 1]), (4, 1)),
    "texture": np.array([[[0, 0, 0], [100, 0, 0]], [[0, 200, 0], [0, 0, 40]]], np.uint8),
}


def test_colors_are_the_textures() -> None:
    colors = Mesh(**SQUARE).colors
    assert colors.dtype == np.uint8
    np.testing.assert_array_equal(colors, [[0, 200, 0], [0, 0, 40], [0, 0, 0], [25, 50, 10]])
    at_texels = SQUARE["uv"].copy()
    at_texels[3] = [0.75, 0.25]
    colors = Mesh(**SQUARE | {"uv": at_texels}).colors
    np.testing.assert_array_equal(colors, [[0, 200, 0], [0, 0, 40], [0, 0, 0], [100, 0, 0]])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("vertices", SQUARE["vertices"][:, :2], r"vertices must be \(4, 3\) float32"),
        ("vertices", SQUARE["vertices"].astype(float), "vertices must be .* got .* float64"),
        ("triangles", SQUARE["triangles"][:, :2], "triangles must be"),
        ("triangles", SQUARE["triangles"] + 1, "triangles must index the 4 vertices"),
        ("uv", SQUARE["uv"][:3], r"uv must be \(4, 2\)"),
        ("texture", SQUARE["texture"][..., :2], r"texture must be \(2, 2, 3\) uint8"),
        ("normals", SQUARE["normals"][:1], r"normals must be \(4, 3\)"),
        ("vertices", SQUARE["vertices"] * np.float32(np.nan), "vertices must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mesh(**(SQUARE | {name: value}))
