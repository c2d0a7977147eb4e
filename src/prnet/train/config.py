"""A recipe's TOML file → checked, frozen settings."""

import dataclasses
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from prnet.errors import RecipeError


@dataclass(frozen=True)
class DataConfig:
    """What to train on; relative paths start at the folder the command runs in.

    Attributes:
        source: `facekit`, or `300wlp`: the position maps that `prnet data w300lp` made.
        facekit: Folder of the facekit.
        cutouts: Folder for the cut-outs made from it; filled on the first run (about 9 GB).
        turned_share: Share of the facekit's samples turned in depth.
        match_openings: Open the facekit labels' eyes and mouths as far as its dense teacher saw.
        negatives: Crops without a face that join each batch, for lite's confidence; facekit only.
        pairs: Samples of each batch that come twice, the second time with the crop moved by up to
            4%, for the loss's `steadiness`; facekit only.
        expressive_share: Share of the samples drawn from the photos whose eyes are closed or wide
            open or whose mouths are open; facekit only.
        maps: Folder of 300W-LP's position maps.
        photos: Train on so few photos only and evaluate on the same, to see whether a network can
            learn them by heart; 0 for all.
    """

    source: Literal["facekit", "300wlp"] = "facekit"
    facekit: str = "../shared/facekit"
    cutouts: str = "cache/facekit"
    turned_share: float = 0.6
    match_openings: bool = True
    negatives: int = 0
    pairs: int = 0
    expressive_share: float = 0.0
    maps: str = "cache/300wlp"
    photos: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be; raises ValueError."""
        _require_shares(self, "turned_share", "expressive_share")
        _require_at_least(0, self, "photos", "negatives", "pairs")
        if self.source != "facekit" and (self.negatives or self.pairs or self.expressive_share):
            raise ValueError("negatives, pairs and expressive_share are for the facekit alone")


@dataclass(frozen=True)
class NetworkConfig:
    """Which network.

    Attributes:
        name: `lite`, or the paper's `resfcn256`.
        input_size: Side of lite's crop in pixels, a multiple of 32; resfcn256 takes 256.
        warm_start: Weights for lite's encoder, inside the facekit's folder; "" for none.
        weights: `weights.pt` of an earlier run of the same network to start from; "" for none.
        atlas: Model folder whose atlas to train for; "" for the built-in one.
    """

    name: Literal["lite", "resfcn256"] = "lite"
    input_size: int = 128
    warm_start: str = ""
    weights: str = ""
    atlas: str = ""

    def __post_init__(self) -> None:
        """Refuse what can't be; raises ValueError."""
        if self.name == "lite" and (self.input_size < 32 or self.input_size % 32):
            raise ValueError(f"input_size must be a multiple of 32, got {self.input_size}")
        if self.name == "resfcn256" and self.input_size != 256:
            raise ValueError(f"input_size must be 256 for resfcn256, got {self.input_size}")


@dataclass(frozen=True)
class AugmentConfig:
    """2D augmentation; the first five are the paper's (section 3.3), p_… are probabilities.

    Attributes:
        rotation_deg: Turns in the picture plane up to ± this.
        translation: Shifts up to ± this share of the crop's side.
        scale: Range of the face's size in the crop.
        colour: Range of each colour channel's factor.
        p_occluder: Textured and noise shapes drawn over the face.
        crop_scale: Side of the crop in units of the mean of the face box's width and height.
        wide_share: Share of samples over the ranges above; the others are cut as a detector would.
        box_jitter: Standard deviation of a detector's box, centre and log size, in the same unit.
        p_mirror: Left-right mirroring.
        p_blur: Gaussian or motion blur.
        p_low_resolution: Shrinking and enlarging again.
        p_noise: Sensor noise.
        p_jpeg: JPEG artefacts.
        p_grey: Grey photos.
        p_light: Gamma and a gradient of brightness.
        calm: Factor of wide_share and all probabilities but the mirror's in the run's last
            `calm_steps`, so that it ends on crops as they come from photos.
    """

    rotation_deg: float = 45.0
    translation: float = 0.1
    scale: tuple[float, float] = (0.9, 1.2)
    colour: tuple[float, float] = (0.6, 1.4)
    p_occluder: float = 0.35
    crop_scale: float = 1.5
    wide_share: float = 0.5
    box_jitter: float = 0.04
    p_mirror: float = 0.5
    p_blur: float = 0.2
    p_low_resolution: float = 0.2
    p_noise: float = 0.2
    p_jpeg: float = 0.2
    p_grey: float = 0.1
    p_light: float = 0.3
    calm: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what can't be; raises ValueError."""
        _require_shares(self, "wide_share", "calm", *(n for n in vars(self) if n.startswith("p_")))
        _require_at_least(0, self, "rotation_deg", "translation", "box_jitter")
        _require_positive(self, "crop_scale")
        for name in ("scale", "colour"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} must be two numbers above 0, the smaller first, got {low, high}"
                )

    def calmed(self) -> "AugmentConfig":
        """These settings with fewer wide crops and less degradation; see `calm`."""
        names = (
            *("wide_share", "p_occluder", "p_blur", "p_low_resolution", "p_noise", "p_jpeg"),
            *("p_grey", "p_light"),
        )
        return dataclasses.replace(
            self, **{name: self.calm * getattr(self, name) for name in names}
        )


@dataclass(frozen=True)
class LossConfig:
    """The loss; a term's weight of 0 leaves it out.

    Attributes:
        distance: `euclidean`, or `squared` as in the paper.
        mask: How map pixels weigh: `paper`, 16 : 4 : 3 : 0 for key points, eye-nose-mouth region,
            the rest of the face, neck; `ones`, all alike; `keypoints`, nothing but the key points
            (these two for the paper's figure 8); `soft`, 4 : 3, key points as their region, neck
            and holes as `empty`.
        empty: Weight of neck and holes under `soft`.
        position_map: Weight of the distance of map points.
        landmarks: Weight of the distance of the 68 points.
        shape: Weight of the distance in the canonical frame, without pose; lite only.
        openings: Weight of the distance between the vectors from lid to lid and lip to lip.
        concordance: Weight of how little the openings of eyes and mouth vary as the labels' do
            over a batch: one less Lin's concordance correlation, the mean of both. Distances
            alone make a network play safe: where it isn't sure, eyes neither close nor open.
        steadiness: Weight of how differently the landmarks err on a sample's two crops, see
            `DataConfig.pairs`, in the face's own frame.
    """

    distance: Literal["euclidean", "squared"] = "euclidean"
    mask: Literal["paper", "ones", "keypoints", "soft"] = "soft"
    empty: float = 0.3
    position_map: float = 1.0
    landmarks: float = 1.0
    shape: float = 1.0
    openings: float = 1.0
    concordance: float = 0.0
    steadiness: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can't be; raises ValueError."""
        terms = [each.name for each in dataclasses.fields(self) if each.type is float]
        _require_at_least(0, self, *terms)
        terms.remove("empty")
        if not any(getattr(self, name) for name in terms):
            raise ValueError(f"{', '.join(terms)} must not all be 0")


@dataclass(frozen=True)
class TrainConfig:
    """A whole recipe.

    Attributes:
        data: See DataConfig.
        network: See NetworkConfig.
        augment: See AugmentConfig.
        loss: See LossConfig.
        steps: Optimiser steps in all.
        warmup_steps: Steps over which the learning rate rises.
        cooldown_steps: Last steps, over which it falls to 0; in between it is constant, so that a
            run can be prolonged by resuming it with more steps.
        calm_steps: Last steps with calmer augmentation; see AugmentConfig.calm.
        batch_size: Samples a step, over all processes.
        learning_rate: The constant one.
        halve_epochs: Epochs after which the learning rate halves, again and again; 0 for never.
        momentum: Adam's β₁. More of it allows larger rates where noise is no matter, as where all
            steps have the same few photos.
        weight_decay: AdamW's; with 0 it is Adam.
        average_decay: Of the exponential average of the weights, which is evaluated and exported.
        precision: `auto` trains in bf16 where the processor computes in it, elsewhere in 32 bits.
        evaluate_steps: Steps between evaluations; each adds a row to the CSV.
        checkpoint_minutes: Minutes between checkpoints; 0 for one every step.
        workers: Processes that prepare samples.
        seed: Of everything random.
    """

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    steps: int = 20_000
    warmup_steps: int = 500
    cooldown_steps: int = 4_000
    calm_steps: int = 0
    batch_size: int = 64
    learning_rate: float = 1e-3
    halve_epochs: int = 0
    momentum: float = 0.9
    weight_decay: float = 0.01
    average_decay: float = 0.999
    precision: Literal["auto", "32", "bf16"] = "auto"
    evaluate_steps: int = 500
    checkpoint_minutes: float = 5.0
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse recipes that can't run; raises ValueError."""
        _require_at_least(1, self, "steps", "evaluate_steps")
        _require_at_least(2, self, "batch_size")  # batch norm needs two
        _require_at_least(0, self, "warmup_steps", "cooldown_steps", "calm_steps", "halve_epochs")
        _require_at_least(0, self, "weight_decay", "checkpoint_minutes", "workers", "seed")
        _require_positive(self, "learning_rate")
        for name in ("momentum", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        if self.warmup_steps + self.cooldown_steps > self.steps:
            raise ValueError("warmup_steps and cooldown_steps must fit into steps")


def load_recipe(path: str | os.PathLike[str]) -> TrainConfig:
    """Read a recipe.

    Raises:
        RecipeError: No such file, not TOML, an unknown key, or a value that can't be.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return build_config(tomllib.loads(text))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe; the shipped ones are in recipes/") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error


def build_config(table: dict[str, Any]) -> TrainConfig:
    """Make a recipe of a TOML file's table. Raises ValueError for what a recipe can't hold."""
    config: TrainConfig = _build(TrainConfig, table)
    return config


def _build(kind: Any, values: dict[str, Any], where: str = "") -> Any:
    """Make a dataclass from a table, refusing unknown keys and wrong kinds."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        known = ", ".join(hints)
        raise ValueError(f"unknown setting {where}{unknown[0]}; known are: {known}")
    checked = {name: _check(hints[name], v, f"{where}{name}") for name, v in values.items()}
    try:
        return kind(**checked)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _check(hint: Any, value: Any, name: str) -> Any:
    """Bring one value to its declared kind, or raise ValueError."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be a table")
        return _build(hint, value, f"{name}.")
    origin = typing.get_origin(hint)
    if origin in (Literal, types.UnionType):
        if value not in typing.get_args(hint):
            raise ValueError(f"{name} must be one of {typing.get_args(hint)}, got {value!r}")
        return value
    if origin is tuple:
        parts = typing.get_args(hint)
        if not isinstance(value, list) or len(value) != len(parts):
            raise ValueError(f"{name} must be {len(parts)} numbers, got {value!r}")
        return tuple(_check(part, v, name) for part, v in zip(parts, value, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or isinstance(value, bool) != (hint is bool):
        raise ValueError(f"{name} must be of type {hint.__name__}, got {value!r}")
    if hint is float and not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
    return value


def _require_shares(settings: object, *names: str) -> None:
    """Raise ValueError unless the settings of these names are shares or probabilities."""
    _require(lambda value: 0 <= value <= 1, "from 0 to 1", settings, names)


def _require_positive(settings: object, *names: str) -> None:
    """Raise ValueError unless the settings of these names are above 0."""
    _require(lambda value: value > 0, "above 0", settings, names)


def _require_at_least(low: int, settings: object, *names: str) -> None:
    """Raise ValueError if one of the settings of these names is lower."""
    _require(lambda value: value >= low, f"at least {low}", settings, names)


def _require(
    is_fine: Callable[[float], bool], expected: str, settings: object, names: Sequence[str]
) -> None:
    """Raise ValueError for the first of these settings that isn't as expected."""
    for name in names:
        value = getattr(settings, name)
        if not is_fine(value):
            raise ValueError(f"{name} must be {expected}, got {value}")
