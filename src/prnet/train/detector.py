"""Trains the detector on composed scenes for a given time; writes weights, log and ONNX file."""

import csv
import dataclasses
import math
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prnet.data.scene_photos import ScenePhotos, load_photos
from prnet.data.scenes import SCENE_SIZE, Scene, SceneComposer
from prnet.detect.cells import cell_centers, decode_cells
from prnet.detect.search import SAME_FACE
from prnet.evaluate.detection import Matches, SceneDetections, gather_matches
from prnet.export.detector import export_detector
from prnet.geometry.oriented import keep_distinct
from prnet.networks.detector import Detector
from prnet.train.detector_loss import detector_loss
from prnet.train.scene_feed import SceneFeed

FALSE_PER_SCENE = 0.1  # at which recall is given
LEAST_SCORE = 0.02  # detections below aren't looked at
LOG_COLUMNS = (
    *("seconds", "step", "scenes", "learning_rate", "score", "box", "angle"),
    *("recall", "min_score", "box_error"),
)


@dataclass(frozen=True)
class DetectorTraining:
    """The recipe of a run.

    Attributes:
        minutes: The run ends after so long; the learning rate has fallen to 0 by then.
        max_steps: It ends earlier after so many steps; 0: by the clock alone.
        batch_size: Scenes a step, a multiple of 16.
        workers: Processes that compose scenes.
        learning_rate: The highest.
        warmup_steps: In which it rises.
        weight_decay: Of AdamW, on convolutions' weights.
        average_decay: Of the weights' running average, which is what is kept.
        validate_seconds: Between two looks at held-out scenes.
        validation_scenes: Their number.
        seed: Of everything but the processes' timing.
    """

    minutes: float = 8.0
    max_steps: int = 0
    batch_size: int = 128
    workers: int = 12
    learning_rate: float = 3e-3
    warmup_steps: int = 300
    weight_decay: float = 0.02
    average_decay: float = 0.998
    validate_seconds: float = 60.0
    validation_scenes: int = 300
    seed: int = 0


def train_detector(
    photos_file: Path, out: Path, recipe: DetectorTraining, start: Path | None = None
) -> None:
    """Train.

    Args:
        photos_file: What `prnet.data.scene_photos.pack_photos` wrote.
        out: Folder for `weights.pt`, `detector.onnx` and `log.csv`.
        recipe: Its settings.
        start: Weights to begin with; None: random ones.
    """
    begin = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as decoded:
        photos, pixels = load_photos(photos_file, decoded)
        feed = SceneFeed(
            photos, pixels, batch_size=recipe.batch_size, workers=recipe.workers, seed=recipe.seed
        )
        try:
            with (out / "log.csv").open("w", newline="") as log:
                network = _run(photos, feed, device, recipe, start, begin, log, out)
        finally:
            feed.close()
    spec: dict[str, object] = {"recipe": dataclasses.asdict(recipe)}
    _write(out / "detector.onnx", export_detector(network.cpu(), spec))


def _run(
    photos: ScenePhotos,
    feed: SceneFeed,
    device: torch.device,
    recipe: DetectorTraining,
    start: Path | None,
    begin: float,
    log: TextIO,
    out: Path,
) -> Detector:
    """The loop: the averaged network at its end."""
    network = Detector().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        network.load_state_dict(torch.load(start, map_location=device, weights_only=True))
    average = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average_decay),
        use_buffers=True,
    )
    optimizer = torch.optim.AdamW(
        _parameter_groups(network, recipe.weight_decay), lr=recipe.learning_rate
    )
    centers = torch.tensor(cell_centers(SCENE_SIZE, SCENE_SIZE), device=device)
    composer = SceneComposer(photos, held_out=True, seed=recipe.seed)
    rng = np.random.default_rng([recipe.seed, 7])
    validation = [composer.compose(rng) for _ in range(recipe.validation_scenes)]
    writer = csv.writer(log)
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
            print(dict(zip(LOG_COLUMNS, row, strict=True)), flush=True)  # noqa: T201
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
    decaying = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
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
    cells = network(pixels)[0].cpu().numpy()
    boxes, scores = decode_cells(cells, picture.shape[0], picture.shape[1], LEAST_SCORE)
    kept = keep_distinct(boxes, scores, SAME_FACE)
    return boxes[kept], scores[kept]


def _log_row(
    begin: float, step: int, batch_size: int, rate: float, losses: list[float], matches: Matches
) -> list[float]:
    """A row of the log, in the order of LOG_COLUMNS."""
    min_score = matches.score_at(FALSE_PER_SCENE)
    right = (matches.face >= 0) & (matches.scores >= min_score)
    error = float(np.median(matches.error[right])) if right.any() else math.nan
    seconds = time.monotonic() - begin
    recall = float(matches.found(min_score).mean())
    values = [seconds, step, step * batch_size, rate, *losses, recall, min_score, error]
    return [float(f"{value:.5g}") for value in values]


def _save(network: nn.Module, path: Path) -> None:
    """Write weights aside, then give them their name."""
    aside = path.with_name(path.name + ".partial")
    torch.save(network.state_dict(), aside)
    aside.replace(path)


def _write(path: Path, content: bytes) -> None:
    """Write a file aside, then give it its name."""
    aside = path.with_name(path.name + ".partial")
    aside.write_bytes(content)
    aside.replace(path)
