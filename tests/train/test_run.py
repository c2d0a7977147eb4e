import csv
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prnet.errors import ModelFileError, OutputError, RecipeError, TrainingError
from prnet.uv.atlas import Atlas

torch = pytest.importorskip("torch")
lightning_fabric = pytest.importorskip("lightning_fabric")

from prnet.networks.lite import Lite  # noqa: E402
from prnet.networks.prediction import Prediction  # noqa: E402
from prnet.train import record  # noqa: E402
from prnet.train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from prnet.train.config import AugmentConfig, DataConfig, NetworkConfig, TrainConfig  # noqa: E402
from prnet.train.recipe import build_config, load_recipe  # noqa: E402
from prnet.train.record import RECORD  # noqa: E402
from prnet.train.run import CHECKPOINT, CONTENTS, Run, train  # noqa: E402
from prnet.train.sources import open_data  # noqa: E402
from prnet.train.validate import plain_batches, validate  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("shared_targets")]

STEPS, EVALUATED = 4, 2


@pytest.fixture(scope="module")
def recipe(
    tiny_facekit: Path, tiny_face_crops: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A small network, a checkpoint every step, an evaluation every second."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(
        f"steps = {STEPS}\nwarmup_steps = 2\ncooldown_steps = 2\nbatch_size = 4\n"
        f"evaluate_steps = {EVALUATED}\ncheckpoint_minutes = 0\n"
        'workers = 0\nprecision = "32"\n[network]\ninput_size = 32\n'
        f"[data]\nfacekit = '{tiny_facekit}'\nface_crops = '{tiny_face_crops}'\n"
    )
    return path


@pytest.fixture(scope="module", autouse=True)
def quick_curves() -> Iterator[None]:
    """Instead of a picture, what it would be drawn from; test_plots.py is about the picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "plot_training", shutil.copy)
        yield


@pytest.fixture(scope="module")
def finished(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    assert train(recipe, folder, devices=1) == folder / CHECKPOINT
    return folder


def read_record(folder: Path) -> list[dict[str, str]]:
    """The record's rows, without the time that they took."""
    with (folder / RECORD).open(newline="") as stream:
        return [{k: v for k, v in row.items() if k != "hours"} for row in csv.DictReader(stream)]


def leaves(tree: Any, name: str = "") -> dict[str, Any]:
    """A checkpoint's tensors and numbers by their paths."""
    if isinstance(tree, dict):
        parts = [leaves(value, f"{name}/{key}") for key, value in tree.items()]
    elif isinstance(tree, list | tuple):
        parts = [leaves(value, f"{name}/{k}") for k, value in enumerate(tree)]
    else:
        return {name: tree}
    return {key: value for part in parts for key, value in part.items()}


def assert_equal_checkpoints(first: Path, second: Path) -> None:
    one, other = (leaves(load_checkpoint(folder / CHECKPOINT)) for folder in (first, second))
    assert one.keys() == other.keys() and len(one) > 500
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other[name]), name
        elif name != "/seconds":
            assert value == other[name], name


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_a_run_leaves_its_record_and_files(finished: Path, recipe: Path, atlas: Atlas) -> None:
    rows = read_record(finished)
    assert [int(row["step"]) for row in rows] == [2, 4]
    for row in rows:
        for name in ("loss_total", "nme", "nme_rotated_30_60", "nme_rotated_60_90", "shape_ratio"):
            assert 0 < float(row[name]) < 1000
    assert (finished / "curves.png").read_bytes() == (finished / RECORD).read_bytes()
    description = json.loads((finished / "run.json").read_text())
    assert build_config(description["recipe"]) == load_recipe(recipe)
    assert description["precision"] == "32-true"
    assert not list(finished.glob("*.partial"))
    # the averaged weights alone, as another run starts from them
    weights = load_checkpoint(finished / "weights.pt")["network"]
    average = load_checkpoint(finished / CHECKPOINT)["average"]
    network = Lite(atlas, 32)
    network.load_state_dict(weights)
    for name, value in network.state_dict().items():
        assert torch.equal(value, average[f"module.{name}"]), name


def test_a_killed_run_resumed_is_the_run_that_was_not_killed(
    recipe: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in step 3, and its last checkpoint is of step 2: the record is ahead of it."""
    optimise = Run.optimise

    def optimise_until_killed(run: Run, batch: Any) -> Any:
        if run.step == 2:
            shutil.copy(tmp_path / CHECKPOINT, tmp_path / "of step 2")
        if run.step == 3:
            raise Killed
        return optimise(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "optimise", optimise_until_killed)
        with pytest.raises(Killed):
            train(recipe, tmp_path, devices=1)
    (tmp_path / "of step 2").rename(tmp_path / CHECKPOINT)
    last = (tmp_path / RECORD).read_text().splitlines()[-1]
    with (tmp_path / RECORD).open("a") as stream:
        stream.write(last.replace("2,", "3,", 1) + "\n")  # as a run evaluated at 3 would have it
    steps: list[int] = []

    def optimise_and_count(run: Run, batch: Any) -> Any:
        steps.append(run.step)
        return optimise(run, batch)

    monkeypatch.setattr(Run, "optimise", optimise_and_count)
    train(recipe, tmp_path, devices=1)
    assert steps == [2, 3]
    assert read_record(tmp_path) == read_record(finished)
    assert_equal_checkpoints(tmp_path, finished)
    assert load_checkpoint(tmp_path / CHECKPOINT)["seconds"] > 0
    # a finished run has nothing to do
    train(recipe, tmp_path, devices=1)
    assert steps == [2, 3] and read_record(tmp_path) == read_record(finished)


def test_a_kill_while_saving_leaves_the_last_checkpoint(
    recipe: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def save_half(state: Any, path: Path) -> None:
        Path(path).write_bytes(before[: len(before) // 2])
        raise Killed

    monkeypatch.setattr(torch, "save", save_half)
    longer = tmp_path / "longer.toml"
    longer.write_text(recipe.read_text().replace(f"steps = {STEPS}\n", f"steps = {STEPS + 1}\n", 1))
    with pytest.raises(Killed):
        train(longer, tmp_path, devices=1)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused(
    recipe: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    other = tmp_path / "other.toml"
    other.write_text(recipe.read_text().replace("input_size = 32", "input_size = 64"))
    message = r"checkpoint\.pt: begun by another recipe: network\.input_size was 32 and is 64;"
    with pytest.raises(RecipeError, match=message):
        train(other, tmp_path, devices=1)
    other.write_text("learning_rate = 0.5\nseed = 3\n" + recipe.read_text())
    with pytest.raises(RecipeError, match=r"learning_rate was 0\.001 and is 0\.5; seed was 0 and"):
        train(other, tmp_path, devices=1)
    # how long it runs and how it is kept may change: nothing is left to do
    other.write_text(recipe.read_text().replace("checkpoint_minutes = 0", "checkpoint_minutes = 7"))
    assert train(other, tmp_path, devices=1) == tmp_path / CHECKPOINT


@pytest.mark.parametrize("content", [{"state_dict": {}, "epoch": 3}, [1, 2], {"step": 1}])
def test_a_checkpoint_of_another_program_is_named(
    recipe: Path, tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / CHECKPOINT)
    with pytest.raises(ModelFileError, match=r"checkpoint\.pt: a file of another program"):
        train(recipe, tmp_path, devices=1)
    torch.save(
        dict.fromkeys(CONTENTS, {}) | {"recipe": dataclasses.asdict(load_recipe(recipe))},
        tmp_path / "x",
    )
    (tmp_path / "x").rename(tmp_path / CHECKPOINT)
    with pytest.raises(ModelFileError, match=r"checkpoint\.pt: not a checkpoint of this network"):
        train(recipe, tmp_path, devices=1)


def test_a_loss_that_is_not_finite_ends_the_run(make_run: Any) -> None:
    run = make_run(batch_size=4)
    with torch.no_grad():
        next(run._bare.parameters()).fill_(torch.inf)
    with pytest.raises(TrainingError, match=r"^step 1: loss (nan|inf), and its gradient isn't"):
        run.optimise(run.batches[0])


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / CHECKPOINT
    save_checkpoint({"step": 1}, path)

    def fail(state: object, aside: Path) -> None:
        aside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match=r"checkpoint\.pt: can't be written \(.*No space left"):
        save_checkpoint({"step": 2}, path)
    assert load_checkpoint(path) == {"step": 1}
    assert [each.name for each in tmp_path.iterdir()] == [CHECKPOINT]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / CHECKPOINT
    with pytest.raises(ModelFileError, match=r"checkpoint\.pt"):
        load_checkpoint(path)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"checkpoint\.pt"):
        load_checkpoint(path)


def factor(step: int, **settings: Any) -> float:
    """The learning rate's share at a step of a recipe over 100 photos."""
    run = SimpleNamespace(config=TrainConfig(**settings), batches=SimpleNamespace(photos=100))
    return Run.learning_rate_factor(run, step)


def test_the_learning_rate_follows_the_recipe() -> None:
    level = {"steps": 1000, "warmup_steps": 10, "cooldown_steps": 100}
    assert [factor(step, **level) for step in (0, 4, 9, 10, 900)] == [0.1, 0.5, 1, 1, 1]
    assert factor(950, **level) == 0.5
    assert 0 < factor(999, **level) <= 0.01
    # batches of 20 of 100 photos are 5 steps an epoch; halving every 2 epochs
    halving = {"batch_size": 20, "halve_epochs": 2, "warmup_steps": 0, "cooldown_steps": 0}
    assert [factor(step, **halving) for step in (0, 9, 10, 19, 20)] == [1, 1, 0.5, 0.5, 0.25]


def test_the_recipes_momentum_is_the_optimisers(make_run: Any) -> None:
    run = make_run(batch_size=4, momentum=0.75)
    run.optimise(run.batches[0])
    moments = run.optimizer.optimizer.state
    for name, weight in run._bare.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(moments[weight]["exp_avg"], 0.25 * weight.grad, msg=name)


# with the photos to learn from as those to evaluate on

CLEAN = AugmentConfig(
    rotation_deg=0.0,
    color=(1.0, 1.0),
    wide_share=0.0,
    box_jitter=0.0,
    **dict.fromkeys(
        ["p_occluder", "p_mirror", "p_blur", "p_low_resolution", "p_noise", "p_jpeg", "p_gray"], 0.0
    ),
    p_light=0.0,
)


@pytest.fixture
def make_run(tiny_facekit: Path, tiny_face_crops: Path, atlas: Atlas, tmp_path: Path) -> Any:
    """`make_run(**settings)` of four photos that are always the same."""

    def make(**settings: Any) -> Run:
        config = TrainConfig(
            data=DataConfig(
                facekit=str(tiny_facekit),
                face_crops=str(tiny_face_crops),
                rotated_share=0.0,
                photos=4,
            ),
            network=NetworkConfig(input_size=64),
            augment=CLEAN,
            precision="32",
            workers=0,
            **settings,
        )
        torch.manual_seed(0)
        fabric = lightning_fabric.Fabric(accelerator="cpu", devices=1, precision="32-true")
        fabric.launch()
        network = Lite(atlas, 64)
        training, validation, targets = open_data(config, network, atlas)
        assert validation is training and training.photos == 4
        return Run(config, tmp_path, network, training, validation, targets, fabric)

    return make


@pytest.mark.slow
def test_four_photos_are_learned_by_heart(make_run: Any, tmp_path: Path) -> None:
    run = make_run(
        steps=24,
        warmup_steps=3,
        cooldown_steps=12,
        batch_size=8,
        learning_rate=2e-3,
        average_decay=0.8,
        evaluate_steps=24,
    )
    run.train()
    [row] = read_record(tmp_path)
    assert float(row["nme"]) < 3


class Oracle(torch.nn.Module):
    """Says of each batch in turn what its targets are, off by a shift and with another shape."""

    def __init__(self, run: Run, plain: Any, shift: float, shape: Any = None) -> None:
        super().__init__()
        self.targets = iter([run.targets(batch) for batch, _ in plain])
        self.shift, self.shape = shift, shape

    def forward(self, crops: Any) -> Prediction:
        target = next(self.targets)
        landmarks = target.landmarks68 + torch.tensor([self.shift, 0.0, 5.0])
        shape = target.shape if self.shape is None else self.shape.expand_as(target.shape)
        return Prediction(target.position_map, landmarks, shape, None)


def test_evaluation_measures_known_errors(make_run: Any) -> None:
    run = make_run()
    plain = plain_batches(run.validation)
    assert sum(len(kinds) for _, kinds in plain) == 16  # four photos, three rotated copies of each

    def measure(oracle: Oracle) -> dict[str, float]:
        return validate(lambda batch: oracle(batch.crops), run.targets, plain)

    result = measure(Oracle(run, plain, 0.0))
    assert (
        result["nme"] == result["nme_rotated_60_90"] == pytest.approx(0, abs=1e-4)
    )  # z is left out
    assert result["shape_ratio"] == pytest.approx(0, abs=1e-6)
    mean = run.targets.mean.view(1, 96, 96, 3)
    result = measure(Oracle(run, plain, 0.1, mean))
    assert result["shape_ratio"] == pytest.approx(1, abs=1e-6)
    sizes = []
    for batch, kinds in plain:
        points = run.targets(batch).landmarks68[..., :2].numpy()[kinds[:, 1] == 0]
        sizes += np.sqrt(np.ptp(points, axis=1).prod(1)).tolist()
    assert result["nme"] == pytest.approx(np.mean([100 * 0.1 / size for size in sizes]), rel=1e-4)
