"""Trains the detector on composed scenes for a given time."""

import csv
import logging
import math
import pickle
import tempfile
import time
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prnet.data.scene_mix import LEARNED
from prnet.data.scene_photos import ScenePhotos, load_photos
from prnet.data.scenes import TEXTURES, Scene, SceneComposer
from prnet.detect.cells import find_faces
from prnet.errors import RecipeError
from prnet.evaluate.detection import Matches, SceneDetections, gather_matches
from prnet.evaluate.plots import plot_training
from prnet.files import write_aside
from prnet.networks.detector import Detector
from prnet.networks.detector_teacher import DetectorTeacher
from prnet.train.detector_learner import LOSSES, DetectorLearner
from prnet.train.detector_mine import HARD_SIDE, mine_negatives
from prnet.train.detector_recipe import DetectorRecipe, prepare_photos
from prnet.train.scene_feed import SceneFeed

FALSE_PER_SCENE = 0.1  # at which recall is given
logger = logging.getLogger(__name__)

# what files that are no weights raise
UNREADABLE = OSError, RuntimeError, TypeError, AttributeError, EOFError, KeyError
LEAST_SCORE = 0.02  # detections below aren't looked at
LOG = "log.csv"
MEASURES = "recall", "box_error"
MEASURES_TITLE = "Held-out scenes: recall, box error in face sizes"
LOG_COLUMNS = (
    *("seconds", "step", "scenes", "learning_rate", "loss_score", "loss_box", "loss_angle"),
    "loss_imitation",
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
        ModelFileError: The facekit has no YuNet, or it can't be opened.
        RecipeError: The weights to start with, or the teacher's, can't be read.
    """
    begin = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, teacher = Detector(), None
    if recipe.start:
        _load(network, recipe.start)
    if recipe.teacher:
        teacher = DetectorTeacher().requires_grad_(False).eval()
        _load(teacher, recipe.teacher)
        teacher.to(device)
    learner = DetectorLearner(network, recipe, device, teacher)
    with tempfile.TemporaryDirectory() as decoded:
        photos, pixels = load_photos(prepare_photos(recipe), decoded)
        hard = None
        if recipe.mined:
            # what hasn't learned anything yet takes all things for faces
            first = network if recipe.start or teacher is None else teacher
            hard = _HardNegatives(first, photos, recipe, Path(decoded))
        feed = SceneFeed(
            photos,
            pixels,
            hard=None if hard is None else hard.path,
            size=recipe.scene_size,
            batch_size=recipe.batch_size,
            workers=recipe.workers,
            uses=recipe.uses,
            seed=recipe.seed,
            device=device,
        )
        try:
            with (out / LOG).open("w", newline="") as log:
                return _run(learner, photos, feed, hard, recipe, begin, log, out).cpu()
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
        network.eval()
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
    learner: DetectorLearner,
    photos: ScenePhotos,
    feed: SceneFeed,
    hard: _HardNegatives | None,
    recipe: DetectorRecipe,
    begin: float,
    log: TextIO,
    out: Path,
) -> Detector:
    """The loop: the averaged network at its end."""
    validation = _validation_scenes(photos, recipe)
    writer = csv.writer(log, lineterminator="\n")
    writer.writerow(LOG_COLUMNS)
    first, end = time.monotonic(), begin + recipe.minutes * 60
    sums, steps_summed = torch.zeros(LOSSES, device=learner.device), 0
    validated = first
    for step, batch in enumerate(feed):
        now = time.monotonic()
        progress = (now - first) / max(end - first, 1e-9)
        if recipe.max_steps:
            progress = max(progress, step / recipe.max_steps)
        is_over = progress >= 1
        if (now - validated >= recipe.validate_seconds or is_over) and step:
            _save(learner.average, out / "weights.pt")
            matches = detect_scenes(learner.average, validation, learner.device)
            means = (sums / steps_summed).tolist()
            row = _log_row(begin, step, recipe.batch_size, learner.rate, means, matches)
            writer.writerow(row)
            log.flush()
            plot_training(out / LOG, out / "curves.png", MEASURES, MEASURES_TITLE)
            logger.info(", ".join(map("{} {}".format, LOG_COLUMNS, row)))
            if hard is not None and not is_over:
                hard.refresh(learner.average)
            sums.zero_()
            steps_summed, validated = 0, time.monotonic()
        if is_over:
            break
        sums += learner.learn(batch, progress)
        steps_summed += 1
    return learner.average


def _validation_scenes(photos: ScenePhotos, recipe: DetectorRecipe) -> list[Scene]:
    """Held-out scenes, the same for each recipe of one seed."""
    composer = SceneComposer(photos, held_out=True, seed=recipe.seed)
    rng = np.random.default_rng([recipe.seed, 7])
    return [composer.compose(rng) for _ in range(recipe.validation_scenes)]


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


def _load(network: nn.Module, path: str) -> None:
    """Give a network weights; raises RecipeError if the file holds none of its own."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise RecipeError(f"{path}: not weights of the detector ({error})") from error
