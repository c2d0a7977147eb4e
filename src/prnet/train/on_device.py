"""A pack → trained networks, all on one device, by the clock.

Photos, labels, drawing, damage and training stay in the device's memory: nothing waits for a disk
or another processor. The same code runs on a CPU.
"""

import logging
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prnet.data.pack import (
    PART_FILE,
    WARM_START,
    read_pack,
    read_packed_backgrounds,
    read_packed_model,
)
from prnet.landmarks import INNER
from prnet.networks.lite import Lite
from prnet.networks.mobilenet import warm_start
from prnet.networks.prediction import Prediction
from prnet.synthesis.batches import SynthesizedBatch, Synthesizer
from prnet.synthesis.photos import Basis, PhotoSet, load_photos
from prnet.train.checkpoint import load_checkpoint, load_weights, save_checkpoint
from prnet.train.config import AugmentConfig, NetworkConfig
from prnet.train.device_config import DeviceConfig
from prnet.train.distillation import distillation
from prnet.train.learner import Learner
from prnet.train.loss import NAMES, Loss, nme68
from prnet.train.networks import build_network, load_atlas
from prnet.train.record import Record
from prnet.train.targets import CoefficientTargets, Target
from prnet.uv.atlas import Atlas

logger = logging.getLogger(__name__)

STUDENT, TEACHER = "weights", "teacher"  # names of the files with the averaged weights
PREFIX = {STUDENT: "", TEACHER: "teacher_"}  # of columns of the record
EVALUATED_PHOTOS = 600  # of the validation split
EVALUATED_BATCH = 128
EVALUATED_YAW_DEG = (45.0, 75.0)  # to which they are rotated besides
CALIBRATED, CALIBRATED_LAST = 12, 60  # batches for the average's statistics
FINISH_SHARE, FINISH_SECONDS = 0.1, 25.0  # of the time, kept for the end; at most so many seconds
LOOK_STEPS = 50  # between looks at the clock for an evaluation


def train_on_device(config: DeviceConfig, out: str | os.PathLike[str]) -> Path:
    """Run a recipe.

    Args:
        config: The recipe.
        out: Folder for `weights.pt` (and `teacher.pt`), the averaged weights, `log.csv`,
            `curves.png` and `run.json`.

    Returns:
        Path of `weights.pt`.

    Raises:
        LabelError: The pack is incomplete.
        RecipeError: Weights to start from don't fit.
    """
    started = time.monotonic()
    return DeviceRun(config, Path(out), started).train()


class DeviceRun:
    """One training run.

    Args:
        config: The recipe.
        out: See `train_on_device`.
        started: When the recipe's minutes began, by `time.monotonic`.

    Attributes:
        learners: The teacher, if there is one, then the network.
        training: Draws the batches.
    """

    def __init__(self, config: DeviceConfig, out: Path, started: float) -> None:
        self.config, self.out, self.started = config, out, started
        out.mkdir(parents=True, exist_ok=True)
        self.record = Record(out)
        torch.manual_seed(config.seed)
        # weights that fade towards 0 end in denormal numbers, which are very slow on a CPU
        torch.set_flush_denormal(True)
        torch.set_float32_matmul_precision("high")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        pack = Path(config.pack)
        atlas = load_atlas(config.network)
        self.student = self._learner(STUDENT, config.network, atlas, device)
        self.learners = [self.student]
        if config.teacher is not None:
            self.learners.insert(0, self._learner(TEACHER, config.teacher, atlas, device))
        model = read_packed_model(pack)
        targets = CoefficientTargets(model, atlas, self.student.network.train_uv)
        landmarks = targets.landmark_model
        self.targets = targets.to(device)
        self.pairs = round(config.synthesis.pair_share * config.batch_size)
        self.loss = Loss(targets.region, config.loss, self.pairs).to(device)
        basis = Basis(model, landmarks, device)
        backgrounds = torch.from_numpy(read_packed_backgrounds(pack)).permute(0, 3, 1, 2)
        backgrounds = backgrounds.contiguous().to(device)
        size = max(learner.network.input_size for learner in self.learners)

        def synthesizer(photos: PhotoSet, seed: int) -> Synthesizer:
            return Synthesizer(photos, backgrounds, basis, config.synthesis, size, seed)

        parts = sorted(pack.glob(PART_FILE.format("*")))
        known = read_pack(parts, "train")
        self.training = synthesizer(
            load_photos(known, model, landmarks, basis, config.match_openings), config.seed
        )
        held_out = read_pack(parts, "val", EVALUATED_PHOTOS)
        self.validation = synthesizer(
            load_photos(held_out, model, landmarks, basis, False), config.seed + 1
        )
        self.samples = self.step = 0
        logger.info("%d photos on %s after %.0f s", len(known.pixels), device, self.seconds)

    def _learner(
        self, name: str, config: NetworkConfig, atlas: Atlas, device: torch.device
    ) -> Learner:
        """A network with its warm start or earlier weights, ready to learn."""
        network = build_network(config, atlas)
        assert isinstance(network, Lite)  # the recipe's check
        if config.warm_start:
            path = Path(self.config.pack) / WARM_START.name
            warm_start(network.encoder, load_checkpoint(path)["state_dict"])
        if config.weights:
            load_weights(network, Path(config.weights))
        return Learner(name, network.to(device), self.config)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def train(self) -> Path:
        """Train until the time is up."""
        config, budget = self.config, 60 * self.config.minutes
        self.record.cut_back(0)
        self.record.describe(config, self.student.device.type)
        end = budget - min(FINISH_SECONDS, FINISH_SHARE * budget)
        begin = evaluated = self.seconds
        terms: list[Tensor] = []
        while not terms or self.seconds < end:
            progress = (self.seconds - begin) / max(end - begin, 1.0)
            batch = self.training.batch(config.batch_size, self._settings(progress))
            terms.append(self.optimise(batch, progress))
            if self.step % LOOK_STEPS == 0:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()  # the clock means steps done, not steps asked for
                if self.seconds - evaluated > config.evaluate_seconds:
                    self._record(torch.stack(terms).mean(0).tolist(), CALIBRATED)
                    terms, evaluated = [terms[-1]], self.seconds
        self._record(torch.stack(terms).mean(0).tolist(), CALIBRATED_LAST)
        return self._weights_path(self.student)

    def _settings(self, progress: float) -> AugmentConfig:
        """The augmentation at a share of the time."""
        is_last = progress > 1 - self.config.reduced_augmentation_share
        return self.config.augment.reduced() if is_last else self.config.augment

    def learning_rate(self, progress: float) -> float:
        """At a share of the time."""
        rising = min((self.step + 1) / max(self.config.warmup_steps, 1), 1.0)
        falling = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.config.learning_rate * rising * falling

    def optimise(self, batch: SynthesizedBatch, progress: float) -> Tensor:
        """One step of every network; the loss terms in the order of `_names`, detached."""
        target, rate = self.target(batch), self.learning_rate(progress)
        taught: Prediction | None = None
        terms: list[Tensor] = []
        for learner in self.learners:
            prediction = learner.predict(batch.crops)
            found = self.loss(prediction, target)
            total = found["total"]
            terms += [found[name] for name in NAMES]
            faces = prediction.first(len(batch.labels.crops))
            if taught is not None:
                distance = 100 * distillation(faces, taught, self.loss.weight)
                total = total + self.config.distillation * min(2 * progress, 1.0) * distance
                terms.append(distance)
            learner.step(total, rate)
            learner.follow(self.step)
            taught = faces.map(torch.Tensor.detach)
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
        names = [f"{PREFIX[each.name]}loss_{name}" for each in self.learners for name in NAMES]
        return names + ["loss_distillation"] * (len(self.learners) - 1)

    @torch.no_grad()
    def evaluate(self, learner: Learner) -> dict[str, float]:
        """Errors of the averaged weights on validation photos.

        Returns:
            68-point NME in %: `nme`, `nme_45` and `nme_75` (rotated to that |yaw|), `nme_lfw` and
            so on by source; `human_ibug` and `human_cfp`: distance of the inner points from where
            humans set them.
        """
        errors: dict[str, list[Tensor]] = {}
        source = self.validation.photos.source
        everything = torch.arange(len(source), device=learner.device)
        for index in everything.split(EVALUATED_BATCH):
            for yaw in (None, *EVALUATED_YAW_DEG):
                wanted = None if yaw is None else torch.full(index.shape, yaw, device=index.device)
                batch = self.validation.plain(index, wanted)
                true = self.targets(batch.labels).landmarks68
                said = learner.predict(batch.crops, averaged=True).landmarks68
                name = "nme" if yaw is None else f"nme_{yaw:.0f}"
                errors.setdefault(name, []).append(100 * nme68(said, true))
                if yaw is None:
                    off = (said - true - batch.human_shift)[:, INNER, :2].norm(dim=2).mean(1)
                    size = (true.amax(1) - true.amin(1))[:, :2].prod(1).sqrt()
                    errors.setdefault("human", []).append(100 * off / size)
        joined = {name: torch.cat(parts).cpu().numpy() for name, parts in errors.items()}
        result = {name: float(e.mean()) for name, e in joined.items() if name != "human"}
        for name in np.unique(source).tolist():
            result[f"nme_{name}"] = float(joined["nme"][source == name].mean())
            if name in ("ibug", "cfp"):
                result[f"human_{name}"] = float(joined["human"][source == name].mean())
        return result

    def _weights_path(self, learner: Learner) -> Path:
        return self.out / f"{learner.name}.pt"

    def _record(self, losses: list[float], batches: int) -> None:
        """Evaluate, add a row to the record, and save the averaged weights."""
        row: dict[str, float] = {
            "step": self.step,
            "hours": self.seconds / 3600,
            "samples": self.samples,
        }
        row |= dict(zip(self._names(), losses, strict=True))
        last, count = self._settings(1.0), self.config.batch_size
        for learner in self.learners:
            learner.calibrate(self.training.batch(count, last).crops for _ in range(batches))
            row |= {PREFIX[learner.name] + k: v for k, v in self.evaluate(learner).items()}
            weights = {k: v.cpu().clone() for k, v in learner.average.state_dict().items()}
            state = {"network": weights, "step": self.step, "seconds": self.seconds}
            save_checkpoint(state, self._weights_path(learner))
        self.record.add(row)
        logger.info("%s", " ".join(f"{k}={v:.4g}" for k, v in row.items()))
