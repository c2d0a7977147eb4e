"""Processes that compose scenes, and the batches that they fill."""

import dataclasses
import math
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from prnet.data.scene_mix import LEARNED
from prnet.data.scene_photos import ScenePhotos
from prnet.data.scenes import MAX_ROWS, Scene, SceneComposer
from prnet.data.workers import worker_context
from prnet.train.detector_loss import Truth

CHUNK = 16  # scenes that a process hands over at once
SLOTS = 3  # chunks that each process may be ahead
REDRAWN = 2  # textures that it draws anew after each
READY = 6  # batches that wait at most
# a scene's labels as one array: faces' rows of 5, then ignored regions' rows of 4
LABEL_SHAPE = (2, MAX_ROWS, 5)
# where files are memory, if there is enough of it
MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Scenes as the loss takes them: (N, S, S, 3) uint8 RGB, and their labels."""

    images: torch.Tensor
    truth: Truth

    def to(self, device: torch.device) -> "SceneBatch":
        """The same scenes on a device."""
        truth = Truth(*(part.to(device, non_blocking=True) for part in self.truth))
        return SceneBatch(self.images.to(device, non_blocking=True), truth)

    def mirrored(self) -> "SceneBatch":
        """The same scenes, left and right exchanged."""
        last = self.images.shape[1] - 1
        boxes, is_face, ignored = self.truth
        x, y, width, height, angle = boxes.unbind(-1)
        x0, y0, x1, y1 = ignored.unbind(-1)
        labels = torch.stack([last - x, y, width, height, -angle], -1)
        regions = torch.stack([last - x1, y0, last - x0, y1], -1)
        return SceneBatch(self.images.flip(2), Truth(labels, is_face, regions))

    def rotated(self) -> "SceneBatch":
        """The same scenes, a quarter turned counter-clockwise."""
        last = self.images.shape[1] - 1
        boxes, is_face, ignored = self.truth
        x, y, width, height, angle = boxes.unbind(-1)
        turned = torch.stack([y, last - x, width, height, angle - math.pi / 2], -1)
        x0, y0, x1, y1 = ignored.unbind(-1)
        regions = torch.stack([y0, last - x1, y1, last - x0], -1)
        return SceneBatch(
            torch.rot90(self.images, 1, (1, 2)).contiguous(), Truth(turned, is_face, regions)
        )


def pack_labels(scene: Scene) -> NDArray[np.float32]:
    """A scene's labels in an array of one shape, (2, M, 5) float32; the largest rows first."""
    labels = np.zeros(LABEL_SHAPE, np.float32)
    faces = scene.faces[np.argsort(-scene.faces[:, 2], kind="stable")][:MAX_ROWS]
    extent = scene.ignored[:, 2] - scene.ignored[:, 0]
    ignored = scene.ignored[np.argsort(-extent, kind="stable")][:MAX_ROWS]
    labels[0, : len(faces)] = faces
    labels[1, : len(ignored), :4] = ignored
    return labels


def unpack_labels(labels: torch.Tensor) -> Truth:
    """(N, 2, M, 5) float32 → the labels of N scenes."""
    return Truth(labels[:, 0], labels[:, 0, :, 2] > 0, labels[:, 1, :, :4])


def _compose_forever(
    connection: Connection,
    slots_file: Path,
    photos: ScenePhotos,
    pixels: Path,
    hard_file: Path | None,
    seed: int,
) -> None:
    """A process's work: fill slots with scenes and tell which, until the other end closes.

    Args:
        connection: Takes a slot's number when it is full, gives it back when it has been read.
        slots_file: Of this process's images, (SLOTS, 16, S, S, 3) uint8.
        photos: Without their pixels.
        pixels: File of those.
        hard_file: Of hard negatives.
        seed: Of this process.
    """
    cv2.setNumThreads(1)
    photos = dataclasses.replace(photos, pixels=np.load(pixels, mmap_mode="r"))
    slots = np.load(slots_file, mmap_mode="r+")
    hard = None if hard_file is None else np.load(hard_file, mmap_mode="r")
    composer = SceneComposer(
        photos, held_out=False, seed=seed, size=slots.shape[2], mix=LEARNED, hard=hard
    )
    rng = np.random.default_rng(seed)
    labels = np.empty((CHUNK, *LABEL_SHAPE), np.float32)
    free = list(range(SLOTS))
    try:
        while True:
            if not free:
                free.append(connection.recv())
            slot = free.pop()
            for i in range(CHUNK):
                scene = composer.compose(rng)
                slots[slot, i], labels[i] = scene.image, pack_labels(scene)
            connection.send((slot, labels))
            composer.redraw_textures(rng, REDRAWN)
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return  # training is over


class SceneFeed:
    """Batches of scenes, made by other processes while the last ones are trained on."""

    def __init__(
        self,
        photos: ScenePhotos,
        pixels: Path,
        *,
        size: int,
        batch_size: int,
        workers: int,
        uses: int = 1,
        seed: int,
        device: torch.device | None = None,
        hard: Path | None = None,
    ) -> None:
        """Start the processes.

        Args:
            photos: As `load_photos` gives them.
            pixels: The file of their pixels.
            size: Side of the scenes.
            batch_size: A multiple of 16.
            workers: Processes.
            uses: How often each scene is used.
            device: Where batches go; None: the CPU.
            hard: File of hard negatives, see `SceneComposer`; what is written into it later counts.
            seed: Of all scenes; which batch they come in depends on the processes' speed.

        Raises:
            ValueError: batch_size is no multiple of 16.
        """
        if batch_size % CHUNK:
            raise ValueError(f"batch_size must be a multiple of {CHUNK}, got {batch_size}")
        self._batch_size, self._uses = batch_size, uses
        self._device = device or torch.device("cpu")
        self._image_shape = (size, size, 3)
        self._ready: queue.Queue[SceneBatch | Exception] = queue.Queue(READY)
        self._stop = threading.Event()
        shape = (SLOTS, CHUNK, *self._image_shape)
        self._folder = tempfile.TemporaryDirectory(dir=_roomy(workers * int(np.prod(shape))))
        context = worker_context(__name__)
        without = dataclasses.replace(photos, pixels=np.empty(0, np.uint8))
        self._slots: dict[Connection, NDArray[np.uint8]] = {}
        self._processes = []
        for worker in range(workers):
            file = Path(self._folder.name) / f"{worker}.npy"
            slots = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
            ours, theirs = context.Pipe()
            arguments = (theirs, file, without, pixels, hard, seed * 1000 + worker)
            process = context.Process(target=_compose_forever, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._slots[ours] = slots
            self._processes.append(process)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __iter__(self) -> Iterator[SceneBatch]:
        """Batches without end; each `uses` times: mirrored, then turned, and so on."""
        while True:
            batch = self._ready.get()
            if isinstance(batch, Exception):
                raise RuntimeError("a process that composes scenes has died") from batch
            batch = batch.to(self._device)
            yield batch
            for use in range(1, self._uses):
                batch = batch.mirrored() if use % 2 else batch.rotated()
                yield batch

    def close(self) -> None:
        """End the processes."""
        self._stop.set()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        self._reader.join()
        self._slots.clear()
        self._folder.cleanup()

    def _read(self) -> None:
        """Fill batches from whichever process has something."""
        try:
            while not self._stop.is_set():
                images = torch.empty(
                    (self._batch_size, *self._image_shape),
                    dtype=torch.uint8,
                    pin_memory=torch.cuda.is_available(),
                )
                labels = np.empty((self._batch_size, *LABEL_SHAPE), np.float32)
                first = 0
                while first < self._batch_size and not self._stop.is_set():
                    for connection in wait(list(self._slots), timeout=0.5):
                        assert isinstance(connection, Connection)
                        slot, labels[first : first + CHUNK] = connection.recv()
                        full = self._slots[connection][slot]
                        images[first : first + CHUNK] = torch.from_numpy(full)
                        connection.send(slot)
                        first += CHUNK
                        if first == self._batch_size:
                            break
                self._put(SceneBatch(images, unpack_labels(torch.from_numpy(labels))))
        except (EOFError, OSError) as error:
            self._put(error)

    def _put(self, item: SceneBatch | Exception) -> None:
        """Put into the queue unless all is over."""
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.5)
            except queue.Full:
                continue
            return


def _roomy(size: int) -> str | None:
    """A folder in memory if it has room for several times so many bytes; None: the usual one."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * size
    return str(MEMORY) if has_room else None
