"""Shards handed to workers by Ray Data, on this machine or a cluster."""

import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from prnet.batch.inputs import Photo
from prnet.batch.table import done_sources, open_run, remove_partials
from prnet.batch.work import Wanted, Worker
from prnet.errors import PRNetError

SHARD_SIZE = 1000  # photos of a part at most, which a killed worker has to do again
SHARDS_A_WORKER = 16  # at least so many, so that the last ones end together
GPU_DEVICES = ("cuda", "rocm")
STARTS = 3  # of Ray on this machine: a busy one may need longer than the 30 s that Ray waits


class Outcome(NamedTuple):
    """What a run did.

    Attributes:
        photos: Done in this run.
        faces: Found in them.
        failed: Photos that couldn't be read or reconstructed.
        before: Photos that an earlier run had done.
        start_s: Seconds until the first shard's start: Ray's, and the model's opening.
        seconds: From then to the last shard's end.
        busy: Which part of that time the workers were at a shard, in [0, 1].
        cpu_s: CPU seconds that they took for it.
    """

    photos: int
    faces: int
    failed: int
    before: int
    start_s: float = 0.0
    seconds: float = 0.0
    busy: float = 0.0
    cpu_s: float = 0.0


class ShardWorker:
    """A `Worker` as Ray Data calls it, in a process of its own."""

    def __init__(self, wanted: Wanted) -> None:
        """Open the model."""
        self._worker = Worker(wanted)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[float]]:
        """Do the one shard of a batch: its counts, and the seconds that it took, also of CPU."""
        start, cpu_start = time.perf_counter(), time.process_time()
        (shard,) = batch["shard"]
        counts = self._worker.do(shard)
        took = {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu_start}
        return {key: [value] for key, value in {**counts, **took}.items()}


def run_batch(
    photos: Sequence[Photo],
    wanted: Wanted,
    workers: int,
    address: str | None = None,
    shard_size: int = SHARD_SIZE,
    tell: Callable[[int, int, float], None] = lambda done, total, each: None,
) -> Outcome:
    """Make a data set, or go on with it.

    A shard's part is written aside, then named after its photos, so a worker that is killed loses
    what it was at and nothing else, and what is done twice is there once.

    Args:
        photos: All of them; those that are done are left out.
        wanted: What the data set is to hold.
        workers: Processes, each of one thread.
        address: Of a Ray cluster, whose machines all see the data set's folder and the photos by
            the same names; None for this machine.
        shard_size: Photos of a part at most.
        tell: Called with the photos done, all there are, and how many faces one has so far.

    Returns:
        Outcome.

    Raises:
        OutputError: See `open_run`; or a part can't be written.
        PRNetError: Ray doesn't start.
    """
    folder = Path(wanted.folder)
    may_change = "folder", "device"  # from one start to the next
    settings = {name: value for name, value in asdict(wanted).items() if name not in may_change}
    open_run(folder, settings)
    done = set(done_sources(folder))
    left = [photo for photo in photos if photo.source not in done]
    before, total = len(photos) - len(left), len(photos)
    tell(before, total, 1.0)
    if not left:
        return Outcome(0, 0, 0, before)
    size = max(min(shard_size, len(left) // (workers * SHARDS_A_WORKER)), 1)
    shards = split_shards(left, size)
    counts = {"photos": 0, "faces": 0, "failed": 0}
    start = time.perf_counter()
    first = busy_s = cpu_s = 0.0
    for own in _on_ray(shards, wanted, workers, address):
        first = first or time.perf_counter() - own["seconds"]
        busy_s += own["seconds"]
        cpu_s += own["cpu_s"]
        for key in counts:
            counts[key] += int(own[key])
        tell(before + counts["photos"], total, counts["faces"] / counts["photos"])
    remove_partials(folder)
    seconds = time.perf_counter() - first
    busy = min(busy_s / (seconds * min(workers, len(shards))), 1.0)
    return Outcome(
        **counts, before=before, start_s=first - start, seconds=seconds, busy=busy, cpu_s=cpu_s
    )


def split_shards(photos: Sequence[Photo], size: int) -> list[list[Photo]]:
    """Shards of at most so many photos, mixed so that they take about as long.

    Large photos lie together in folders, and so do those without a face. But photos of one row
    group of a Parquet file stay together, since it is read as a whole.
    """
    rng = random.Random(0)
    files = [photo for photo in photos if photo.table is None]
    groups: dict[Any, list[Photo]] = {None: rng.sample(files, len(files))}
    for photo in photos:
        if photo.table is not None:
            groups.setdefault((photo.table, photo.row_group), []).append(photo)
    shards = [
        group[start : start + size]
        for group in groups.values()
        for start in range(0, len(group), size)
    ]
    return rng.sample(shards, len(shards))


def _on_ray(
    shards: Sequence[list[Photo]], wanted: Wanted, workers: int, address: str | None
) -> Iterator[dict[str, float]]:
    """What came of each shard, as they end.

    Raises:
        PRNetError: Ray doesn't start, or finds no GPU where one is wanted.
        OutputError: A worker can't write.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anyone
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    is_own = not ray.is_initialized()
    if is_own:
        _start_ray(workers, address)
    try:
        context = DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        items = [{"shard": shard} for shard in shards]
        data = ray.data.from_items(items, override_num_blocks=len(items))
        outcomes = data.map_batches(
            ShardWorker,
            fn_constructor_args=(wanted,),
            batch_size=1,
            compute=ActorPoolStrategy(size=min(workers, len(shards))),
            num_cpus=1,
            num_gpus=_gpu_share(wanted.device, workers),
        )  # Ray Data starts a worker that died again, and does its shard again
        yield from outcomes.iter_rows()
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, PRNetError) else error from None
    finally:
        if is_own:
            ray.shutdown()


def _gpu_share(device: str, workers: int) -> float:
    """Which part of a GPU each worker gets; Ray hides them from workers that ask for none.

    Raises:
        PRNetError: The device is one, and there is none.
    """
    import ray

    if device not in (*GPU_DEVICES, "auto"):
        return 0.0
    gpus = ray.cluster_resources().get("GPU", 0.0)
    if not gpus and device in GPU_DEVICES:
        raise PRNetError(f"device {device}: Ray finds no GPU")
    return min(math.floor(gpus / workers * 1e4) / 1e4, 1.0)


def _start_ray(workers: int, address: str | None) -> None:
    """Start Ray on this machine, or join a cluster."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    for start in range(STARTS if address is None else 1):
        try:
            if address is None:
                # one more than the workers hold, for what Ray Data does itself
                ray.init(num_cpus=workers + 1, include_dashboard=False, **quiet)
            else:
                ray.init(address=address, **quiet)
            return
        except Exception as error:  # Ray raises a plain one, among others
            ray.shutdown()
            if start + 1 == STARTS or address is not None:
                where = "" if address is None else f" at {address}"
                raise PRNetError(f"Ray{where} doesn't start: {error}") from error
