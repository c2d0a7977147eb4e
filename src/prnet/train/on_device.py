"""A pack → trained networks, all on one device, by the clock.

Photos, labels, drawing, damage and training stay in the device's memory: nothing waits for a disk
or another processor. The same code runs on a CPU.
"""

import copy
import csv
import dataclasses
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from prnet.data.pack import (
    PART_FILE,
    WARM_START,
    read_pack,
    read_packed_backgrounds,
    read_packed_model,
)
from prnet.errors import RecipeError
from prnet.networks.lite import Lite, Prediction, warm_start
from prnet.synthesis import degrade
from prnet.synthesis.batches import SynthesisConfig, SynthesizedBatch, Synthesizer
from prnet.synthesis.photos import Basis, PhotoSet, load_photos
from prnet.train.config import AugmentConfig, LossConfig, NetworkConfig
from prnet.train.config import _build as _build_config
from prnet.train.consistency import distillation, pair_consistency
from prnet.train.loss import DistanceLoss, nme68
from prnet.train.networks import build_network, load_atlas
from prnet.train.targets import CoefficientTargets, Target
from prnet.uv.atlas import Atlas

logger = logging.getLogger(__name__)

EVALUATED_PHOTOS = 600  # of the validation split, during training
EVALUATED_YAW_DEG = (45.0, 75.0)  # to which they are rotated besides
CALIBRATED_BATCHES = 60  # that give the averaged weights their batch norm statistics
FINISH_SECONDS = 25.0  # kept for that, the last evaluation and writing
INNER = slice(17, 68)  # iBUG points that humans set where the mesh has them, too
GRADIENT_NORM = 20.0


@dataclass(frozen=True)
class DeviceConfig:
    """A recipe for training on one device.

    Attributes:
        pack: Folder that `prnet data pack` wrote.
        minutes: From the start of the run to its end, reading and writing included.
        batch_size: Samples a step, without those that come twice or show no face.
        learning_rate: The highest; it rises over `warmup_steps` and falls as a cosine of the time.
        warmup_steps: See there.
        weight_decay: AdamW's.
        average_decay: Of the exponential average of the weights, which is evaluated and kept.
        reduced_share: Last part of the time, with reduced augmentation; see AugmentConfig.calm.
        consistency: Weight of `pair_consistency`.
        human: Share of the way from the labels' iBUG points to those that humans set.
        teacher: A larger network trained beside it on the same crops; None for none.
        distillation: Weight of the distance to the teacher's answers, reached halfway.
        compile: Compile the damage and the networks; pays on a GPU.
        channels_last: Memory layout of the networks.
        evaluate_seconds: Between rows of the record.
        match_openings: See `load_photos`.
        seed: Of everything random.
    """

    pack: str = "cache/pack"
    minutes: float = 8.0
    batch_size: int = 512
    learning_rate: float = 2.5e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    average_decay: float = 0.998
    reduced_share: float = 0.4
    consistency: float = 1.0
    human: float = 1.0
    distillation: float = 1.0
    compile: bool = True
    channels_last: bool = True
    evaluate_seconds: float = 60.0
    match_openings: bool = True
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    teacher: NetworkConfig | None = None
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)


def load_device_recipe(path: str | os.PathLike[str]) -> DeviceConfig:
    """Read a recipe for training on one device.

    Raises:
        RecipeError: No such file, not TOML, an unknown key, or a value that can't be.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        teacher = table.pop("teacher", None)
        config: DeviceConfig = _build_config(DeviceConfig, table)
        if teacher is None:
            return config
        teacher = _build_config(NetworkConfig, teacher, "teacher.")
        return dataclasses.replace(config, teacher=teacher)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error


class Learner:
    """One network, its optimiser and the average of its weights.

    Args:
        name: In the record and in file names.
        network: Trained in place, on its device already.
        config: The recipe.
    """

    def __init__(self, name: str, network: Lite, config: DeviceConfig) -> None:
        self.name, self.network, self.config = name, network, config
        if config.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = network.canonical.device
        self.forward = torch.compile(network, dynamic=False) if config.compile else network
        self.average = build_like(network, config)
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda",
        )

    def input(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, S, S) float in [0, 255], of any size → what the network takes."""
        size = self.network.input_size
        if crops.shape[2] != size:
            crops = functional.interpolate(crops, size=size, mode="bilinear", antialias=True)
        scaled = (crops - self.network.pixel_mean) / self.network.pixel_std
        if self.config.channels_last:
            return scaled.contiguous(memory_format=torch.channels_last)
        return scaled

    def autocast(self) -> torch.autocast:
        """bf16 on a GPU, 32 bits elsewhere."""
        return torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda")

    def predict(self, crops: Tensor) -> Prediction:
        """Of crops as `input` takes them, for training."""
        with self.autocast():
            return self.forward(self.input(crops)).map(torch.Tensor.float)

    def step(self, loss: Tensor, learning_rate: float) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the average toward the weights; quickly at first."""
        share = max(1 - self.config.average_decay, 1 / (10 + step))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, share)

    @torch.no_grad()
    def calibrate(self, batches: Iterator[Tensor]) -> None:
        """Give the average batch norm statistics of its own: those of averages aren't its."""
        norms = [
            m for m in self.average.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean
        self.average.train()
        for crops in batches:
            with self.autocast():
                self.average(self.input(crops))
        self.average.eval()


def build_like(network: Lite, config: DeviceConfig) -> Lite:
    """A second copy of a network, with the same weights."""
    twin = copy.deepcopy(network)
    for weight in twin.parameters():
        weight.requires_grad_(False)
    return twin


def train_on_device(config: DeviceConfig, out: str | os.PathLike[str]) -> Path:
    """Run a recipe.

    Args:
        config: The recipe.
        out: Folder for `weights.pt` (and `teacher.pt`), the averaged weights, `log.csv` and
            `run.json`.

    Returns:
        Path of the weights.

    Raises:
        LabelError: The pack is incomplete.
    """
    started = time.monotonic()
    run = DeviceRun(config, Path(out), started)
    return run.train()


class DeviceRun:
    """One training run; see `train_on_device`."""

    def __init__(self, config: DeviceConfig, out: Path, started: float) -> None:
        self.config, self.out, self.started = config, out, started
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        torch.set_flush_denormal(True)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        pack = Path(config.pack)
        parts = sorted(pack.glob(PART_FILE.format("*")))
        model = read_packed_model(pack)
        atlas = load_atlas(config.network)
        network = _build(config, atlas, pack).to(device)
        self.learner = Learner("lite", network, config)
        self.teacher: Learner | None = None
        if config.teacher is not None:
            large = build_network(config.teacher, atlas)
            assert isinstance(large, Lite)
            self.teacher = Learner("teacher", large.to(device), config)
        self.learners = [x for x in (self.teacher, self.learner) if x is not None]
        size = max(x.network.input_size for x in self.learners)
        targets = CoefficientTargets(model, atlas, network.train_uv)
        landmarks = targets.landmark_model
        self.targets = targets.to(device)
        self.loss = DistanceLoss(targets.region, config.loss).to(device)
        basis = Basis(model, landmarks, device)
        backgrounds = torch.from_numpy(read_packed_backgrounds(pack)).permute(0, 3, 1, 2)
        backgrounds = backgrounds.contiguous().to(device)

        def synthesizer(photos: PhotoSet, seed: int) -> Synthesizer:
            return Synthesizer(photos, backgrounds, basis, config.synthesis, size, seed)

        photos = load_photos(
            read_pack(parts, "train"), model, landmarks, basis, config.match_openings
        )
        self.training = synthesizer(photos, config.seed)
        held_out = load_photos(
            read_pack(parts, "val", EVALUATED_PHOTOS), model, landmarks, basis, False
        )
        self.validation = synthesizer(held_out, config.seed + 1)
        if config.compile:
            degrade.damaged = torch.compile(degrade.damaged, dynamic=False)
        self.samples = self.step = 0
        logger.info("%d photos on %s after %.0f s", len(photos), device, self.seconds)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def train(self) -> Path:
        """Train until the time is up."""
        config = self.config
        end = 60 * config.minutes - FINISH_SECONDS
        begin = evaluated = self.seconds
        terms: list[Tensor] = []
        while self.seconds < end:
            progress = (self.seconds - begin) / (end - begin)
            settings = self._settings(progress)
            batch = self.training.batch(config.batch_size, settings)
            terms.append(self.optimise(batch, progress))
            if self.step % 100 == 0 and config.evaluate_seconds < math.inf:
                torch.cuda.synchronize() if torch.cuda.is_available() else None
                if self.seconds - evaluated > config.evaluate_seconds:
                    self._record(torch.stack(terms).mean(0).tolist(), 12)
                    terms.clear()
                    evaluated = self.seconds
        self._record(torch.stack(terms).mean(0).tolist(), CALIBRATED_BATCHES)
        return self.out / "weights.pt"

    def _settings(self, progress: float) -> AugmentConfig:
        augment = self.config.augment
        return augment.calmed() if progress > 1 - self.config.reduced_share else augment

    def learning_rate(self, progress: float) -> float:
        """At a share of the time."""
        rising = min((self.step + 1) / max(self.config.warmup_steps, 1), 1.0)
        falling = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.config.learning_rate * rising * falling

    def optimise(self, batch: SynthesizedBatch, progress: float) -> Tensor:
        """One step of every network; the loss terms, one after the other."""
        config = self.config
        target = self.target(batch)
        rate = self.learning_rate(progress)
        taught: Prediction | None = None
        terms = []
        for learner in self.learners:
            prediction = learner.predict(batch.crops)
            faces = prediction.first(len(batch.labels.crops))
            found = self.loss(prediction, target)
            twice = pair_consistency(faces, target, batch.first, batch.labels.mirrored)
            total = found.total + 100 * config.consistency * twice
            row = [*found, 100 * twice]
            if taught is not None:
                distance = distillation(faces, taught, self.loss.weight)
                share = config.distillation * min(2 * progress, 1.0)
                total = total + 100 * share * distance
                row.append(100 * distance)
            learner.step(total, rate)
            learner.follow(self.step)
            taught = faces.map(torch.Tensor.detach)
            terms += row
        self.step += 1
        self.samples += len(batch.crops)
        return torch.stack(terms).detach()

    def target(self, batch: SynthesizedBatch) -> Target:
        """The labels' maps, with iBUG points as humans set them."""
        target = self.targets(batch.labels)
        points = target.landmarks68 + self.config.human * batch.human_shift
        return target._replace(landmarks68=points)

    def _names(self) -> list[str]:
        """Of what `optimise` returns."""
        names = []
        for learner in self.learners:
            mine = ["total", "position_map", "landmarks", "shape", "openings", "concordance"]
            mine += ["steadiness", "confidence", "consistency"]
            mine += ["distillation"] if learner is self.learner and self.teacher else []
            names += [f"{learner.name}_loss_{name}" for name in mine]
        return names

    @torch.no_grad()
    def evaluate(self, learner: Learner) -> dict[str, float]:
        """Errors of the averaged weights on validation photos, 68-point NME in %."""
        errors: dict[str, list[Tensor]] = {}
        source = self.validation.photos.source
        everything = torch.arange(len(source), device=learner.device)
        for index in everything.split(128):
            views = [("", None)] + [(f"_{yaw:.0f}", yaw) for yaw in EVALUATED_YAW_DEG]
            for suffix, yaw in views:
                wanted = None if yaw is None else torch.full(index.shape, yaw, device=index.device)
                batch = self.validation.plain(index, wanted)
                target = self.targets(batch.labels)
                with learner.autocast():
                    said = learner.average(learner.input(batch.crops)).landmarks68.float()
                error = 100 * nme68(said, target.landmarks68)
                errors.setdefault(f"nme{suffix}", []).append(error)
                if yaw is None:
                    human = target.landmarks68 + batch.human_shift
                    box = target.landmarks68[..., :2]
                    extent = (box.amax(1) - box.amin(1)).prod(1).sqrt()
                    off = (said - human)[:, INNER, :2].norm(dim=2).mean(1) / extent
                    errors.setdefault("human", []).append(100 * off)
        joined = {name: torch.cat(parts).cpu().numpy() for name, parts in errors.items()}
        result = {name: float(e.mean()) for name, e in joined.items() if name != "human"}
        for name in np.unique(source):
            chosen = source == name
            result[f"nme_{name}"] = float(joined["nme"][chosen].mean())
            if name in ("ibug", "cfp"):
                result[f"human_{name}"] = float(joined["human"][chosen].mean())
        return result

    def _record(self, losses: list[float], batches: int) -> None:
        """Evaluate, add a row to the record, and save the averaged weights."""
        row: dict[str, Any] = {"step": self.step, "seconds": self.seconds, "samples": self.samples}
        row |= dict(zip(self._names(), losses, strict=True))
        settings = self._settings(1.0)
        for learner in self.learners:
            count = self.config.batch_size
            crops = (self.training.batch(count, settings).crops for _ in range(batches))
            learner.calibrate(crops)
            row |= {f"{learner.name}_{k}": v for k, v in self.evaluate(learner).items()}
            name = "weights.pt" if learner is self.learner else "teacher.pt"
            state = {k: v.cpu().clone() for k, v in learner.average.state_dict().items()}
            path = self.out / name
            torch.save({"network": state, "step": self.step}, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)
        path = self.out / "log.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        description = {"torch": torch.__version__, "recipe": dataclasses.asdict(self.config)}
        (self.out / "run.json").write_text(json.dumps(description, indent=1) + "\n")
        logger.info("%s", " ".join(f"{k}={v:.4g}" for k, v in row.items()))


def _build(config: DeviceConfig, atlas: Atlas, pack: Path) -> Lite:
    """The network to train, with its warm start or earlier weights."""
    network = build_network(config.network, atlas)
    assert isinstance(network, Lite)
    if config.network.warm_start:
        state = torch.load(pack / WARM_START.name, map_location="cpu", weights_only=True)
        warm_start(network, state["state_dict"])
    return network
