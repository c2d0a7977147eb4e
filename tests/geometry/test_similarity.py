import numpy as np
import pytest

from prnet.geometry.similarity import Similarity, fit_similarity

QUARTER_TURN = np.array([[0.0, -1.0], [1.0, 0.0]])  # (1, 0) → (0, 1)


def random_rotation(rng: np.random.Generator, dimensions: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return q


def test_apply_scales_turns_then_shifts() -> None:
    similarity = Similarity(2.0, QUARTER_TURN, np.array([10.0, 20.0]))
    np.testing.assert_allclose(
        similarity.apply(np.array([[1.0, 0.0], [3.0, 4.0]])), [[10, 22], [2, 26]]
    )
    np.testing.assert_allclose(similarity.matrix(), [[0, -2, 10], [2, 0, 20]])


def test_inverse_by_hand() -> None:
    inverse = Similarity(2.0, QUARTER_TURN, np.array([10.0, 20.0])).inverse()
    np.testing.assert_allclose(inverse.apply(np.array([[10.0, 22.0]])), [[1, 0]], atol=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_inverse_round_trip(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    similarity = Similarity(
        7.3, random_rotation(rng, dimensions), rng.normal(size=dimensions) * 100
    )
    points = rng.normal(size=(4, 5, dimensions))
    np.testing.assert_allclose(
        similarity.inverse().apply(similarity.apply(points)), points, atol=1e-12
    )


def test_apply_keeps_precision_and_argument() -> None:
    points = np.ones((3, 2), np.float32)
    moved = Similarity(2.0, QUARTER_TURN, np.zeros(2)).apply(points)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(points, 1)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_fit_finds_a_known_similarity(dimensions: int) -> None:
    rng = np.random.default_rng(1)
    truth = Similarity(0.37, random_rotation(rng, dimensions), rng.normal(size=dimensions) * 50)
    source = rng.normal(size=(20, dimensions)) * 10
    fitted = fit_similarity(source, truth.apply(source))
    assert fitted.scale == pytest.approx(truth.scale, rel=1e-12)
    np.testing.assert_allclose(fitted.rotation, truth.rotation, atol=1e-12)
    np.testing.assert_allclose(fitted.translation, truth.translation, atol=1e-10)


def test_fit_is_the_least_squares_optimum() -> None:
    rng = np.random.default_rng(2)
    source, target = rng.normal(size=(2, 30, 3))
    weights = rng.uniform(size=30)

    def cost(similarity: Similarity) -> float:
        return float(weights @ ((similarity.apply(source) - target) ** 2).sum(1))

    best = fit_similarity(source, target, weights)
    for _ in range(50):
        near, _ = np.linalg.qr(best.rotation + rng.normal(size=(3, 3)) * 0.01)
        near *= np.sign(np.diag(near.T @ best.rotation))
        step = rng.normal(size=4) * 0.01
        other = Similarity(best.scale + step[0], near, best.translation + step[1:])
        assert cost(other) > cost(best)


def test_fit_ignores_points_without_weight() -> None:
    source = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    target = source * 3 + [1, 2]
    target[3] = [-100, 40]
    fitted = fit_similarity(source, target, np.array([1, 1, 1, 0]))
    assert fitted.scale == pytest.approx(3)
    np.testing.assert_allclose(fitted.translation, [1, 2], atol=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_fit_never_reflects(dimensions: int) -> None:
    source = np.random.default_rng(3).normal(size=(10, dimensions))
    mirror = np.ones(dimensions)
    mirror[0] = -1
    assert np.linalg.det(fit_similarity(source, source * mirror).rotation) == pytest.approx(1)


def test_fit_of_a_flat_face_is_still_a_rotation() -> None:
    flat = np.random.default_rng(4).normal(size=(10, 3)) * [1, 1, 0]  # spans D − 1 directions
    turn = random_rotation(np.random.default_rng(5), 3)
    np.testing.assert_allclose(fit_similarity(flat, flat @ turn.T).rotation, turn, atol=1e-12)


@pytest.mark.parametrize(
    ("source", "target", "weights", "message"),
    [
        (np.eye(4)[:, :3], np.zeros((5, 3)), None, "one shape"),
        (np.zeros(3), np.zeros(3), None, "must be points"),
        (np.eye(3), np.eye(3), np.zeros(3), "positive sum"),
        (np.ones((4, 3)), np.ones((4, 3)), None, "span"),  # all in one place
        (np.outer(np.arange(4.0), [1, 2, 3]), np.eye(4)[:, :3], None, "span"),  # on a line
    ],
)
def test_fit_refuses(source: np.ndarray, target: np.ndarray, weights: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_similarity(source, target, weights)  # type: ignore[arg-type]


# the axioms of a group that acts on points


@pytest.fixture(params=[2, 3])
def several(request: pytest.FixtureRequest) -> list[Similarity]:
    rng = np.random.default_rng(3)
    return [
        Similarity(
            rng.uniform(0.2, 5),
            random_rotation(rng, request.param),
            rng.normal(size=request.param) * 10,
        )
        for _ in range(3)
    ]


def assert_same(one: Similarity, other: Similarity) -> None:
    np.testing.assert_allclose(one.matrix(), other.matrix(), atol=1e-9)


def test_composition_is_one_after_the_other(several: list[Similarity]) -> None:
    a, b, _ = several
    points = np.random.default_rng(0).normal(size=(5, len(a.translation)))
    np.testing.assert_allclose((a @ b).apply(points), a.apply(b.apply(points)), atol=1e-9)


def test_composition_is_associative(several: list[Similarity]) -> None:
    a, b, c = several
    assert_same((a @ b) @ c, a @ (b @ c))


def test_the_identity_changes_nothing(several: list[Similarity]) -> None:
    for each in several:
        identity = Similarity.identity(len(each.translation))
        assert_same(identity @ each, each)
        assert_same(each @ identity, each)


def test_the_inverse_undoes_from_both_sides(several: list[Similarity]) -> None:
    for each in several:
        identity = Similarity.identity(len(each.translation))
        assert_same(each.inverse() @ each, identity)
        assert_same(each @ each.inverse(), identity)
        assert_same(each.inverse().inverse(), each)


def test_the_inverse_of_a_composition_is_turned_round(several: list[Similarity]) -> None:
    a, b, _ = several
    assert_same((a @ b).inverse(), b.inverse() @ a.inverse())


def test_dimensions_must_agree() -> None:
    with pytest.raises(ValueError, match="of one dimension, got 2 and 3"):
        Similarity.identity(2) @ Similarity.identity(3)
    with pytest.raises(TypeError):
        Similarity.identity(2) @ 2.0  # type: ignore[operator]
