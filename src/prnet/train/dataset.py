"""Cut-outs → batches of crops with their poses and coefficients, in an order that a resume can repeat."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from prnet.data.cutouts import YAW_STRATA_DEG, Cutout
from prnet.geometry.similarity import Similarity
from prnet.train.augment import crop_cutout, degrade, mirror_pose
from prnet.train.config import TrainConfig

VARIANTS = 1 + len(YAW_STRATA_DEG)  # a photo as it is, then its turned copies


class Batch(NamedTuple):
    """N samples; crop units are half the crop's side, 0 its middle, y up.

    Attributes:
        crops: (N, 3, S, S) uint8 RGB.
        coefficients: (N, 153) float32, identity then expression.
        rotation: (N, 3, 3) float32, canonical → crop.
        scale: (N,) float32, crop units per cm.
        translation: (N, 3) float32, crop units.
        mirrored: (N,) bool; then the shape is that of the coefficients, mirrored.
    """

    crops: Tensor
    coefficients: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    mirrored: Tensor


def make_batch(samples: list[tuple[NDArray[np.uint8], Similarity, Cutout, bool]]) -> Batch:
    """Stack (crop, pose in it, cut-out it comes from, mirrored) samples."""
    crops, poses, cutouts, mirrored = zip(*samples, strict=True)
    coefficients = [np.concatenate([c.identity, c.expression]) for c in cutouts]

    def stack(values: list) -> Tensor:
        return torch.from_numpy(np.array(values, np.float32))

    return Batch(
        torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2),
        stack(coefficients),
        stack([pose.rotation for pose in poses]),
        stack([pose.scale for pose in poses]),
        stack([pose.translation for pose in poses]),
        torch.tensor(mirrored),
    )


class CutoutFiles:
    """The folder that `build_cutouts` wrote.

    Args:
        folder: As `build_cutouts` returned it.
        photos: Use the first so many photos only; 0 for all.
    """

    def __init__(self, folder: Path, photos: int = 0) -> None:
        self._pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        with np.load(folder / "labels.npz") as arrays:
            self._labels = {name: arrays[name] for name in arrays.files}
        available = len(self._pixels) // VARIANTS
        self.photos = min(photos, available) if photos else available

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """(192, 192, 3) uint8 RGB of cut-out `index`."""
        return np.array(self._pixels[index])

    def __getitem__(self, index: int) -> Cutout:
        """Cut-out `index`; photo p has the indices from p · VARIANTS."""
        row = {name: column[index] for name, column in self._labels.items()}
        pose = Similarity(float(row["scale"]), row["rotation"], row["translation"])
        return Cutout(
            self.pixels(index),
            pose,
            row["identity"],
            row["expression"],
            row["openings"],
            bool(row["turned"]),
        )


class TrainingSamples(Dataset[Batch]):
    """Batch `step` of a run: a function of the recipe and the step alone, so a resume repeats nothing.

    Args:
        config: The recipe.
        folder: The training split's folder, from `build_cutouts`.
        landmarks_mean: (68, 3) float32, canonical frame: the mean face's iBUG points.
        landmarks_basis: (153, 68, 3) float32, cm per coefficient.
        rank: This process.
        processes: Of how many; each makes its share of every batch.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        landmarks_mean: NDArray[np.float32],
        landmarks_basis: NDArray[np.float32],
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.config, self.folder = config, folder
        self.rank, self.processes = rank, processes
        self._mean, self._basis = landmarks_mean, landmarks_basis
        self._files: CutoutFiles | None = None
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __getitem__(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        if self._files is None:  # opened in the worker process
            cv2.setNumThreads(1)
            self._files = CutoutFiles(self.folder, self.config.data.photos)
        local = self.config.batch_size // self.processes
        first = step * self.config.batch_size + self.rank * local
        return make_batch([self._sample(self._files, first + k) for k in range(local)])

    def _sample(
        self, files: CutoutFiles, count: int
    ) -> tuple[NDArray[np.uint8], Similarity, Cutout, bool]:
        """Sample number `count` of the run."""
        epoch, position = divmod(count, files.photos)
        if self._order[0] != epoch:
            order = np.random.default_rng([self.config.seed, epoch]).permutation(files.photos)
            self._order = epoch, order
        rng = np.random.default_rng([self.config.seed, 1, count])
        is_turned = rng.random() < self.config.data.turned_share
        variant = int(rng.integers(1, VARIANTS)) if is_turned else 0
        cutout = files[int(self._order[1][position]) * VARIANTS + variant]
        settings = self.config.augment
        size, landmarks = self.config.network.input_size, self.landmarks(cutout)
        crop, pose = crop_cutout(cutout.pixels, cutout.pose, landmarks, size, settings, rng)
        other = files.pixels(int(rng.integers(files.photos)) * VARIANTS)
        mirrored = bool(rng.random() < settings.p_mirror)
        if mirrored:
            crop, pose = np.ascontiguousarray(crop[:, ::-1]), mirror_pose(pose)
        return degrade(crop, other, settings, rng), pose, cutout, mirrored

    def landmarks(self, cutout: Cutout) -> NDArray[np.float32]:
        """The iBUG points of a cut-out's shape: (68, 3) float32, canonical frame."""
        coefficients = np.concatenate([cutout.identity, cutout.expression])
        return self._mean + np.einsum("k,kpd->pd", coefficients, self._basis)


class _Steps(Sampler[int]):
    """Steps from the first still to do."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start


def batches(samples: TrainingSamples, start: int, stop: int) -> DataLoader[Batch]:
    """The batches of steps start … stop − 1, prepared ahead by worker processes."""
    workers = samples.config.workers
    return DataLoader(
        samples,
        batch_size=None,
        sampler=_Steps(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # a forked process inherits OpenCV's and OpenMP's locks as they happen to be, and may hang
        multiprocessing_context="spawn" if workers else None,
    )
