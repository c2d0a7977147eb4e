from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prnet.landmarks import (  # noqa: E402  # noqa: E402
    LOWER,
    MIRROR68,  # noqa: E402
    UPPER,
    eye_opening,
    mouth_opening,
)
from prnet.networks.prediction import Prediction  # noqa: E402
from prnet.train.config import LossConfig  # noqa: E402
from prnet.train.loss import Loss, expected_confidence, region_weights  # noqa: E402
from prnet.train.targets import Target  # noqa: E402
from prnet.train.terms import CM, concordance_correlation, openings68  # noqa: E402
from prnet.uv.atlas import EARS, EYE_NOSE_MOUTH, FACE, KEYPOINT, NECK, OUTSIDE  # noqa: E402

pytestmark = pytest.mark.torch

REGION = np.array([[OUTSIDE, NECK, EARS], [FACE, EYE_NOSE_MOUTH, KEYPOINT], [FACE] * 3], np.uint8)


def random_target(count: int = 2) -> Target:
    generator = torch.Generator().manual_seed(0)
    shapes = (count, 3, 3, 3), (count, 68, 3), (count, 3, 3, 3)
    maps, points, shape = (torch.randn(shape, generator=generator) for shape in shapes)
    return Target(maps, points, shape, torch.eye(3).expand(count, 3, 3) / CM, None)


def moved(target: Target, **shifts: Any) -> Prediction:
    """The prediction that is off by some shifts."""
    parts = target.position_map, target.landmarks68, target.shape
    names = "position_map", "landmarks68", "shape"
    off = (part + torch.tensor(shifts.get(k, 0.0)) for k, part in zip(names, parts, strict=True))
    return Prediction(*off, confidence=None)


@pytest.mark.parametrize("distance", ["euclidean", "squared"])
@pytest.mark.parametrize("mask", ["paper", "ones", "keypoints", "soft"])
def test_a_perfect_prediction_costs_nothing(distance: Any, mask: Any) -> None:
    loss = Loss(REGION, LossConfig(distance=distance, mask=mask))
    terms = loss(moved(random_target()), random_target())
    assert all(0 <= term < 0.01 for term in terms.values())  # in per cent; the root is kept off 0


@pytest.mark.parametrize("mask", ["paper", "ones", "keypoints", "soft"])
def test_a_known_shift_costs_its_length(mask: Any) -> None:
    target, config = (
        random_target(),
        LossConfig(mask=mask, weights={"landmarks": 2.0, "shape": 0.5}),
    )
    prediction = moved(
        target, position_map=[0.03, 0.04, 0.0], landmarks68=[0.0, 0.0, 0.02], shape=[0.0, 1.0, 0.0]
    )
    terms = Loss(REGION, config)(prediction, target)
    assert terms["position_map"].item() == pytest.approx(5, rel=1e-4)  # % of half the crop
    assert terms["landmarks"].item() == pytest.approx(2, rel=1e-4)
    assert terms["shape"].item() == pytest.approx(100 * CM, rel=1e-4)  # 1 cm
    assert terms["total"].item() == pytest.approx(5 + 2 * 2 + 0.5 * 100 * CM, rel=1e-4)
    squared = Loss(REGION, LossConfig(mask=mask, distance="squared"))(prediction, target)
    assert squared["position_map"].item() == pytest.approx(100 * 0.05**2, rel=1e-4)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("paper", [[0, 0, 3], [3, 4, 16], [3, 3, 3]]),
        ("ones", [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
        ("keypoints", [[0, 0, 0], [0, 0, 1], [0, 0, 0]]),
        ("soft", [[0.3, 0.3, 3], [3, 4, 4], [3, 3, 3]]),
    ],
)
def test_regions_weigh_as_stated(mask: Any, expected: list[list[float]]) -> None:
    config = LossConfig(mask=mask)
    weights = region_weights(REGION, config)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected)
    # and so does an error at a single pixel of a single sample
    target, loss = random_target(2), Loss(REGION, config)
    for row, column in np.ndindex(3, 3):
        off = target.position_map.clone()
        off[0, row, column, 2] += 0.5
        cost = loss(moved(target)._replace(position_map=off), target)["position_map"].item()
        share = expected[row][column] / np.sum(expected)
        assert cost == pytest.approx(100 * 0.5 * share / 2, abs=2e-3)


def test_confidence_learns_the_error_and_crops_without_a_face() -> None:
    truth = torch.zeros(2, 68, 3)
    truth[:, 0, :2] = 1.0  # boxes of side 1
    predicted = torch.zeros(3, 68, 3)
    predicted[:2] = truth
    predicted[1, :, 0] += 0.05  # off by 5 % of the face; the third shows none
    goal = expected_confidence(predicted, truth)
    np.testing.assert_allclose(goal, [1, np.exp(-1), 0], atol=1e-6)

    maps = torch.zeros(3, 3, 3, 3)
    logits = torch.tensor([0.3, -0.2, 1.0], requires_grad=True)
    target = Target(maps[:2], truth, maps[:2], None, None)
    prediction = Prediction(maps, predicted, maps, logits)
    terms = Loss(REGION, LossConfig())(prediction, target)
    chance = torch.sigmoid(logits)
    entropy = -(goal * chance.log() + (1 - goal) * (1 - chance).log()).mean()
    assert terms["confidence"].item() == pytest.approx(entropy.item(), rel=1e-5)
    assert terms["landmarks"].item() == pytest.approx(100 * 0.05 / 2, rel=1e-3)  # of two faces
    terms["total"].backward()
    np.testing.assert_allclose(logits.grad, (chance - goal).detach() / 3, atol=1e-6)


def test_terms_not_asked_for_or_not_there_are_zero() -> None:
    target = random_target()
    prediction = moved(target, position_map=1.0, landmarks68=1.0, shape=1.0)
    config = LossConfig(weights={"position_map": 0, "landmarks": 0, "openings": 0})
    terms = Loss(REGION, config)(prediction, target)
    assert (
        terms["position_map"] == terms["landmarks"] == terms["openings"] == 0 and terms["shape"] > 0
    )
    loss = Loss(REGION, LossConfig())
    for pair in (
        (prediction._replace(shape=None), target),
        (prediction, target._replace(shape=None)),
    ):
        assert loss(*pair)["shape"] == 0


def test_openings_cost_what_lids_and_lips_are_off() -> None:
    target = random_target()
    points = target.landmarks68.clone()
    points[:, [37, 38], 1] -= (
        0.07  # two of the seven pairs open further, the third moves as a whole
    )
    points[:, [61, 67]] += 0.2
    prediction = moved(target)._replace(landmarks68=points)
    config = LossConfig(weights={"position_map": 0, "landmarks": 0, "shape": 0, "openings": 3.0})
    close = target._replace(landmarks68=torch.zeros_like(points))
    terms = Loss(REGION, config)(
        prediction._replace(landmarks68=points - target.landmarks68), close
    )
    assert terms["openings"].item() == pytest.approx(100 * 2 * 0.07 / 7, rel=1e-3)
    assert terms["total"].item() == pytest.approx(3 * terms["openings"].item(), rel=1e-6)


def test_concordance_wants_the_labels_spread() -> None:
    target = random_target(16)
    opening = openings68(target.landmarks68)
    np.testing.assert_allclose(opening[:, 0], eye_opening(target.landmarks68.numpy()), rtol=1e-5)
    np.testing.assert_allclose(opening[:, 1], mouth_opening(target.landmarks68.numpy()), rtol=1e-5)
    mean = opening.mean(0)
    assert concordance_correlation(opening, opening) == pytest.approx(torch.ones(2))
    # in proportion 1 : 0.5 about the mean, r = 1: 2 · 0.5 / (1 + 0.25)
    halved = concordance_correlation(mean + 0.5 * (opening - mean), opening)
    np.testing.assert_allclose(halved, 0.8, rtol=1e-4)
    assert (concordance_correlation(opening + 0.1, opening) < 1).all()
    np.testing.assert_allclose(concordance_correlation(mean - 0 * opening, opening), 0, atol=1e-4)

    config = LossConfig(
        weights={"position_map": 0, "landmarks": 0, "shape": 0, "openings": 0, "concordance": 2.0}
    )
    loss = Loss(REGION, config)
    assert loss(moved(target), target)["total"].item() == pytest.approx(0, abs=1e-3)
    # closed lids and lips everywhere vary in nothing
    points = target.landmarks68.clone()
    points[:, LOWER] = points[:, UPPER]
    points[:, 66] = points[:, 62]
    closed = moved(target)._replace(landmarks68=points)
    assert loss(closed, target)["concordance"].item() == pytest.approx(100, abs=0.1)
    assert loss(closed, target)["total"].item() == pytest.approx(200, abs=0.2)


def test_consistency_compares_the_errors_of_a_pair_in_the_faces_own_frame() -> None:
    config = LossConfig(
        weights={"position_map": 0, "landmarks": 0, "shape": 0, "openings": 0, "consistency": 2.0}
    )
    loss = Loss(REGION, config, pairs=1)
    truth = random_target(3).landmarks68
    maps = torch.zeros(3, 3, 3, 3)
    # the third crop shows the first one's face on its side and half as large
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    to_canonical = torch.stack([torch.eye(3), torch.eye(3), 2 * quarter.T])
    target = Target(maps, truth, maps, to_canonical, torch.zeros(3, dtype=torch.bool))
    error = torch.tensor([0.2, 0.1, 0.0])
    off = torch.stack([error, torch.full((3,), 9.0), quarter @ error / 2])[:, None]
    same = Prediction(maps, truth + off, None, None)
    assert loss(same, target)["consistency"].item() == pytest.approx(0, abs=0.01)
    off[2, 0, 2] += 0.15  # 0.3 in the face's frame
    other = loss(Prediction(maps, truth + off, None, None), target)
    assert other["consistency"].item() == pytest.approx(100 * CM * 0.3, rel=1e-3)
    assert other["total"].item() == pytest.approx(2 * other["consistency"].item(), rel=1e-6)
    # seen in a mirror, the same errors are to the other side, and of the other eye
    mirrored = target._replace(mirrored=torch.tensor([False, False, True]))
    off = torch.rand(3, 68, 3)
    off[2] = (off[0, list(MIRROR68)] * torch.tensor([-1, 1, 1])) @ quarter.T / 2
    flipped = loss(Prediction(maps, truth + off, None, None), mirrored)
    assert flipped["consistency"].item() == pytest.approx(0, abs=0.01)
    alone = Loss(REGION, config)
    assert alone(Prediction(maps, truth + off, None, None), target)["consistency"] == 0


def test_the_loss_has_a_slope_even_where_it_is_perfect() -> None:
    target = random_target()
    maps = target.position_map.clone().requires_grad_()
    Loss(REGION, LossConfig())(moved(target)._replace(position_map=maps), target)[
        "total"
    ].backward()
    assert torch.isfinite(maps.grad).all()
