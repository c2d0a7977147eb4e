"""The settings of a recipe: checked when they are made, and frozen."""

import dataclasses
from dataclasses import field
from typing import Annotated, Literal

from pydantic import (
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from prnet.train.terms import TERMS

Share = Annotated[float, Field(ge=0, le=1)]  # or a probability
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]

STRICT = ConfigDict(strict=True, extra="forbid")  # no "3" for 3, no setting that isn't there


@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """What to train on; relative paths start at the folder the command runs in.

    Attributes:
        source: `facekit`, or `300wlp`: the position maps that `prnet data w300lp` made.
        facekit: Folder of the facekit.
        face_crops: Folder for the face crops made from it; filled on the first run (about 9 GB).
        rotated_share: Share of the facekit's samples that are pose-augmented: rotated in depth.
        match_openings: Open the facekit labels' eyes and mouths as far as MediaPipe's
            reference landmarks do.
        negatives: Crops without a face that join each batch, for lite's confidence; facekit only.
        paired_crops: Samples of each batch that come twice, the second time with the crop moved by
            up to 4%, for the loss's `consistency`; facekit only.
        expressive_share: Share of the samples drawn from the photos whose eyes are closed or wide
            open or whose mouths are open; facekit only.
        maps: Folder of 300W-LP's position maps.
        photos: Train on so few photos only and evaluate on the same, to see whether a network can
            overfit them; 0 for all.
    """

    source: Literal["facekit", "300wlp"] = "facekit"
    facekit: str = "../shared/facekit"
    face_crops: str = "cache/facekit"
    rotated_share: Share = 0.6
    match_openings: bool = True
    negatives: Count = 0
    paired_crops: Count = 0
    expressive_share: Share = 0.0
    maps: str = "cache/300wlp"
    photos: Count = 0

    @model_validator(mode="after")
    def _is_possible(self) -> "DataConfig":
        """Refuse what the other source can't give."""
        extras = self.negatives or self.paired_crops or self.expressive_share
        if self.source != "facekit" and extras:
            raise ValueError(
                "negatives, paired_crops and expressive_share are for the facekit alone"
            )
        return self


@dataclass(frozen=True, config=STRICT)
class NetworkConfig:
    """Which network.

    Attributes:
        name: `lite`, `large`, or the paper's `resfcn256`.
        input_size: Side of the crop in pixels, a multiple of 32; resfcn256 takes 256.
        warm_start: Weights for lite's encoder, inside the facekit's folder; "" for none.
        weights: `weights.pt` of an earlier run of the same network to start from; "" for none.
        atlas: Model folder whose atlas to train for; "" for the built-in one.
    """

    name: Literal["lite", "large", "resfcn256"] = "lite"
    input_size: int = 128
    warm_start: str = ""
    weights: str = ""
    atlas: str = ""

    @model_validator(mode="after")
    def _is_possible(self) -> "NetworkConfig":
        """Refuse sizes that the network can't take."""
        if self.name != "resfcn256" and (self.input_size < 32 or self.input_size % 32):
            raise ValueError(f"input_size must be a multiple of 32, got {self.input_size}")
        if self.name == "resfcn256" and self.input_size != 256:
            raise ValueError(f"input_size must be 256 for resfcn256, got {self.input_size}")
        return self


@dataclass(frozen=True, config=STRICT)
class AugmentConfig:
    """2D augmentation; the first five are the paper's (section 3.3), p_… are probabilities.

    Attributes:
        rotation_deg: Turns in the picture plane up to ± this.
        translation: Shifts up to ± this share of the crop's side.
        scale: Range of the face's size in the crop.
        color: Range of each color channel's factor.
        p_occluder: Textured and noise shapes drawn over the face.
        crop_scale: Side of the crop in units of the mean of the face box's width and height.
        wide_share: Share of samples over the ranges above; the others are cut as a detector would.
        box_jitter: Standard deviation of a detector's box, centre and log size, in the same unit.
        p_mirror: Left-right mirroring.
        p_blur: Gaussian or motion blur.
        p_low_resolution: Shrinking and enlarging again.
        p_noise: Sensor noise.
        p_jpeg: JPEG artefacts.
        p_gray: Gray photos.
        p_light: Gamma and a gradient of brightness.
        reduction: Factor of wide_share and all probabilities but the mirror's in the run's last
            `reduced_augmentation_steps`, so that it ends on crops as they come from photos.
    """

    rotation_deg: NotNegative = 45.0
    translation: NotNegative = 0.1
    scale: tuple[Positive, Positive] = (0.9, 1.2)
    color: tuple[Positive, Positive] = (0.6, 1.4)
    p_occluder: Share = 0.35
    crop_scale: Positive = 1.5
    wide_share: Share = 0.5
    box_jitter: NotNegative = 0.04
    p_mirror: Share = 0.5
    p_blur: Share = 0.2
    p_low_resolution: Share = 0.2
    p_noise: Share = 0.2
    p_jpeg: Share = 0.2
    p_gray: Share = 0.1
    p_light: Share = 0.3
    reduction: Share = 0.4

    @field_validator("scale", "color")
    @classmethod
    def _is_a_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        """Refuse a range that ends before it begins."""
        if value[0] > value[1]:
            raise ValueError(f"must be two numbers, the smaller first, got {value}")
        return value

    def reduced(self) -> "AugmentConfig":
        """These settings with fewer wide crops and less degradation; see `reduction`."""
        names = (
            *("wide_share", "p_occluder", "p_blur", "p_low_resolution", "p_noise", "p_jpeg"),
            *("p_gray", "p_light"),
        )
        return dataclasses.replace(
            self, **{name: self.reduction * getattr(self, name) for name in names}
        )


@dataclass(frozen=True, config=STRICT)
class LossConfig:
    """The loss.

    Attributes:
        distance: `euclidean`, or `squared` as in the paper.
        mask: How map pixels weigh: `paper`, 16 : 4 : 3 : 0 for key points, eye-nose-mouth region,
            the rest of the face, neck; `ones`, all alike; `keypoints`, nothing but the key points
            (these two for the paper's figure 8); `soft`, 4 : 3, key points as their region, neck
            and holes as `empty`.
        empty: Weight of neck and holes under `soft`.
        weights: Of the terms of `prnet.train.terms.TERMS` by name; 0 leaves one out. Those not
            named have the weights that stand there.
    """

    distance: Literal["euclidean", "squared"] = "euclidean"
    mask: Literal["paper", "ones", "keypoints", "soft"] = "soft"
    empty: NotNegative = 0.3
    weights: dict[str, NotNegative] = field(
        default_factory=lambda: {name: term.weight for name, term in TERMS.items()}
    )

    @field_validator("weights")
    @classmethod
    def _are_of_terms(cls, value: dict[str, float]) -> dict[str, float]:
        """Refuse terms that there are none of; fill in those not named."""
        if unknown := sorted(set(value) - set(TERMS)):
            raise ValueError(f"must be of {', '.join(TERMS)}, got {unknown[0]!r}")
        weights = {name: value.get(name, term.weight) for name, term in TERMS.items()}
        if not any(weights.values()):
            raise ValueError("must not all be 0")
        return weights


@dataclass(frozen=True, config=STRICT)
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
        reduced_augmentation_steps: Last steps with reduced augmentation; see
            AugmentConfig.reduction.
        batch_size: Samples a step, over all processes; batch norm needs two.
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
    steps: Annotated[int, Field(ge=1)] = 20_000
    warmup_steps: Count = 500
    cooldown_steps: Count = 4_000
    reduced_augmentation_steps: Count = 0
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Positive = 1e-3
    halve_epochs: Count = 0
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 0.01
    average_decay: BelowOne = 0.999
    precision: Literal["auto", "32", "bf16"] = "auto"
    evaluate_steps: Annotated[int, Field(ge=1)] = 500
    checkpoint_minutes: NotNegative = 5.0
    workers: Count = 1
    seed: Count = 0

    @model_validator(mode="after")
    def _is_possible(self) -> "TrainConfig":
        """Refuse schedules that can't be."""
        if self.warmup_steps + self.cooldown_steps > self.steps:
            raise ValueError("warmup_steps and cooldown_steps must fit into steps")
        return self
