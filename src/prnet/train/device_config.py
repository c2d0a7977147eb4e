"""The settings of a recipe that trains wholly on one device."""

from dataclasses import field
from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from prnet.train.config import (
    STRICT,
    AugmentConfig,
    BelowOne,
    Count,
    LossConfig,
    NetworkConfig,
    NotNegative,
    Positive,
    Share,
)


@dataclass(frozen=True, config=STRICT)
class SynthesisConfig:
    """How photos are drawn anew.

    Attributes:
        original_share: Share of the samples drawn as the photo shows them.
        front_share: Share nearly unrotated, but with another identity.
        yaw_deg: Range of the total |yaw| of the others; never toward the camera, which would
            uncover what the photo doesn't show.
        pitch_std_deg: Standard deviation of the others' added pitch, at most 25° of it.
        identity_share: Share of the rotated samples that get another identity, too.
        identity_stds: Noise on the identity's coefficients, one of these a sample.
        background_share: Share of the redrawn samples with another photo behind the head.
        pair_share: Samples that come twice, the second time with the crop moved by up to 4%, and
            half of them mirrored, as a share of the batch.
        negative_share: Crops without a face, as a share of the batch.
    """

    original_share: Share = 0.3
    front_share: Share = 0.15
    yaw_deg: tuple[NotNegative, NotNegative] = (15.0, 90.0)
    pitch_std_deg: NotNegative = 12.0
    identity_share: Share = 0.7
    identity_stds: tuple[NotNegative, ...] = (0.4, 0.8, 0.8, 1.0)
    background_share: Share = 0.6
    pair_share: Share = 0.2
    negative_share: Share = 0.08

    @model_validator(mode="after")
    def _is_possible(self) -> "SynthesisConfig":
        """Refuse shares that are more than all."""
        if self.original_share + self.front_share > 1:
            raise ValueError("original_share and front_share must add up to 1 at most")
        if not self.identity_stds:
            raise ValueError("identity_stds must name one at least")
        return self


@dataclass(frozen=True, config=STRICT)
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
        reduced_augmentation_share: Last part of the time, with reduced augmentation; see
            AugmentConfig.reduction.
        human: Share of the way from the labels' iBUG points to those that humans set.
        distillation: Weight of the distance to the teacher's answers, reached halfway.
        match_openings: See `prnet.synthesis.photos.load_photos`.
        evaluate_seconds: Between rows of the record.
        seed: Of everything random.
        network: See NetworkConfig; a warm start is the pack's.
        teacher: A larger network trained beside it on the same crops; None for none.
        augment: See AugmentConfig.
        loss: See LossConfig.
        synthesis: See SynthesisConfig.
    """

    pack: str
    minutes: Positive = 8.0
    batch_size: Annotated[int, Field(ge=2)] = 512
    learning_rate: Positive = 2.5e-3
    warmup_steps: Count = 300
    weight_decay: NotNegative = 0.01
    average_decay: BelowOne = 0.998
    reduced_augmentation_share: Share = 0.4
    human: Share = 1.0
    distillation: NotNegative = 1.0
    match_openings: bool = True
    evaluate_seconds: Positive = 60.0
    seed: Count = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    teacher: NetworkConfig | None = None
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)

    @model_validator(mode="after")
    def _is_possible(self) -> "DeviceConfig":
        """Refuse networks that don't separate pose and shape."""
        for network in (self.network, self.teacher):
            if network is not None and network.name == "resfcn256":
                raise ValueError("network and teacher must be lite or large here")
        return self
