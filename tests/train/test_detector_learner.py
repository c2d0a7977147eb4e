"""One step of learning to detect: rate, average, teacher."""

import pytest

torch = pytest.importorskip("torch")

from prnet.networks.detector import Detector  # noqa: E402
from prnet.networks.detector_teacher import DetectorTeacher  # noqa: E402
from prnet.train.detector_learner import DetectorLearner  # noqa: E402
from prnet.train.detector_loss import Truth  # noqa: E402
from prnet.train.detector_recipe import DetectorRecipe  # noqa: E402
from prnet.train.scene_feed import SceneBatch  # noqa: E402

RECIPE = DetectorRecipe(
    scene_size=64,
    batch_size=16,
    learning_rate=0.01,
    warmup_steps=4,
    average_decay=0.5,
    imitated=0.5,
)


@pytest.fixture(scope="module")
def batch() -> SceneBatch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 64, 64, 3), dtype=torch.uint8, generator=generator)
    boxes = torch.tensor([32.0, 32, 30, 28, 0]).expand(16, 1, 5)
    is_face = torch.ones(16, 1, dtype=torch.bool)
    return SceneBatch(images, Truth(boxes, is_face, torch.zeros(16, 1, 4)))


def make_learner(with_teacher: bool = True) -> DetectorLearner:
    torch.manual_seed(0)
    teacher = DetectorTeacher().eval() if with_teacher else None
    torch.manual_seed(1)
    return DetectorLearner(Detector(), RECIPE, torch.device("cpu"), teacher)


def values(network: Detector) -> dict[str, torch.Tensor]:
    """A weight, and what a norm has seen."""
    wanted = "stem.weight", "stem_norm.running_mean"
    return {name: network.state_dict()[name].clone() for name in wanted}


def test_weights_and_norms_learn_and_their_average_follows(batch: SceneBatch) -> None:
    learner = make_learner()
    before = values(learner.average)
    for _ in range(RECIPE.warmup_steps + 1):
        learner.learn(batch, 0.0)
    warm = values(learner.average)
    now = values(learner._network)
    for name, value in now.items():
        assert torch.equal(warm[name], value)  # at first it follows at once
        assert not torch.equal(before[name], value)
    learner.learn(batch, 0.0)
    now, average = values(learner._network), values(learner.average)
    assert learner._network.training
    for name, value in now.items():
        torch.testing.assert_close(average[name], (warm[name] + value) / 2)


def test_the_rate_rises_then_falls(batch: SceneBatch) -> None:
    learner = make_learner(with_teacher=False)
    rates = []
    for progress in (0.0, 0.0, 0.0, 0.0, 0.5, 1.0):
        learner.learn(batch, progress)
        rates.append(learner.rate)
        assert learner._optimizer.param_groups[0]["lr"] == learner.rate
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.005, 0.0])


def test_the_teacher_counts_less_and_less(batch: SceneBatch) -> None:
    imitation = [float(make_learner().learn(batch, progress)[3]) for progress in (0.0, 0.25, 0.5)]
    assert imitation[0] == pytest.approx(2 * imitation[1])
    assert imitation[0] > 0
    assert imitation[2] == 0
    assert float(make_learner(with_teacher=False).learn(batch, 0.0)[3]) == 0
