"""A recipe → a trained network: the loop."""

import dataclasses
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, update_bn

from prnet.errors import ModelFileError, RecipeError, TrainingError
from prnet.networks.lite import Lite
from prnet.networks.mobilenet import warm_start
from prnet.progress import progress_bar
from prnet.train.batches import TrainingBatches, load_batches
from prnet.train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from prnet.train.config import TrainConfig
from prnet.train.loss import NAMES, Loss
from prnet.train.networks import (
    TrainableNetwork,
    average_weights,
    build_network,
    load_atlas,
)
from prnet.train.recipe import load_recipe
from prnet.train.record import Record
from prnet.train.samples import Batch
from prnet.train.sources import Source, open_data
from prnet.train.targets import CoefficientTargets, MapTargets
from prnet.train.validate import PlainBatches, plain_batches, validate

logger = logging.getLogger(__name__)

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.pt"
CONTENTS = "network", "average", "optimizer", "step", "seconds", "losses", "recipe"
# settings of a recipe that a run may go on with after a change: how long, and how it is kept
MAY_CHANGE = "steps", "evaluate_steps", "checkpoint_minutes", "workers"
# batches that Run._calibrate sees: a share of the steps between two evaluations, but a few at least
CALIBRATED_SHARE, MIN_CALIBRATED = 0.05, 8


def train(
    recipe: str | os.PathLike[str],
    out: str | os.PathLike[str],
    devices: int | str = "auto",
) -> Path:
    """Run a recipe, or go on with it where its last checkpoint in `out` ends.

    Args:
        recipe: TOML file.
        out: Folder for `checkpoint.pt`, `log.csv`, `curves.png`, `run.json` and, in the end,
            `weights.pt`: the averaged weights alone, for another run to start from.
        devices: How many processes train together, each with a GPU of its own where there are any;
            "auto" takes every GPU, or one process on a CPU.

    Returns:
        Path of the checkpoint.

    Raises:
        RecipeError: The recipe is wrong, or isn't the one that began the run in `out`.
        ModelFileError: `out` holds another program's checkpoint.
        LabelError: The data is incomplete.
        TrainingError: The loss isn't finite any more.
        OutputError: A checkpoint can't be written.
    """
    config, out = load_recipe(recipe), Path(out)
    torch.manual_seed(config.seed)
    # weights that fade towards 0 end in denormal numbers, which are very slow on a CPU
    torch.set_flush_denormal(True)
    if devices == "auto" and not torch.cuda.is_available():
        devices = 1
    fabric = Fabric(devices=devices, precision=_precision(config))
    fabric.launch()
    out.mkdir(parents=True, exist_ok=True)
    if (out / CHECKPOINT).exists():  # what stops the run is told before the data is made
        _read_state(out / CHECKPOINT, config)
    atlas = load_atlas(config.network)
    network = build_network(config.network, atlas)
    if isinstance(network, Lite) and config.network.warm_start:
        path = Path(config.data.facekit) / config.network.warm_start
        warm_start(network.encoder, load_checkpoint(path, "state_dict")["state_dict"])
    if config.network.weights:
        load_weights(network, Path(config.network.weights))
    training, validation, targets = open_data(config, network, atlas, fabric.rank_zero_first)
    return Run(config, out, network, training, validation, targets, fabric).train()


class Run:
    """One training run.

    Args:
        config: The recipe.
        out: See `train`.
        network: Trained in place.
        training: Samples to learn from.
        validation: Samples to evaluate on.
        targets: Batch → Target, with `region` and `is_face`.
        fabric: Launched.

    Attributes:
        network: The network being trained, wrapped for the devices.
        average: The average of its weights.
        step: Steps done.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        network: TrainableNetwork,
        training: Source,
        validation: Source,
        targets: CoefficientTargets | MapTargets,
        fabric: Fabric,
    ) -> None:
        self.config, self.out, self.fabric = config, out, fabric
        self.record = Record(out)
        for name, count in {
            "batch_size": config.batch_size,
            "paired_crops": config.data.paired_crops,
        }.items():
            if count % fabric.world_size:
                raise RecipeError(
                    f"{name} {count} must be a multiple of the {fabric.world_size} processes"
                )
        self.batches = TrainingBatches(training, config, fabric.global_rank, fabric.world_size)
        self.validation, self.targets = validation, targets.to(fabric.device)
        pairs = config.data.paired_crops // fabric.world_size
        self.loss = Loss(targets.region, config.loss, pairs).to(fabric.device)
        decay = config.average_decay
        self.average = AveragedModel(
            network,
            avg_fn=lambda mean, new, count: mean + (new - mean) * max(1 - decay, 1 / (10 + count)),
            use_buffers=True,
        ).to(fabric.device)
        optimizer = torch.optim.AdamW(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        for weight in network.parameters():  # a tenth faster on a CPU
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self._bare = network
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.step, self.seconds = 0, 0.0
        self._losses: list[Tensor] = []  # since the last row of the record

    def train(self) -> Path:
        """Train to the recipe's last step; evaluates, records and saves on the way."""
        config, path = self.config, self.out / CHECKPOINT
        self._resume(path)
        plain = plain_batches(self.validation)
        if self.fabric.is_global_zero:
            self.record.describe(config, _precision(config))
        saved = started = time.monotonic()
        before = self.seconds
        with progress_bar("steps", self.fabric.is_global_zero) as report:
            for batch in load_batches(self.batches, self.step, config.steps):
                terms = self.optimise(batch)
                self._losses.append(torch.stack([terms[name] for name in NAMES]).detach())
                self.step += 1
                report(self.step, config.steps)
                now = time.monotonic()
                self.seconds = before + now - started
                is_last = self.step == config.steps
                if is_last or self.step % config.evaluate_steps == 0:
                    self._calibrate()
                    self._evaluate(plain)
                if is_last or now - saved > 60 * config.checkpoint_minutes:
                    self._save(path)
                    saved = now
        if self.fabric.is_global_zero:
            weights = average_weights({"average": self.average.state_dict()})
            save_checkpoint({"network": weights, "step": self.step}, self.out / WEIGHTS)
        return path

    def optimise(self, batch: Batch) -> dict[str, Tensor]:
        """Do one step of the optimiser; the loss terms are of this process's part of the batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.learning_rate_factor(self.step)
            group["betas"] = self.config.momentum, 0.999
        self.network.train()
        terms = self.compare(self.network, self._move(batch))
        self.optimizer.zero_grad()
        self.fabric.backward(terms["total"])
        try:
            self.fabric.clip_gradients(self.network, self.optimizer, max_norm=20.0)
        except RuntimeError as error:  # the norm isn't finite
            raise TrainingError(
                f"step {self.step + 1}: loss {terms['total'].item():g}, and its gradient isn't "
                f"finite; the last checkpoint stays; lower learning_rate, or look at the data"
            ) from error
        self.optimizer.step()
        self.average.update_parameters(self._bare)
        return terms

    def compare(self, network: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss of a network on a batch."""
        return self.loss(network(self._input(batch)), self.targets(batch))

    def learning_rate_factor(self, step: int) -> float:
        """Share of the full learning rate at a step: up, level (or halving), down."""
        config = self.config
        factor = min((step + 1) / max(config.warmup_steps, 1), 1.0)
        if config.cooldown_steps:
            factor = min(factor, max((config.steps - step) / config.cooldown_steps, 1e-3))
        if config.halve_epochs:
            fresh = config.batch_size - config.data.paired_crops
            epoch = step * fresh // self.batches.photos
            factor *= 0.5 ** (epoch // config.halve_epochs)
        return factor

    def _calibrate(self) -> None:
        """Give the averaged weights batch norm statistics of their own, from the last batches.

        The average of the statistics of many networks isn't the statistics of the average network:
        it shifts every point to one side.
        """
        count = max(round(CALIBRATED_SHARE * self.config.evaluate_steps), MIN_CALIBRATED)
        last = range(max(self.step - count, 0), self.step)
        batches = (self._move(self.batches[step]) for step in last)
        update_bn((self._input(batch) for batch in batches), self.average)

    def _input(self, batch: Batch) -> Tensor:
        """All crops of a batch, those without a face last, as the network takes them."""
        return self._scale(torch.cat([batch.crops, batch.negatives]))

    def _scale(self, crops: Tensor) -> Tensor:
        """uint8 pixels → network input."""
        crops = crops.to(torch.float32, memory_format=torch.channels_last)
        return (crops - self._bare.pixel_mean) / self._bare.pixel_std

    def _move(self, batch: Batch) -> Batch:
        """To the device that trains."""
        return type(batch)(*(part.to(self.fabric.device) for part in batch))

    def _evaluate(self, plain: PlainBatches) -> None:
        """Add a row to the record: losses since the last one, errors of the averaged weights."""
        losses = torch.stack(self._losses).mean(0).tolist()
        self._losses.clear()
        if not self.fabric.is_global_zero:
            return
        self.average.eval()
        on_device = ((self._move(batch), kinds) for batch, kinds in plain)
        errors = validate(lambda b: self.average(self._scale(b.crops)), self.targets, on_device)
        row: dict[str, float] = {
            "step": self.step,
            "hours": self.seconds / 3600,
            "learning_rate": self.config.learning_rate * self.learning_rate_factor(self.step - 1),
        }
        row |= {f"loss_{name}": value for name, value in zip(NAMES, losses, strict=True)} | errors
        self.record.add(row)
        logger.info("%s", row)

    def _save(self, path: Path) -> None:
        """Write a checkpoint aside, then put it in place."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "network": self._bare.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": self._losses,
            "recipe": dataclasses.asdict(self.config),
        }
        save_checkpoint(state, path)

    def _resume(self, path: Path) -> None:
        """Load the last checkpoint, if there is one, and cut the record back to it."""
        if not path.exists():
            if self.fabric.is_global_zero:
                self.record.cut_back(0)
            return
        state = _read_state(path, self.config)
        try:
            self._bare.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self._losses = list(state["losses"])
        except Exception as error:  # PyTorch raises many kinds
            raise ModelFileError(f"{path}: not a checkpoint of this network ({error})") from error
        if self.fabric.is_global_zero:
            self.record.cut_back(self.step)


def _read_state(path: Path, config: TrainConfig) -> dict[str, Any]:
    """The checkpoint of a run that this recipe began; raises as `train` does."""
    state = load_checkpoint(path, *CONTENTS)
    if changes := differences(state["recipe"], dataclasses.asdict(config)):
        raise RecipeError(
            f"{path}: begun by another recipe: {'; '.join(changes)}; name another output folder"
        )
    return state


def differences(begun: Mapping[str, Any], now: Mapping[str, Any], table: str = "") -> list[str]:
    """What a recipe says otherwise than the one that began a run, in words; not what it may."""
    found = []
    for name in dict.fromkeys((*now, *begun)):
        old, new = begun.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{table}{name}.")
        elif old != new and f"{table}{name}" not in MAY_CHANGE:
            found.append(f"{table}{name} was {old!r} and is {new!r}")
    return found


def _precision(config: TrainConfig) -> Any:
    """Fabric's name for the recipe's precision."""
    if config.precision == "auto":
        has_bf16 = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
        return "bf16-mixed" if has_bf16 else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed"}[config.precision]
