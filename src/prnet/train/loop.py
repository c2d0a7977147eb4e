"""A recipe → a trained network: the loop, its checkpoints, its record."""

import csv
import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.optim.swa_utils import AveragedModel

from prnet.data.cutouts import build_cutouts, yaw_of
from prnet.data.face_model import load_ict_face_model
from prnet.data.facekit import FACE_MODEL_FILE
from prnet.errors import ModelFileError, RecipeError
from prnet.evaluate.plots import plot_training
from prnet.network.lite import TRAIN_SIZE, Lite, warm_start
from prnet.train.augment import crop_cutout
from prnet.train.config import TrainConfig, load_recipe
from prnet.train.dataset import (
    VARIANTS,
    Batch,
    CutoutFiles,
    TrainingSamples,
    batches,
    make_batch,
)
from prnet.train.loss import DistanceLoss, LossTerms
from prnet.train.targets import TargetMaker
from prnet.uv.atlas import Atlas

logger = logging.getLogger(__name__)

PIXEL_MEAN, PIXEL_STD = 127.5, 128.0  # those of the warm start's network
CHECKPOINT, RECORD, CURVES = "checkpoint.pt", "log.csv", "curves.png"
EVALUATED_PHOTOS = 256  # of the validation split, with their turned copies, during training


def train(recipe: str | os.PathLike[str], out: str | os.PathLike[str], atlas: Atlas) -> Path:
    """Run a recipe, or go on with it where its last checkpoint in `out` ends.

    Args:
        recipe: TOML file.
        out: Folder for `checkpoint.pt`, `log.csv`, `curves.png` and `recipe.json`.
        atlas: The UV space to train for.

    Returns:
        Path of the checkpoint.

    Raises:
        RecipeError: The recipe is wrong, or `out` holds a run of another network.
        LabelError: The data is incomplete.
    """
    config, out = load_recipe(recipe), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    return Run(config, out, atlas).train()


class Run:
    """One training run.

    Args:
        config: The recipe.
        out: See `train`.
        atlas: See `train`.
    """

    def __init__(self, config: TrainConfig, out: Path, atlas: Atlas) -> None:
        self.config, self.out = config, out
        torch.manual_seed(config.seed)
        # weights that fade towards 0 end in denormal numbers, which are very slow on a CPU
        torch.set_flush_denormal(True)
        self.fabric = Fabric(accelerator="auto", devices="auto", precision=_precision(config))
        self.fabric.launch()
        facekit = Path(config.data.facekit)
        model = load_ict_face_model(facekit / FACE_MODEL_FILE)
        network = Lite(atlas, config.network.input_size)
        if config.network.warm_start:
            warm_start(network, _encoder_weights(facekit / config.network.warm_start))
        decay = config.average_decay
        self.average = AveragedModel(
            network,
            avg_fn=lambda mean, new, count: mean + (new - mean) * max(1 - decay, 1 / (10 + count)),
            use_buffers=True,
        ).to(self.fabric.device)
        optimizer = torch.optim.AdamW(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.raw = network
        self.network, self.optimizer = self.fabric.setup(network, optimizer)
        self.targets = TargetMaker(model, atlas, TRAIN_SIZE).to(self.fabric.device)
        self.loss = DistanceLoss(self.targets.region, config.loss).to(self.fabric.device)
        folders = []
        for split in ("train", "val"):
            with _progress(f"cut-outs of {split}") as report:
                source, cutouts = config.data.facekit, config.data.cutouts
                folders.append(build_cutouts(source, cutouts, split, report=report))
        self.validation_files = CutoutFiles(folders[1])
        self.samples = TrainingSamples(
            config,
            folders[0],
            self.targets.landmarks_mean[0].cpu().numpy(),
            self.targets.landmarks_basis[0].cpu().numpy(),
            self.fabric.global_rank,
            self.fabric.world_size,
        )
        self.step, self.seconds = 0, 0.0

    def train(self) -> Path:
        """Train to the recipe's last step; evaluates, records and saves on the way."""
        config, path = self.config, self.out / CHECKPOINT
        self._resume(path)
        validation = self._validation()
        (self.out / "recipe.json").write_text(json.dumps(dataclasses.asdict(config), indent=1))
        saved = started = time.monotonic()
        sums: list[torch.Tensor] = []
        with _progress("steps", self.fabric.global_rank) as report:
            for batch in batches(self.samples, self.step, config.steps):
                sums.append(torch.stack(self._optimise(batch)).detach())
                self.step += 1
                report(self.step, config.steps)
                now = time.monotonic()
                if self.step % config.evaluate_steps == 0 or self.step == config.steps:
                    seconds = self.seconds + now - started
                    self._record(torch.stack(sums).mean(0).tolist(), validation, seconds)
                    sums.clear()
                if now - saved > 60 * config.checkpoint_minutes or self.step == config.steps:
                    self._save(path, self.seconds + now - started)
                    saved = now
        return path

    def _optimise(self, batch: Batch) -> LossTerms:
        """One step of the optimiser."""
        factor = self.learning_rate_factor(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor
        batch = Batch(*(part.to(self.fabric.device) for part in batch))
        self.network.train()
        terms = self.loss(self.network(_scale(batch.crops)), self.targets(batch))
        self.optimizer.zero_grad()
        self.fabric.backward(terms.total)
        self.fabric.clip_gradients(self.network, self.optimizer, max_norm=20.0)
        self.optimizer.step()
        self.average.update_parameters(self.raw)
        return terms

    def learning_rate_factor(self, step: int) -> float:
        """Share of the full learning rate at a step: up, level, down."""
        config = self.config
        left = (config.steps - step) / max(config.cooldown_steps, 1)
        return min((step + 1) / max(config.warmup_steps, 1), 1.0, max(left, 1e-3))

    def _validation(self) -> list[tuple[Batch, np.ndarray]]:
        """Batches of validation crops, each with its samples' (|yaw| in degrees, turned) columns."""
        config, files = self.config, self.validation_files
        photos = np.linspace(0, files.photos - 1, min(EVALUATED_PHOTOS, files.photos)).astype(int)
        samples, kinds = [], []
        for index in (photos[:, None] * VARIANTS + np.arange(VARIANTS)).ravel().tolist():
            cutout = files[index]
            crop, pose = crop_cutout(
                cutout.pixels,
                cutout.pose,
                self.samples.landmarks(cutout),
                config.network.input_size,
                config.augment,
                None,
            )
            samples.append((crop, pose, cutout, False))
            kinds.append((abs(yaw_of(cutout.pose.rotation)), cutout.turned))
        starts = range(0, len(samples), 64)
        return [(make_batch(samples[i : i + 64]), np.array(kinds[i : i + 64])) for i in starts]

    @torch.no_grad()
    def evaluate(self, validation: list[tuple[Batch, np.ndarray]]) -> dict[str, float]:
        """68-point NME in per cent and relative shape error of the averaged weights."""
        self.average.eval()
        errors, shapes, means, kinds = [], [], [], []
        for batch, kind in validation:
            batch = Batch(*(part.to(self.fabric.device) for part in batch))
            prediction, target = self.average(_scale(batch.crops)), self.targets(batch)
            true = target.landmarks68[..., :2]
            size = (true.amax(1) - true.amin(1)).prod(1).sqrt()
            distance = (prediction.landmarks68[..., :2] - true).norm(dim=2).mean(1)
            errors.append(100 * distance / size)
            face = self.targets.is_face
            true_shape = target.shape.flatten(1, 2)[:, face]
            shapes.append(
                (prediction.shape.flatten(1, 2)[:, face] - true_shape).norm(dim=2).mean(1)
            )
            means.append((self.targets.mean[face] - true_shape).norm(dim=2).mean(1))
            kinds.append(kind)
        nme, (yaw, turned) = torch.cat(errors).cpu().numpy(), np.concatenate(kinds).T
        is_turned = turned > 0
        return {
            "nme": float(nme[~is_turned].mean()),
            "nme_turned_30_60": float(nme[is_turned & (yaw > 30) & (yaw <= 60)].mean()),
            "nme_turned_60_90": float(nme[is_turned & (yaw > 60)].mean()),
            "shape_ratio": float(torch.cat(shapes).mean() / torch.cat(means).mean()),
        }

    def _record(
        self, losses: list[float], validation: list[tuple[Batch, np.ndarray]], seconds: float
    ) -> None:
        """Add a row to the record and draw the curves."""
        if self.fabric.global_rank:
            return
        row: dict[str, Any] = {
            "step": self.step,
            "hours": round(seconds / 3600, 4),
            "learning_rate": self.config.learning_rate * self.learning_rate_factor(self.step - 1),
        }
        names = (f"loss_{name}" for name in LossTerms._fields)
        row |= {name: round(value, 4) for name, value in zip(names, losses, strict=True)}
        row |= {name: round(value, 4) for name, value in self.evaluate(validation).items()}
        path = self.out / RECORD
        is_new = not path.exists()
        with path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        plot_training(path, self.out / CURVES)
        logger.info("%s", row)

    def _save(self, path: Path, seconds: float) -> None:
        """Write a checkpoint aside, then put it in place."""
        if self.fabric.global_rank:
            return
        state = {
            "network": self.raw.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": seconds,
            "network_config": dataclasses.asdict(self.config.network),
        }
        temporary = path.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(path)

    def _resume(self, path: Path) -> None:
        """Load the last checkpoint, if there is one, and cut the record back to it."""
        if not path.exists():
            (self.out / RECORD).unlink(missing_ok=True)
            return
        state = load_checkpoint(path)
        if state["network_config"] != dataclasses.asdict(self.config.network):
            raise RecipeError(f"{path}: belongs to another network; name another output folder")
        self.raw.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        record = self.out / RECORD
        if record.exists() and not self.fabric.global_rank:
            header, *rows = record.read_text().splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) <= self.step]
            record.write_text("\n".join([header, *kept]) + "\n")


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint of `train`. Raises ModelFileError if it is none."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ModelFileError(f"{path}: not a checkpoint of `prnet train` ({error})") from error


def _scale(crops: torch.Tensor) -> torch.Tensor:
    """uint8 pixels → network input."""
    return (crops.float() - PIXEL_MEAN) / PIXEL_STD


def _precision(config: TrainConfig) -> Any:
    """Fabric's name for the recipe's precision."""
    if config.precision == "auto":
        has_bf16 = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
        return "bf16-mixed" if has_bf16 else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed"}[config.precision]


def _encoder_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state_dict in the warm start's file."""
    state = load_checkpoint(path)
    return state["state_dict"]


class _progress:
    """A progress bar on a terminal, silence elsewhere: used as a context that gives report(done, all)."""

    def __init__(self, what: str, rank: int = 0) -> None:
        columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self.bar = Progress(*columns, disable=rank != 0)

    def __enter__(self) -> Callable[[int, int], None]:
        self.bar.__enter__()
        task = self.bar.add_task("", total=None)
        return lambda done, total: self.bar.update(task, completed=done, total=total)

    def __exit__(self, *exception: Any) -> None:
        self.bar.__exit__(*exception)
