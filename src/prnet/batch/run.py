"""Shards handed to workers by Ray Data, on this machine or a cluster."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from prnet.batch.inputs import Photo
from prnet.batch.table import done_sources, open_run
from prnet.batch.work import Wanted, Worker, split_shards

SHARD_SIZE = 64  # photos of a part, which a killed worker has to do again
SHARDS_A_WORKER = 8  # at least so many, so that the last ones end together


class Outcome(NamedTuple):
    """What a run did.

    Attributes:
        photos: Done in this run.
        faces: Found in them.
        failed: Photos that couldn't be read or reconstructed.
        before: Photos that an earlier run had done.
        seconds: From the first shard's start to the last one's end.
    """

    photos: int
    faces: int
    failed: int
    before: int
    seconds: float


class ShardWorker:
    """A `Worker` as Ray Data calls it, in a process of its own."""

    def __init__(self, wanted: Wanted) -> None:
        """Open the model."""
        self._worker = Worker(wanted)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Do the shards of a batch."""
        counts = [self._worker.do(shard) for shard in batch["shard"]]
        return {key: [each[key] for each in counts] for key in ("photos", "faces", "failed")}


def run_batch(
    photos: Sequence[Photo],
    wanted: Wanted,
    workers: int,
    address: str | None = None,
    shard_size: int = SHARD_SIZE,
    tell: Callable[[int, int], None] = lambda done, total: None,
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
        tell: Called with the photos done and all there are.

    Returns:
        Outcome.

    Raises:
        OutputError: See `open_run`.
    """
    folder = Path(wanted.folder)
    may_change = "folder", "device"  # from one start to the next
    settings = {name: value for name, value in asdict(wanted).items() if name not in may_change}
    open_run(folder, settings)
    done = set(done_sources(folder))
    left = [photo for photo in photos if photo.source not in done]
    before, total = len(photos) - len(left), len(photos)
    tell(before, total)
    if not left:
        return Outcome(0, 0, 0, before, 0.0)
    size = max(min(shard_size, len(left) // (workers * SHARDS_A_WORKER)), 1)
    # large photos lie together in folders: mixed, the shards take about as long
    shuffled = random.Random(0).sample(left, len(left))
    shards = split_shards(shuffled, size)
    counts = {"photos": 0, "faces": 0, "failed": 0}
    start = time.perf_counter()
    for own in _on_ray(shards, wanted, workers, address):
        for key in counts:
            counts[key] += int(own[key])
        tell(before + counts["photos"], total)
    return Outcome(**counts, before=before, seconds=time.perf_counter() - start)


def _on_ray(
    shards: Sequence[list[Photo]], wanted: Wanted, workers: int, address: str | None
) -> Any:  # noqa: ANN401
    """What came of each shard, as they end."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    is_own = not ray.is_initialized()
    if is_own:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            # one more than the workers hold, for what Ray Data does itself
            ray.init(num_cpus=workers + 1, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    try:
        context = DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        items = [{"shard": shard} for shard in shards]
        data = ray.data.from_items(items, override_num_blocks=len(items))
        outcomes = data.map_batches(
            ShardWorker,
            fn_constructor_args=(wanted,),
            batch_size=1,
            compute=ActorPoolStrategy(size=min(workers, len(shards))),
            num_cpus=1,
        )  # Ray Data starts a worker that died again, and does its shard again
        yield from outcomes.iter_rows()
    finally:
        if is_own:
            ray.shutdown()
