"""Labelled photos → augmented samples, and samples → batches; a recipe → its data."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from prnet.data.face_crops import FACE_CROP_SCALE, YAW_STRATA_DEG, FaceCrop, build_face_crops
from prnet.data.facekit import FACE_MODEL_FILE, OPENINGS_YAW_DEG
from prnet.data.w300lp import W300lpMaps
from prnet.geometry.pose import Pose, angles_from_rotation
from prnet.image.crop import cut
from prnet.landmarks import eye_opening, mouth_opening
from prnet.morphable.linear import LandmarkModel, load_ict_face_model
from prnet.progress import progress_bar
from prnet.train.augment import augmented_crop, choose_crop, degrade, mirror_pose
from prnet.train.config import AugmentConfig, TrainConfig
from prnet.train.networks import TrainableNetwork
from prnet.train.openings import follow_reference
from prnet.train.samples import (
    Batch,
    CoefficientBatch,
    FaceCropSample,
    MapBatch,
    MapSample,
    stack_crops,
)
from prnet.train.targets import CoefficientTargets, MapTargets
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import image_to_crop

VARIANTS = 1 + len(YAW_STRATA_DEG)  # a photo as it is, then its rotated copies


class Source(Protocol):
    """Where samples come from. Must pickle: files are opened where they are read."""

    @property
    def photos(self) -> int:
        """How many there are."""

    @property
    def expressive(self) -> NDArray[np.int64]:
        """The photos whose eyes are closed or wide open or whose mouths are open."""

    def sample(
        self,
        photo: int,
        settings: AugmentConfig,
        what: np.random.Generator,
        how: np.random.Generator,
        jitter: np.random.Generator | None = None,
    ) -> FaceCropSample | MapSample:
        """An augmented sample of a photo.

        Args:
            photo: Its number.
            settings: Of the augmentation.
            what: Decides what is shown: the original photo, rotated, mirrored.
            how: Decides how: crop and degradation. Equal generators give equal samples.
            jitter: Given, the crop is moved a little from where `how` has it.
        """

    def plain(self, photo: int) -> list[tuple[FaceCropSample | MapSample, float, bool]]:
        """A photo's samples for evaluation, each with its |yaw| in degrees and whether rotated."""

    def stack(self, samples: Sequence[Any]) -> Batch:
        """Make a batch."""


class FaceCropSource:
    """The facekit's face crops.

    Args:
        config: The recipe.
        folder: What `build_face_crops` returned.
        landmarks: The face model's iBUG points.
        expression_names: Given, eyes and mouths are opened as far as MediaPipe's.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        landmarks: LandmarkModel,
        expression_names: Sequence[str] | None = None,
    ) -> None:
        self.config, self.folder, self.landmarks = config, folder, landmarks
        self._expression_names = expression_names

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        return np.load(self.folder / "pixels.npy", mmap_mode="r")

    @cached_property
    def _labels(self) -> dict[str, NDArray[Any]]:
        with np.load(self.folder / "labels.npz") as arrays:
            labels = {name: arrays[name] for name in arrays.files}
        labels["coefficients"] = np.concatenate([labels["identity"], labels["expression"]], 1)
        if self._expression_names is not None:
            angles = map(angles_from_rotation, labels["rotation"][::VARIANTS])
            yaw = [abs(each.yaw) for each in angles]
            labels["coefficients"] = follow_reference(
                labels["coefficients"],
                labels["openings"],
                np.repeat(np.array(yaw) < OPENINGS_YAW_DEG, VARIANTS),
                self.landmarks,
                self._expression_names,
            )
            labels["expression"] = labels["coefficients"][:, labels["identity"].shape[1] :]
        return labels

    def __getstate__(self) -> dict[str, object]:
        """Without the files, which each process opens for itself."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_pixels", "_labels")}

    @property
    def photos(self) -> int:
        """How many there are, or as many of them as the recipe wants."""
        count = len(self._pixels) // VARIANTS
        return min(self.config.data.photos or count, count)

    def face_crop(self, index: int) -> FaceCrop:
        """Face crop `index`; photo p has the indices from p · VARIANTS."""
        row = {name: column[index] for name, column in self._labels.items()}
        return FaceCrop(
            np.array(self._pixels[index]),
            Pose(float(row["scale"]), row["rotation"], row["translation"]),
            row["identity"],
            row["expression"],
            row["openings"],
            bool(row["rotated"]),
        )

    @cached_property
    def expressive(self) -> NDArray[np.int64]:
        """The photos in the outer twentieths of eye opening and the upper tenth of the mouth's."""
        chosen = slice(0, self.photos * VARIANTS, VARIANTS)
        points = self.landmarks.points(self._labels["coefficients"][chosen])
        eyes, mouth = eye_opening(points), mouth_opening(points)
        low, high = np.quantile(eyes, [0.05, 0.95])
        return np.flatnonzero((eyes <= low) | (eyes >= high) | (mouth >= np.quantile(mouth, 0.9)))

    def sample(
        self,
        photo: int,
        settings: AugmentConfig,
        what: np.random.Generator,
        how: np.random.Generator,
        jitter: np.random.Generator | None = None,
    ) -> FaceCropSample:
        """An augmented sample of a photo, as it is or rotated."""
        is_rotated = what.random() < self.config.data.rotated_share
        face_crop = self.face_crop(
            photo * VARIANTS + (int(what.integers(1, VARIANTS)) if is_rotated else 0)
        )
        mirrored = bool(what.random() < settings.p_mirror)
        crop, pose = self._crop(face_crop, settings, how, jitter)
        other = np.array(self._pixels[int(how.integers(self.photos)) * VARIANTS])
        if mirrored:
            crop, pose = np.ascontiguousarray(crop[:, ::-1]), mirror_pose(pose)
        return FaceCropSample(degrade(crop, other, settings, how), pose, face_crop, mirrored)

    def plain(self, photo: int) -> list[tuple[FaceCropSample | MapSample, float, bool]]:
        """The original photo and its rotated copies."""
        face_crops = [self.face_crop(photo * VARIANTS + k) for k in range(VARIANTS)]
        return [
            (
                FaceCropSample(*self._crop(face_crop, self.config.augment, None), face_crop, False),
                abs(face_crop.pose.yaw),
                face_crop.rotated,
            )
            for face_crop in face_crops
        ]

    def _crop(
        self,
        face_crop: FaceCrop,
        settings: AugmentConfig,
        rng: np.random.Generator | None,
        jitter: np.random.Generator | None = None,
    ) -> tuple[NDArray[np.uint8], Pose]:
        landmarks = self.landmarks.points(face_crop.coefficients)
        size = self.config.network.input_size
        return augmented_crop(
            face_crop.pixels, face_crop.pose, landmarks, size, settings, rng, jitter
        )

    def stack(self, samples: Sequence[FaceCropSample]) -> CoefficientBatch:
        """Make a batch."""
        labels = (
            [s.face_crop.coefficients for s in samples],
            [s.pose.rotation for s in samples],
            [s.pose.scale for s in samples],
            [s.pose.translation for s in samples],
        )
        coefficients, rotation, scale, translation = (
            torch.from_numpy(np.array(column, np.float32)) for column in labels
        )
        mirrored = torch.tensor([s.mirrored for s in samples])
        crops = stack_crops([sample.crop for sample in samples])
        pose = rotation, scale, translation
        return CoefficientBatch(crops, coefficients, *pose, mirrored, crops[:0])


class MapSource:
    """The records of `prnet data w300lp`.

    Args:
        config: The recipe.
        validation: Take every 50th record, which training leaves out, instead of the others.
    """

    def __init__(self, config: TrainConfig, validation: bool) -> None:
        self.config, self.validation = config, validation
        self._maps = W300lpMaps(config.data.maps)
        records = np.arange(len(self._maps))
        self._records = records[(records % 50 == 49) == validation]

    @property
    def photos(self) -> int:
        """How many there are, or as many of them as the recipe wants."""
        return min(self.config.data.photos or len(self._records), len(self._records))

    @property
    def expressive(self) -> NDArray[np.int64]:
        """None: a recipe can't ask for them."""
        return np.empty(0, np.int64)

    def sample(
        self,
        photo: int,
        settings: AugmentConfig,
        what: np.random.Generator,
        how: np.random.Generator,
        jitter: np.random.Generator | None = None,
    ) -> MapSample:
        """An augmented sample of a photo."""
        mirrored = what.random() < settings.p_mirror
        crop, position_map = self._crop(photo, settings, how, jitter)
        other = self._maps[int(self._records[how.integers(self.photos)])].pixels
        if mirrored:
            crop = np.ascontiguousarray(crop[:, ::-1])
            position_map = position_map[:, ::-1] * np.array([-1, 1, 1], np.float32)
        return MapSample(degrade(crop, other, settings, how), position_map)

    def plain(self, photo: int) -> list[tuple[FaceCropSample | MapSample, float, bool]]:
        """The original photo; its yaw isn't known, and counts as 0."""
        return [(MapSample(*self._crop(photo, self.config.augment, None)), 0.0, False)]

    def _crop(
        self,
        photo: int,
        settings: AugmentConfig,
        rng: np.random.Generator | None,
        jitter: np.random.Generator | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        record = self._maps[int(self._records[photo])]
        size = self.config.network.input_size
        face_crop = len(record.pixels)  # the face's box lies in its middle
        middle, half = (face_crop - 1) / 2, face_crop / FACE_CROP_SCALE / 2
        low, high = np.full(2, middle - half), np.full(2, middle + half)
        transform = choose_crop(low, high, size, settings, rng, jitter)
        position = image_to_crop(record.position_map, transform)
        origin = np.array([(size - 1) / 2, (size - 1) / 2, 0], np.float32)
        return cut(record.pixels, transform, size), (position - origin) * np.float32(2 / size)

    def stack(self, samples: Sequence[MapSample]) -> MapBatch:
        """Make a batch."""
        maps = torch.from_numpy(np.stack([s.position_map for s in samples]))
        crops = stack_crops([sample.crop for sample in samples])
        return MapBatch(crops, maps, crops[:0])


def open_data(
    config: TrainConfig,
    network: TrainableNetwork,
    atlas: Atlas,
    first: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Source, Source, CoefficientTargets | MapTargets]:
    """Open a recipe's data, making the face crops if they aren't there.

    Args:
        config: The recipe.
        network: Tells how large its maps are and where their z is 0.
        atlas: The UV space.
        first: Context in which one process goes ahead of the others.

    Returns:
        Training samples, validation samples (the same if the recipe names a number of photos), and
        what makes a batch's targets.

    Raises:
        LabelError: The data is missing or incomplete.
    """
    if config.data.source == "300wlp":
        training = MapSource(config, validation=False)
        validation = training if config.data.photos else MapSource(config, validation=True)
        return training, validation, MapTargets(atlas, network.depth_of_back)
    model = load_ict_face_model(Path(config.data.facekit) / FACE_MODEL_FILE)
    coefficient_targets = CoefficientTargets(model, atlas, network.train_uv, network.depth_of_back)
    sources = []
    for split in ("train", "val"):
        with first(), progress_bar(f"face crops of {split}") as report:
            folder = build_face_crops(
                config.data.facekit, config.data.face_crops, split, report=report
            )
        landmarks = coefficient_targets.landmark_model
        follows = split == "train" and config.data.match_openings
        names = model.expression_names if follows else None
        sources.append(FaceCropSource(config, folder, landmarks, names))
    return sources[0], sources[0 if config.data.photos else 1], coefficient_targets
