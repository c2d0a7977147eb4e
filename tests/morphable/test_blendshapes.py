import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from prnet.face import Face
from prnet.morphable.blendshapes import (
    BlendshapeFitter,
    blendshape_fitter,
    rigid_motions,
    solve_bounded,
)
from prnet.morphable.head_model import embedded_head

HEAD = embedded_head()
NAMES = HEAD.expression_names


@pytest.fixture(scope="module")
def fitter() -> BlendshapeFitter:
    return blendshape_fitter()


def weights(**values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in NAMES])


@pytest.mark.parametrize("count", [1, 7, 51])
def test_bounded_least_squares_meet_their_conditions(count: int) -> None:
    """Karush, Kuhn and Tucker's: flat where free, uphill to the inside at the bounds."""
    rng = np.random.default_rng(count)
    for _ in range(50):
        a = rng.normal(size=(count + 3, count))
        quadratic, linear = a.T @ a + 0.01 * np.eye(count), rng.normal(0, 10, count)
        w = solve_bounded(quadratic, linear)
        gradient = quadratic @ w - linear
        assert ((w >= 0) & (w <= 1)).all()
        assert (gradient[w < 1] > -1e-6).all() and (gradient[w > 0] < 1e-6).all()


def test_a_neutral_face_has_no_expression(fitter: BlendshapeFitter) -> None:
    assert fitter(HEAD.vertices).expression.max() == 0


@pytest.mark.parametrize(
    "expression",
    [
        {"jawOpen": 0.7},
        {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 0.2},
        {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "browInnerUp": 0.5},
        {"mouthPucker": 0.9, "browDownLeft": 0.6},
    ],
)
def test_expressions_come_back_from_anyones_face(
    fitter: BlendshapeFitter, expression: dict[str, float]
) -> None:
    rng = np.random.default_rng(5)
    identity = rng.normal(0, 1, len(HEAD.identity))
    given = weights(**expression)
    shape = HEAD.shape(identity) + np.einsum("e,evd->vd", given, HEAD.expression)
    shape = shape + 0.3 * rigid_motions(HEAD.vertices)[[1, 4]].sum(0)  # a pose that is a bit off
    found = fitter(shape)
    assert np.abs(found.expression - given).max() < 0.15
    assert np.corrcoef(found.identity, identity)[0, 1] > 0.9
    np.testing.assert_allclose(found.rigid[[1, 4]], 0.3, atol=0.2)


def test_a_mirror_swaps_left_and_right(make_face: Callable[..., Face]) -> None:
    face = make_face()
    smile = HEAD.expression[NAMES.index("mouthSmileLeft")]
    u, v = np.rint(HEAD.chart_uv * 256 - 0.5).astype(int).T
    position_map = face.pose.remove(face.position_map.astype(np.float64))
    delta = np.zeros((256, 256, 3))
    delta[v, u] = smile[: len(u)]
    position_map += delta
    mirrored = position_map[:, ::-1] * [-1, 1, 1]
    found = [
        dataclasses.replace(face, given_map=face.pose.apply(each).astype(np.float32)).expression
        for each in (position_map, mirrored)
    ]
    assert found[0]["mouthSmileLeft"] > 0.3 > found[0]["mouthSmileRight"]
    for name, weight in found[0].items():
        for left, right in (("Left", "Right"), ("Right", "Left")):
            if name.endswith(left) and name not in ("jawLeft", "jawRight"):
                assert found[1][name.removesuffix(left) + right] == pytest.approx(weight, abs=0.05)


def test_a_face_says_its_expression(make_face: Callable[..., Face]) -> None:
    face = make_face(25, 5, -10)
    assert tuple(face.expression) == NAMES
    assert max(face.expression.values()) < 0.1
    record = face.to_record(with_map=False)
    assert record["expression"] == pytest.approx(face.expression, abs=1e-4)


def test_another_uv_space_has_no_expression(make_face: Callable[..., Face]) -> None:
    face = make_face()
    other = dataclasses.replace(face.atlas, landmarks68_uv=face.atlas.landmarks68_uv[::-1].copy())
    face = dataclasses.replace(face, atlas=other)
    assert face.to_record(with_map=False)["expression"] is None
    with pytest.raises(ValueError, match="another UV space"):
        _ = face.expression
