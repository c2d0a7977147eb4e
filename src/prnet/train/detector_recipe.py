"""The detector's recipe: a TOML file → checked settings, and the photos it trains on."""

import dataclasses
import os
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from prnet.data.scene_choice import Split, choose_photos
from prnet.data.scene_photos import pack_photos
from prnet.detect.yunet import YuNetDetector
from prnet.errors import RecipeError

# How many photos of each source are packed at most, and how large.
COUNTS: dict[Split, dict[str, int]] = {
    "train": {
        **{"lfw": 5000, "utk": 4500, "web": 1400, "mix": 600, "cfp": 4500, "ibug": 907},
        "turned": 1500,
    },
    "val": {"lfw": 70, "utk": 60, "web": 60, "mix": 60, "cfp": 120, "ibug": 80, "turned": 50},
}
LARGEST_PX = {
    **{"lfw": 250, "utk": 250, "web": 400, "mix": 400, "cfp": 250, "ibug": 250},
    "background": 481,
}
IGNORED_SCORE = 0.35  # of YuNet, from which on a face without a label is ignored


@dataclass(frozen=True)
class DetectorRecipe:
    """How the detector is trained; relative paths start at the folder the command runs in.

    Attributes:
        facekit: Its folder, with `init/yunet.onnx`.
        photos: The facekit's photos packed for this; made if it isn't there.
        start: Weights to begin with, a run's `weights.pt`; empty: at random.
        teacher: Weights of the network to learn from; empty: none.
        imitated: Share of the run in which what the teacher says counts, less and less.
        mined: Number of hard negatives, things taken for faces, which scenes show often; 0: none.
        mine_seconds: Between two rounds of looking for them; half of them are replaced.
        minutes: The run ends after so long; the learning rate has fallen to 0 by then.
        max_steps: It ends earlier after so many steps; 0: by the clock alone.
        scene_size: Side of the scenes, a multiple of 32.
        batch_size: Scenes a step, a multiple of 16.
        uses: How often a scene is used, mirrored or a quarter turned: composing takes time.
        workers: Processes that compose scenes.
        learning_rate: The highest.
        warmup_steps: In which it rises.
        weight_decay: Of AdamW, on convolutions' weights.
        average_decay: Of the weights' running average, which is what is kept.
        validate_seconds: Between two looks at held-out scenes.
        validation_scenes: Their number.
        seed: Of everything but the processes' timing.

    Raises:
        RecipeError: A number that can't be.
    """

    facekit: str = "../shared/facekit"
    photos: str = "cache/detector/photos.npz"
    start: str = ""
    teacher: str = ""
    imitated: float = 0.6
    mined: int = 0
    mine_seconds: float = 900.0
    minutes: float = 8.0
    max_steps: int = 0
    scene_size: int = 320
    batch_size: int = 128
    uses: int = 1
    workers: int = 12
    learning_rate: float = 3e-3
    warmup_steps: int = 300
    weight_decay: float = 0.02
    average_decay: float = 0.998
    validate_seconds: float = 60.0
    validation_scenes: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in (
            "minutes",
            "uses",
            "workers",
            "learning_rate",
            "warmup_steps",
            "validation_scenes",
        ):
            if getattr(self, name) <= 0:
                raise RecipeError(f"{name} must be positive, got {getattr(self, name)}")
        for name in (
            *("imitated", "mined", "mine_seconds", "max_steps"),
            *("weight_decay", "validate_seconds", "seed"),
        ):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.average_decay < 1:
            raise RecipeError(f"average_decay must be in [0, 1), got {self.average_decay}")
        if self.scene_size < 32 or self.scene_size % 32:
            raise RecipeError(f"scene_size must be a multiple of 32, got {self.scene_size}")
        if self.batch_size < 1 or self.batch_size % 16:
            raise RecipeError(f"batch_size must be a multiple of 16, got {self.batch_size}")


def load_detector_recipe(path: str | os.PathLike[str]) -> DetectorRecipe:
    """Read a recipe.

    Raises:
        RecipeError: No such file, not TOML, an unknown key, or a value that can't be.
    """
    try:
        with Path(path).open("rb") as stream:
            settings = tomllib.load(stream)
    except OSError as error:
        raise RecipeError(f"{path}: can't read this recipe ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    kinds = {each.name: type(each.default) for each in dataclasses.fields(DetectorRecipe)}
    for name, value in settings.items():
        if name not in kinds:
            raise RecipeError(f"{path}: unknown setting {name}; there are {', '.join(kinds)}")
        kind = kinds[name]
        is_number = kind is float and type(value) is int
        if type(value) is not kind and not is_number:
            raise RecipeError(f"{path}: {name} must be {kind.__name__}, got {value!r}")
    try:
        return DetectorRecipe(**settings)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def prepare_photos(recipe: DetectorRecipe) -> Path:
    """The recipe's packed photos; makes them of the facekit if they aren't there.

    Raises:
        LabelError: The facekit is incomplete.
        ModelFileError: It has no YuNet.
    """
    path = Path(recipe.photos)
    if path.is_file():
        return path
    file = Path(recipe.facekit) / "init" / "yunet.onnx"
    yunet = YuNetDetector(file, min_score=IGNORED_SCORE).own_boxes
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = (
        choose_photos(recipe.facekit, split, counts, yunet, LARGEST_PX)
        for split, counts in COUNTS.items()
    )
    pack_photos(chain.from_iterable(chosen), path)
    return path
