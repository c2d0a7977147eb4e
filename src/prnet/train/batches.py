"""Samples → batches, in an order that a resumed run repeats exactly."""

from collections.abc import Iterator
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from prnet.data.workers import worker_context
from prnet.train.config import AugmentConfig, TrainConfig
from prnet.train.negatives import Negatives
from prnet.train.samples import Batch, FaceCropSample, MapSample, stack_crops
from prnet.train.sources import Source

S = TypeVar("S")


class TrainingBatches(Dataset[Batch]):
    """Batch `step` of a run: a function of recipe and step alone, so a resume repeats nothing.

    Args:
        source: Of the samples.
        config: The recipe.
        rank: This process.
        processes: Of how many; each makes its share of every batch.
    """

    def __init__(
        self, source: Source, config: TrainConfig, rank: int = 0, processes: int = 1
    ) -> None:
        self.source, self.config = source, config
        self.rank, self.processes = rank, processes
        self.negatives = Negatives(config.data.facekit, config.network.input_size)
        self.photos = source.photos
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __getitem__(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        cv2.setNumThreads(1)  # the processes are the parallelism
        pairs = self.config.data.paired_crops // self.processes
        local = self.config.batch_size // self.processes - pairs
        first = (step * self.processes + self.rank) * local
        is_reduced = step >= self.config.steps - self.config.reduced_augmentation_steps
        settings = self.config.augment.reduced() if is_reduced else self.config.augment
        samples = [self._sample(first + k, settings) for k in range(local)]
        samples += [self._sample(first + k, settings, is_second=True) for k in range(pairs)]
        batch = self.source.stack(samples)
        if count := self.config.data.negatives // self.processes:
            rng = np.random.default_rng([self.config.seed, 2, step, self.rank])
            crops = [self.negatives.sample(settings, rng) for _ in range(count)]
            batch = batch._replace(negatives=stack_crops(crops))
        return batch

    def _sample(
        self, count: int, settings: AugmentConfig, is_second: bool = False
    ) -> FaceCropSample | MapSample:
        """Sample number `count` of the run, or the same with its crop moved a little.

        Every photo comes once an epoch, in an order of its own, but for the expressive ones put in
        others' places.
        """
        epoch, position = divmod(count, self.photos)
        if self._order[0] != epoch:
            order = np.random.default_rng([self.config.seed, epoch]).permutation(self.photos)
            self._order = epoch, order
        photo = int(self._order[1][position])
        what = np.random.default_rng([self.config.seed, 4, count])
        if what.random() < self.config.data.expressive_share:
            photo = int(what.choice(self.source.expressive))
        how = np.random.default_rng([self.config.seed, 1, count])
        jitter = np.random.default_rng([self.config.seed, 3, count]) if is_second else None
        return self.source.sample(photo, settings, what, how, jitter)


class _Steps(Sampler[int]):
    """Steps from the first still to do."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start


class _Portable(Dataset[Any]):
    """Batches as they travel between processes: arrays, through pipes.

    PyTorch would send tensors through shared memory, of which a container has little. And of an
    error it would make one whose message holds a traceback.
    """

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> tuple[type[Batch], list[NDArray[Any]]] | Exception:
        """The kind and the arrays of a step's batch, or what went wrong."""
        try:
            batch = self._batches[step]
            return type(batch), [part.numpy() for part in batch]
        except Exception as error:
            return error


def _as_it_is(item: S) -> S:
    """Let PyTorch make nothing of what a worker gives."""
    return item


def load_batches(batches: TrainingBatches, start: int, stop: int) -> Iterator[Batch]:
    """The batches of steps start … stop − 1, prepared ahead by worker processes."""
    workers = batches.config.workers
    loader = DataLoader(
        _Portable(batches),
        batch_size=None,
        collate_fn=_as_it_is,
        sampler=_Steps(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context=worker_context(__name__) if workers else None,
    )
    for made in loader:
        if isinstance(made, Exception):
            raise made
        kind, arrays = made
        yield kind(*map(torch.from_numpy, arrays))
