"""The detector's recipe, its processes, and a run of a few steps."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from few_textures import FEW, SLOTS, compose_forever  # noqa: E402

from prnet.data.scene_photos import (  # noqa: E402
    BACKGROUND,
    LabelledPhoto,
    load_photos,
    pack_photos,
)
from prnet.errors import RecipeError  # noqa: E402
from prnet.networks.detector import Detector  # noqa: E402
from prnet.networks.detector_teacher import DetectorTeacher  # noqa: E402
from prnet.train.detector import train_detector  # noqa: E402
from prnet.train.detector_loss import Truth  # noqa: E402
from prnet.train.detector_recipe import DetectorRecipe, load_detector_recipe  # noqa: E402
from prnet.train.scene_feed import SceneBatch, SceneFeed  # noqa: E402

pytestmark = pytest.mark.usefixtures("pictures_in_words")


@pytest.fixture(scope="module", autouse=True)
def few_textures_everywhere() -> Iterator[None]:
    """Also in the processes that compose, and where hard negatives are looked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prnet.train.scene_feed._compose_forever", compose_forever)
        patch.setattr("prnet.train.scene_feed.SLOTS", SLOTS)  # and composed ahead
        patch.setattr("prnet.train.scene_feed.READY", SLOTS)
        patch.setattr("prnet.train.detector.TEXTURES", FEW)
        yield


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    none = np.empty((0, 4), np.float32)
    photos = []
    for held_out in (False, True):
        for _ in range(2):
            pixels = rng.integers(0, 256, (80, 80, 3)).astype(np.uint8)
            face = np.array([40, 40, 30, 30, 0], np.float32)
            photos.append(LabelledPhoto(pixels, "lfw", face, 0.0, held_out, none))
        nobody = np.full(5, np.nan, np.float32)
        photos.append(LabelledPhoto(pixels, BACKGROUND, nobody, np.nan, held_out, none))
    path = tmp_path_factory.mktemp("packed") / "photos.npz"
    pack_photos(photos, path)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("minutes = 0", "minutes must be positive, got 0"),
        ("batch_size = 20", "batch_size must be a multiple of 16, got 20"),
        ("scene_size = 100", "scene_size must be a multiple of 32, got 100"),
        ("average_decay = 1.0", r"average_decay must be in \[0, 1\)"),
        ("seed = -1", "seed must not be negative"),
        ("workers = 1.5", "workers must be int, got 1.5"),
        ("hours = 1", "unknown setting hours; there are facekit, photos"),
        ("minutes", "recipe.toml: "),
    ],
)
def test_wrong_recipes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_detector_recipe(path)


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none.toml: can't read this recipe"):
        load_detector_recipe(tmp_path / "none.toml")


def test_the_shipped_recipes(repository: Path) -> None:
    for path in ("detector.toml", "detector/legs/12.toml"):
        assert load_detector_recipe(repository / "recipes" / path).minutes > 0


def small_recipe(photos: Path, start: Path, **more: Any) -> DetectorRecipe:
    """What a run of few steps takes; `more` is the recipe's."""
    usual = {"scene_size": 64, "batch_size": 16, "workers": 1, "validation_scenes": 1}
    return DetectorRecipe(photos=str(photos), start=str(start), **(usual | more))


def test_a_run_writes_weights_and_log(packed: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.pt"
    torch.manual_seed(1)
    torch.save(Detector().state_dict(), start)
    recipe = small_recipe(
        packed, start, minutes=5, max_steps=3, warmup_steps=2, validation_scenes=2
    )
    network = train_detector(recipe, tmp_path / "run")
    weights = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    before = torch.load(start, weights_only=True)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name])
        assert not torch.equal(value, before[name])
    with (tmp_path / "run" / "log.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["step"], row["scenes"]) == ("3", "48")
    assert float(row["loss_score"]) > 0
    assert "loss_score" in (tmp_path / "run" / "curves.png").read_text().split()


def test_it_learns_from_a_teacher_and_from_hard_negatives(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "teacher.pt"
    torch.manual_seed(1)
    teacher = DetectorTeacher()
    # all cells say one thing, which is quickly learned
    for head in teacher.heads:
        torch.nn.init.zeros_(head[1].weight)
        torch.nn.init.constant_(head[1].bias, 1.5)
    torch.save(teacher.state_dict(), path)
    recipe = DetectorRecipe(
        **{"photos": str(packed), "scene_size": 64, "batch_size": 16, "workers": 1},
        **{"teacher": str(path), "imitated": 1e6, "max_steps": 14, "warmup_steps": 1},
        **{"learning_rate": 0.01, "mined": 4, "mine_seconds": 0.5, "validation_scenes": 1},
        uses=3,
        validate_seconds=0,
    )
    train_detector(recipe, tmp_path / "run")
    with (tmp_path / "run" / "log.csv").open() as stream:
        losses = [float(row["loss_imitation"]) for row in csv.DictReader(stream)]
    assert losses[-1] < 0.7 * losses[0]


def test_mirrored_and_rotated_labels_stay_on_their_faces() -> None:
    images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    images[0, 10:20, 30:50] = 255
    boxes = torch.tensor([[[39.5, 14.5, 20.0, 10.0, 0.3]]])
    ignored = torch.tensor([[[30.0, 10.0, 49.0, 19.0]]])
    batch = SceneBatch(images, Truth(boxes, torch.ones(1, 1, dtype=torch.bool), ignored))
    for changed, angle in ((batch.mirrored(), -0.3), (batch.rotated(), 0.3 - math.pi / 2)):
        lit = changed.images[0, ..., 0].nonzero().float()
        center = changed.truth.boxes[0, 0, :2]
        assert torch.allclose(lit.mean(0).flip(0), center)
        assert float(changed.truth.boxes[0, 0, 4]) == pytest.approx(angle)
        region = torch.cat([lit.amin(0).flip(0), lit.amax(0).flip(0)])
        assert torch.equal(changed.truth.ignored[0, 0], region)


@pytest.mark.parametrize("setting", ["start", "teacher"])
@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_weights_of_another_network(
    packed: Path, tmp_path: Path, content: bytes | None, setting: str
) -> None:
    wrong = tmp_path / "wrong.pt"
    if content is None:
        torch.save({"a": torch.zeros(1)}, wrong)
    else:
        wrong.write_bytes(content)
    recipe = DetectorRecipe(photos=str(packed), **{setting: str(wrong)})  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"wrong.pt: not weights of the detector"):
        train_detector(recipe, tmp_path / "run")


def test_a_dead_process_is_an_error(packed: Path, tmp_path: Path) -> None:
    photos, pixels = load_photos(packed, tmp_path)
    feed = SceneFeed(photos, pixels, size=64, batch_size=16, workers=1, seed=0)
    try:
        batches = iter(feed)
        assert next(batches).images.shape == (16, 64, 64, 3)
        feed._processes[0].kill()
        with pytest.raises(RuntimeError, match="has died"):
            for _ in range(20):
                next(batches)
    finally:
        feed.close()
