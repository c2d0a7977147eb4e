"""Trains the detector on composed scenes for a given time."""

import csv
import logging
import math
import pickle
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prnet.data.scene_mix import LEARNED
from prnet.data.scene_photos import ScenePhotos, load_photos
from prnet.data.scenes import TEXTURES, Scene, SceneComposer
from prnet.detect.cells import cell_centers, find_faces
from prnet.errors import RecipeError
from prnet.evaluate.detection import Matches, SceneDetections, gather_matches
from prnet.evaluate.plots import plot_training
from prnet.files import write_aside
from prnet.networks.detector import Detector, Refinement
from prnet.train.detector_loss import detector_loss
from prnet.train.detector_mine import HARD_SIDE, mine_negatives
from prnet.train.detector_recipe import DetectorRecipe, prepare_photos, yunet_file
from prnet.train.detector_start import (
    DEEPER_STAGES,
    is_deeper,
    start_from_deeper,
    start_from_yunet,
)
from prnet.train.scene_feed import SceneFeed

FALSE_PER_SCENE = 0.1  # at which recall is given
logger = logging.getLogger(__name__)

START_SIZE = 160  # of the scenes by which the first layers imitate YuNet
LEAST_SCORE = 0.02  # detections below aren't looked at
LOG = "log.csv"
MEASURES = "recall", "box_error"
MEASURES_TITLE = "Held-out scenes: recall, box error in face sizes"
LOG_COLUMNS = (
    *("seconds", "step", "scenes", "learning_rate", "loss_score", "loss_box", "loss_angle"),
    *("recall", "min_score", "box_error"),
)


def train_detector(recipe: DetectorRecipe, out: Path) -> Detector:
    """Train.

    Args:
        recipe: Its settings.
        out: Folder for `weights.pt`, `log.csv` and `curves.png`.

    Returns:
        The averaged network, on the CPU.

    Raises:
        LabelError: The photos can't be read or made.
        RecipeError: The weights to start with can't be read.
    """
    begin = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = Detector()
    teacher = None
    if recipe.start:
        weights = _read(Path(recipe.start))
        teacher = Detector(DEEPER_STAGES) if is_deeper(weights) else None
        _load(teacher or network, weights, recipe.start)
    with tempfile.TemporaryDirectory() as decoded:
        photos, pixels = load_photos(prepare_photos(recipe), decoded)
        network.to(device)
        if teacher is not None or not recipe.start:
            composer = SceneComposer(photos, held_out=False, seed=recipe.seed, size=START_SIZE)
            how = composer, recipe.imitate_steps, recipe.seed
            if teacher is None:
                start_from_yunet(network, yunet_file(recipe), *how)
            else:
                start_from_deeper(network, teacher, *how)
        hard = _HardNegatives(network, photos, recipe, Path(decoded)) if recipe.mined else None
        feed = SceneFeed(
            photos,
            pixels,
            hard=None if hard is None else hard.path,
            size=recipe.scene_size,
            batch_size=recipe.batch_size,
            workers=recipe.workers,
            uses=recipe.uses,
            seed=recipe.seed,
        )
        try:
            with (out / LOG).open("w", newline="") as log:
                return _run(network, photos, feed, hard, recipe, begin, log, out).cpu()
        finally:
            feed.close()


class _HardNegatives:
    """What a network took for faces, in a file that the composing processes read."""

    def __init__(
        self, network: nn.Module, photos: ScenePhotos, recipe: DetectorRecipe, folder: Path
    ) -> None:
        """Look for the first of them."""
        self.path = folder / "hard.npy"
        shape = recipe.mined, HARD_SIDE, HARD_SIDE, 3
        self._pictures = np.lib.format.open_memmap(self.path, "w+", np.uint8, shape)
        self._rng = np.random.default_rng([recipe.seed, 13])
        self._composer = SceneComposer(
            photos, held_out=False, seed=recipe.seed + 1, size=recipe.scene_size, mix=LEARNED
        )
        self._seconds, self._mined = recipe.mine_seconds, -math.inf
        self._replace(network, recipe.mined)

    def refresh(self, network: nn.Module) -> None:
        """Replace half of them by newer ones, if it is time to."""
        if time.monotonic() - self._mined >= self._seconds:
            self._replace(network, len(self._pictures) // 2)

    def _replace(self, network: nn.Module, count: int) -> None:
        """Put up to so many new ones in place of others."""
        device = next(network.parameters()).device
        self._composer.redraw_textures(self._rng, TEXTURES)
        found = mine_negatives(
            lambda picture: look(network, picture, device), self._composer, count, self._rng
        )
        rows = self._rng.permutation(len(self._pictures))[:count]
        for place, row in enumerate(rows if len(found) else ()):
            # the first round fills all places
            if place < len(found) or not self._pictures[row].any():
                self._pictures[row] = found[place % len(found)]
        self._mined = time.monotonic()
        logger.info("hard negatives: %d of %d found", len(found), count)


def _run(
    network: Detector,
    photos: ScenePhotos,
    feed: SceneFeed,
    hard: _HardNegatives | None,
    recipe: DetectorRecipe,
    begin: float,
    log: TextIO,
    out: Path,
) -> Detector:
    """The loop: the averaged network at its end."""
    device = next(network.parameters()).device
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.frozen_stages:
        for part in (network.stem, *network.stages[: recipe.frozen_stages]):
            part.requires_grad_(False)
    average = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average_decay),
        use_buffers=True,
    )
    optimizer = torch.optim.AdamW(
        _parameter_groups(network, recipe.weight_decay), lr=recipe.learning_rate, fused=True
    )
    centers = torch.tensor(cell_centers(recipe.scene_size, recipe.scene_size), device=device)
    composer = SceneComposer(photos, held_out=True, seed=recipe.seed)
    rng = np.random.default_rng([recipe.seed, 7])
    validation = [composer.compose(rng) for _ in range(recipe.validation_scenes)]
    writer = csv.writer(log, lineterminator="\n")
    writer.writerow(LOG_COLUMNS)
    autocast = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
    first, end = time.monotonic(), begin + recipe.minutes * 60
    sums, validated = torch.zeros(3, device=device), first
    steps_summed = 0
    for step, batch in enumerate(feed):
        now = time.monotonic()
        progress = (now - first) / max(end - first, 1e-9)
        if recipe.max_steps:
            progress = max(progress, step / recipe.max_steps)
        is_over = progress >= 1
        if (now - validated >= recipe.validate_seconds or is_over) and step:
            _save(average.module, out / "weights.pt")
            matches = detect_scenes(average.module, validation, device)
            rate = optimizer.param_groups[0]["lr"]
            means = (sums / steps_summed).tolist()
            row = _log_row(begin, step, recipe.batch_size, rate, means, matches)
            writer.writerow(row)
            log.flush()
            plot_training(out / LOG, out / "curves.png", MEASURES, MEASURES_TITLE)
            logger.info(", ".join(map("{} {}".format, LOG_COLUMNS, row)))
            if hard is not None and not is_over:
                hard.refresh(average.module)
            sums.zero_()
            steps_summed, validated = 0, time.monotonic()
        if is_over:
            break
        rate = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / recipe.warmup_steps)
        images = batch.images.to(device, non_blocking=True).permute(0, 3, 1, 2)
        truth = type(batch.truth)(*(part.to(device, non_blocking=True) for part in batch.truth))
        with autocast:
            cells = network(images.float())
        losses = detector_loss(cells.float(), centers, truth)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        # the average follows closely at first
        if step < recipe.warmup_steps:
            average.module.load_state_dict(network.state_dict())
        else:
            average.update_parameters(network)
        sums += torch.stack(losses).detach()
        steps_summed += 1
    assert isinstance(average.module, Detector)
    return average.module


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Convolutions' weights decay, biases and norms don't."""
    learning = [p for p in network.parameters() if p.requires_grad]
    decaying = [p for p in learning if p.ndim > 1]
    others = [p for p in learning if p.ndim <= 1]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def detect_scenes(network: nn.Module, scenes: list[Scene], device: torch.device) -> Matches:
    """What a network finds in scenes of one size, at one look."""
    network.eval()
    results = []
    for scene in scenes:
        boxes, scores = look(network, scene.image, device)
        results.append(SceneDetections(boxes, scores, scene.faces, scene.ignored))
    return gather_matches(results)


@torch.inference_mode()
def look(
    network: nn.Module, picture: NDArray[np.uint8], device: torch.device
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What a network finds in a picture whose sides are multiples of 32: boxes and scores."""
    pixels = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float()
    cells = network(pixels)[0].T.cpu().numpy()
    return find_faces(cells, picture.shape[0], picture.shape[1], LEAST_SCORE)


def _log_row(
    begin: float, step: int, batch_size: int, rate: float, losses: list[float], matches: Matches
) -> list[str]:
    """A row of the log, in the order of LOG_COLUMNS."""
    min_score = matches.score_at(FALSE_PER_SCENE)
    right = (matches.face >= 0) & (matches.scores >= min_score)
    error = float(np.median(matches.error[right])) if right.any() else math.nan
    seconds = time.monotonic() - begin
    recall = float(matches.found(min_score).mean())
    values = [rate, *losses, recall, min_score, error]
    counts = [f"{seconds:.0f}", str(step), str(step * batch_size)]
    return [*counts, *(f"{value:.5g}" for value in values)]


def _save(network: nn.Module, path: Path) -> None:
    """Write weights."""
    with write_aside(path) as aside:
        torch.save(network.state_dict(), aside)


def _read(path: Path) -> dict[str, Tensor]:
    """Read weights; raises RecipeError if the file holds none."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise RecipeError(f"{path}: not weights of the detector ({error})") from error
    if not isinstance(weights, dict):
        raise RecipeError(f"{path}: not weights of the detector")
    return weights


def _load(network: nn.Module, weights: dict[str, Tensor], path: str) -> None:
    """Give a network weights; raises RecipeError if they aren't its own.

    Refinements that they lack stay as they are built, adding next to nothing.
    """
    lacking = {
        f"{name}.{key}": value
        for name, module in network.named_modules()
        if isinstance(module, Refinement)
        for key, value in module.state_dict().items()
    }
    try:
        network.load_state_dict(lacking | weights)
    except (RuntimeError, TypeError) as error:
        raise RecipeError(f"{path}: not weights of the detector ({error})") from error
