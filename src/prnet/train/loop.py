"""A recipe → a trained network: the loop, its checkpoints, its record."""

import csv
import dataclasses
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, update_bn

from prnet.data.face_crops import build_cutouts
from prnet.data.facekit import FACE_MODEL_FILE
from prnet.errors import ModelFileError, RecipeError
from prnet.evaluate.plots import plot_training
from prnet.files import write_aside
from prnet.morphable.linear import load_ict_face_model
from prnet.networks.lite import Lite, warm_start
from prnet.progress import progress_bar
from prnet.train.batches import TrainingBatches, load_batches
from prnet.train.config import TrainConfig, load_recipe
from prnet.train.loss import DistanceLoss, LossTerms, nme68
from prnet.train.networks import (
    TrainableNetwork,
    average_weights,
    build_network,
    load_atlas,
)
from prnet.train.sources import Batch, CutoutSource, MapSource, Source
from prnet.train.targets import CoefficientTargets, MapTargets
from prnet.uv.atlas import Atlas

logger = logging.getLogger(__name__)

CHECKPOINT, RECORD, CURVES, DESCRIPTION = "checkpoint.pt", "log.csv", "curves.png", "run.json"
WEIGHTS = "weights.pt"
EVALUATED_PHOTOS = 256  # of the validation split, with their turned copies, during training
EVALUATED_BATCH = 32
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
        RecipeError: The recipe is wrong, or `out` holds a run of another network.
        LabelError: The data is incomplete.
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
    atlas = load_atlas(config.network)
    network = build_network(config.network, atlas)
    if isinstance(network, Lite) and config.network.warm_start:
        path = Path(config.data.facekit) / config.network.warm_start
        warm_start(network, load_checkpoint(path)["state_dict"])
    if config.network.weights:
        _load_weights(network, Path(config.network.weights))
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
        for name, count in {
            "batch_size": config.batch_size,
            "pairs": config.data.pairs,
        }.items():
            if count % fabric.world_size:
                raise RecipeError(
                    f"{name} {count} must be a multiple of the {fabric.world_size} processes"
                )
        self.batches = TrainingBatches(training, config, fabric.global_rank, fabric.world_size)
        self.validation, self.targets = validation, targets.to(fabric.device)
        pairs = config.data.pairs // fabric.world_size
        self.loss = DistanceLoss(targets.region, config.loss, pairs).to(fabric.device)
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
        plain = self._plain_batches()
        self._describe()
        saved = started = time.monotonic()
        before = self.seconds
        with progress_bar("steps", self.fabric.is_global_zero) as report:
            for batch in load_batches(self.batches, self.step, config.steps):
                self._losses.append(torch.stack(self.optimise(batch)).detach())
                self.step += 1
                report(self.step, config.steps)
                now = time.monotonic()
                self.seconds = before + now - started
                is_last = self.step == config.steps
                if is_last or self.step % config.evaluate_steps == 0:
                    self._calibrate()
                    self._record(torch.stack(self._losses).mean(0).tolist(), plain)
                    self._losses.clear()
                if is_last or now - saved > 60 * config.checkpoint_minutes:
                    self._save(path)
                    saved = now
        if self.fabric.is_global_zero:
            weights = average_weights({"average": self.average.state_dict()})
            _write({"network": weights, "step": self.step}, self.out / WEIGHTS)
        return path

    def optimise(self, batch: Batch) -> LossTerms:
        """Do one step of the optimiser; the loss terms are of this process's part of the batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.learning_rate_factor(self.step)
            group["betas"] = self.config.momentum, 0.999
        self.network.train()
        terms = self.compare(self.network, self._move(batch))
        self.optimizer.zero_grad()
        self.fabric.backward(terms.total)
        self.fabric.clip_gradients(self.network, self.optimizer, max_norm=20.0)
        self.optimizer.step()
        self.average.update_parameters(self._bare)
        return terms

    def compare(self, network: torch.nn.Module, batch: Batch) -> LossTerms:
        """The loss of a network on a batch."""
        return self.loss(network(self._input(batch)), self.targets(batch))

    def learning_rate_factor(self, step: int) -> float:
        """Share of the full learning rate at a step: up, level (or halving), down."""
        config = self.config
        factor = min((step + 1) / max(config.warmup_steps, 1), 1.0)
        if config.cooldown_steps:
            factor = min(factor, max((config.steps - step) / config.cooldown_steps, 1e-3))
        if config.halve_epochs:
            fresh = config.batch_size - config.data.pairs
            epoch = step * fresh // self.batches.photos
            factor *= 0.5 ** (epoch // config.halve_epochs)
        return factor

    @torch.no_grad()
    def evaluate(self, plain: list[tuple[Batch, NDArray[np.float64]]]) -> dict[str, float]:
        """Errors of the averaged weights.

        Args:
            plain: Batches, each with (N, 2): |yaw| in degrees and whether turned.

        Returns:
            68-point NME in % of photos as they are and of turned copies by yaw, and the error
            of the pose-free shape as a share of the mean face's; NaN for what data or network
            haven't got.
        """
        self.average.eval()
        errors, kinds, shape_error, mean_error = [], [], [], []
        for batch, kind in plain:
            batch = self._move(batch)
            prediction, target = self.average(self._scale(batch.crops)), self.targets(batch)
            errors.append(100 * nme68(prediction.landmarks68, target.landmarks68))
            kinds.append(kind)
            if prediction.shape is not None and isinstance(self.targets, CoefficientTargets):
                face = self.targets.is_face
                truth = target.shape.flatten(1, 2)[:, face]
                predicted = prediction.shape.flatten(1, 2)[:, face]
                shape_error.append((predicted - truth).norm(dim=2).mean(1))
                mean_error.append((self.targets.mean[face] - truth).norm(dim=2).mean(1))
        nme, (yaw, turned) = torch.cat(errors).cpu().numpy(), np.concatenate(kinds).T
        is_turned = turned > 0

        def mean(chosen: NDArray[np.bool_]) -> float:
            return float(nme[chosen].mean()) if chosen.any() else float("nan")

        ratio = float("nan")
        if shape_error:
            ratio = float(torch.cat(shape_error).mean() / torch.cat(mean_error).mean())
        return {
            "nme": mean(~is_turned),
            "nme_turned_30_60": mean(is_turned & (yaw > 30) & (yaw <= 60)),
            "nme_turned_60_90": mean(is_turned & (yaw > 60)),
            "shape_ratio": ratio,
        }

    def _calibrate(self) -> None:
        """Give the averaged weights batch norm statistics of their own, from the last batches.

        The average of the statistics of many networks isn't the statistics of the average network:
        it shifts every point to one side.
        """
        count = max(round(CALIBRATED_SHARE * self.config.evaluate_steps), MIN_CALIBRATED)
        last = range(max(self.step - count, 0), self.step)
        batches = (self._move(self.batches[step]) for step in last)
        update_bn((self._input(batch) for batch in batches), self.average)

    def _plain_batches(self) -> list[tuple[Batch, NDArray[np.float64]]]:
        """What `evaluate` wants, of photos spread over the validation split."""
        count = self.validation.photos
        photos = np.linspace(0, count - 1, min(EVALUATED_PHOTOS, count)).astype(int)
        rows = [row for photo in photos.tolist() for row in self.validation.plain(photo)]
        parts = [rows[k : k + EVALUATED_BATCH] for k in range(0, len(rows), EVALUATED_BATCH)]
        return [
            (
                self.validation.stack([sample for sample, _, _ in part]),
                np.array([[yaw, turned] for _, yaw, turned in part], np.float64),
            )
            for part in parts
        ]

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

    def _record(self, losses: list[float], plain: list[tuple[Batch, NDArray[np.float64]]]) -> None:
        """Add a row to the record and draw the curves."""
        if not self.fabric.is_global_zero:
            return
        row: dict[str, float] = {
            "step": self.step,
            "hours": self.seconds / 3600,
            "learning_rate": self.config.learning_rate * self.learning_rate_factor(self.step - 1),
        }
        names = (f"loss_{name}" for name in LossTerms._fields)
        row |= dict(zip(names, losses, strict=True)) | self.evaluate(plain)
        path = self.out / RECORD
        is_new = not path.exists()
        with path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        plot_training(path, self.out / CURVES)
        logger.info("%s", row)

    def _describe(self) -> None:
        """Write down what runs: the recipe, the commit, the precision."""
        if not self.fabric.is_global_zero:
            return
        description = {
            "commit": _commit(),
            "precision": _precision(self.config),
            "torch": torch.__version__,
            "recipe": dataclasses.asdict(self.config),
        }
        (self.out / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")

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
            "network_config": _network_identity(self.config),
        }
        _write(state, path)

    def _resume(self, path: Path) -> None:
        """Load the last checkpoint, if there is one, and cut the record back to it."""
        record = self.out / RECORD
        if not path.exists():
            if self.fabric.is_global_zero:
                record.unlink(missing_ok=True)
            return
        state = load_checkpoint(path)
        if state["network_config"] != _network_identity(self.config):
            raise RecipeError(f"{path}: belongs to another network; name another output folder")
        self._bare.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self._losses = state["losses"]
        if record.exists() and self.fabric.is_global_zero:
            header, *rows = record.read_text().splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) <= self.step]
            record.write_text("\n".join([header, *kept]) + "\n")


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint, of `train` or another. Raises ModelFileError if it is none."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets in a damaged file
        raise ModelFileError(f"{path}: not a checkpoint that can be read ({error})") from error
    return state


def _write(state: dict[str, Any], path: Path) -> None:
    """Save aside, then put in place."""
    with write_aside(path) as aside:
        torch.save(state, aside)


def _load_weights(network: TrainableNetwork, path: Path) -> None:
    """Start from an earlier run's weights."""
    state = load_checkpoint(path)
    try:
        network.load_state_dict(state["network"])
    except (KeyError, RuntimeError) as error:
        raise RecipeError(f"{path}: not weights of this network ({error})") from error


def open_data(
    config: TrainConfig,
    network: TrainableNetwork,
    atlas: Atlas,
    first: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Source, Source, CoefficientTargets | MapTargets]:
    """Open a recipe's data, making the cut-outs if they aren't there.

    Args:
        config: The recipe.
        network: Tells how large its maps are and where their z is 0.
        atlas: The UV space.
        first: Context in which one process goes ahead of the others.

    Returns:
        Training samples, validation samples (the same if the recipe names a number of photos), and
        what makes a batch's targets.

    Raises:
        LabelError: The data is missing or incomplete.
    """
    if config.data.source == "300wlp":
        training = MapSource(config, validation=False)
        validation = training if config.data.photos else MapSource(config, validation=True)
        return training, validation, MapTargets(atlas, network.depth_of_back)
    model = load_ict_face_model(Path(config.data.facekit) / FACE_MODEL_FILE)
    coefficient_targets = CoefficientTargets(model, atlas, network.train_uv, network.depth_of_back)
    sources = []
    for split in ("train", "val"):
        with first(), progress_bar(f"cut-outs of {split}") as report:
            folder = build_cutouts(config.data.facekit, config.data.cutouts, split, report=report)
        landmarks = coefficient_targets.landmark_model
        follows = split == "train" and config.data.match_openings
        names = model.expression_names if follows else None
        sources.append(CutoutSource(config, folder, landmarks, names))
    return sources[0], sources[0 if config.data.photos else 1], coefficient_targets


def _network_identity(config: TrainConfig) -> dict[str, Any]:
    """What two recipes must share for one's checkpoint to go on under the other."""
    return {"name": config.network.name, "input_size": config.network.input_size}


def _commit() -> str:
    """The commit of the code that runs, + after it if files differ; "" outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40"]
    try:
        done = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _precision(config: TrainConfig) -> Any:
    """Fabric's name for the recipe's precision."""
    if config.precision == "auto":
        has_bf16 = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
        return "bf16-mixed" if has_bf16 else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed"}[config.precision]
