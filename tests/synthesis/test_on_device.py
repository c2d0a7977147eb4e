"""Training on one device: a few steps on the tiny pack, on the CPU."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prnet.export.onnx import export_run  # noqa: E402
from prnet.model.model import Model  # noqa: E402
from prnet.networks.large import Large  # noqa: E402
from prnet.networks.prediction import Prediction  # noqa: E402
from prnet.train import on_device  # noqa: E402
from prnet.train.config import LossConfig, NetworkConfig  # noqa: E402
from prnet.train.device_config import DeviceConfig, SynthesisConfig  # noqa: E402
from prnet.train.distillation import distillation  # noqa: E402
from prnet.train.on_device import DeviceRun, train_on_device  # noqa: E402
from prnet.train.recipe import build_config, load_any_recipe  # noqa: E402
from prnet.uv.atlas import Atlas  # noqa: E402

pytestmark = pytest.mark.usefixtures("shared_targets", "pictures_in_words")


@pytest.fixture
def config(tiny_pack: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceConfig:
    """A recipe small enough for a test: crops of 64 pixels, four a step."""
    monkeypatch.setattr(on_device, "CALIBRATED_LAST", 2)
    return DeviceConfig(
        pack=str(tiny_pack),
        minutes=0.001,
        batch_size=4,
        learning_rate=2e-3,
        warmup_steps=0,
        match_openings=False,
        network=NetworkConfig(input_size=64),
        synthesis=SynthesisConfig(pair_share=0.25, negative_share=0.25),
    )


def test_a_run_leaves_weights_a_record_and_what_export_needs(
    config: DeviceConfig, tmp_path: Path
) -> None:
    weights = train_on_device(config, tmp_path)
    with (tmp_path / "log.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert int(row["step"]) >= 1 and int(row["samples"]) == 6 * int(row["step"])
    assert {"loss_total", "loss_consistency", "nme", "nme_75", "nme_lfw"} <= set(row)
    assert {"loss_total", "nme"} <= set((tmp_path / "curves.png").read_text().split())
    description = json.loads((tmp_path / "run.json").read_text())
    assert build_config(description["recipe"]) == config
    assert weights == tmp_path / "weights.pt"
    assert export_run(tmp_path, tmp_path / "model", "none") < 0.01
    spec = Model(tmp_path / "model").spec
    assert spec.input_size == 64 and spec.name == "lite"


def test_a_batch_learned_again_and_again_is_learned(config: DeviceConfig, tmp_path: Path) -> None:
    run = DeviceRun(config, tmp_path, 0.0)
    batch = run.training.batch(4, config.augment.reduced())
    losses = [run.optimise(batch, 0.0)[0].item() for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.75 * losses[0]


def test_the_averages_statistics_are_those_of_the_crops(
    config: DeviceConfig, tmp_path: Path
) -> None:
    learner = DeviceRun(config, tmp_path, 0.0).student
    crops = 255 * torch.rand(8, 3, 64, 64)
    learner.calibrate([crops, crops])
    norm = next(m for m in learner.average.modules() if isinstance(m, torch.nn.BatchNorm2d))
    convolution = next(m for m in learner.average.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        seen = convolution((crops - 127.5) / 128)
    np.testing.assert_allclose(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-4)


def test_a_teacher_learns_beside_the_network_and_is_recorded(
    config: DeviceConfig, tmp_path: Path
) -> None:
    taught = dataclasses.replace(config, teacher=NetworkConfig(name="large", input_size=64))
    train_on_device(taught, tmp_path)
    header = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert {"teacher_loss_total", "loss_distillation", "teacher_nme", "nme"} <= set(header)
    assert (tmp_path / "teacher.pt").exists()


def test_distillation_is_nothing_between_equals(atlas: Atlas) -> None:
    network = Large(atlas, 64).eval()
    with torch.no_grad():
        said: Prediction = network(torch.rand(2, 3, 64, 64))
    weight = torch.full((96, 96), 1 / 96**2)
    assert distillation(said, said, weight) < 1e-4
    moved = said._replace(landmarks68=said.landmarks68 + torch.tensor([0.03, 0, 0.04]))
    assert distillation(said, moved, weight).item() == pytest.approx(0.05, abs=1e-3)


def test_the_shipped_recipe_can_be_read(repository: Path) -> None:
    recipe = load_any_recipe(repository / "recipes/lite-gpu.toml")
    assert isinstance(recipe, DeviceConfig)
    assert recipe.network.name == "lite" and recipe.network.warm_start and recipe.teacher is None


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"synthesis": {"original_share": 0.8, "front_share": 0.3}}, "original_share"),
        ({"network": {"name": "resfcn256", "input_size": 256}}, "lite or large"),
        ({"minutes": 0}, "minutes"),
        ({"minuets": 3}, "minuets"),
    ],
)
def test_a_recipe_that_cant_be_is_refused(settings: dict, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        build_config({"pack": "cache/pack"} | settings)


def test_weights_of_the_terms_are_the_losses(config: DeviceConfig, tmp_path: Path) -> None:
    only = LossConfig(weights={name: 0.0 for name in ("position_map", "shape", "openings")})
    run = DeviceRun(dataclasses.replace(config, loss=only), tmp_path, 0.0)
    batch = run.training.batch(4, config.augment)
    found = run.loss(run.student.predict(batch.crops), run.target(batch))
    expected = found["landmarks"] + found["confidence"]
    assert found["total"].item() == pytest.approx(expected.item(), rel=1e-5)
