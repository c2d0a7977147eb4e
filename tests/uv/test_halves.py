import numpy as np
import pytest

from prnet.uv.halves import compare_halves, lend_colors

Maps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(params=[1, 5, 16])
def maps(request: pytest.FixtureRequest) -> Maps:
    """Colors times share, share, light, relight, and a share of another kind."""
    rng, side = np.random.default_rng(0), request.param
    share, light, other = rng.random((3, side, side), np.float32)
    colors, relight = rng.random((2, 3, side, side), np.float32) * 255
    return colors * share, share, light + 0.5, relight - 128, other


def test_halves_are_compared_where_both_tell_of_the_light(maps: Maps) -> None:
    weighted, share, light, _, telling = maps
    difference, weight = compare_halves(weighted, share, light, telling)
    theirs, both = share[:, ::-1], telling * telling[:, ::-1]
    np.testing.assert_allclose(weight, share * theirs * both, rtol=1e-5)
    colors = weighted / share
    expected = (colors - colors[..., ::-1] * light) * weight
    np.testing.assert_allclose(difference, expected, atol=1e-3)


def test_a_half_takes_the_other_s_colors_relit(maps: Maps) -> None:
    weighted, share, light, relight, loan = maps
    mixed, known = lend_colors(weighted, share, light, relight, loan)
    theirs, taken = share[:, ::-1], np.maximum(loan, 1 - share)
    np.testing.assert_allclose(known, share * (1 - taken) + theirs * taken, rtol=1e-5)
    lent = (weighted / share)[..., ::-1] * light + relight
    expected = weighted * (1 - taken) + lent * theirs * taken
    np.testing.assert_allclose(mixed, expected, atol=1e-3)
