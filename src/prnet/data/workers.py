"""Worker processes, started in one way for all that share work out."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import cv2

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

_state: Any = None


def worker_context(module: str) -> "ForkServerContext | SpawnContext":
    """Where worker processes come from.

    A process forked from this one would inherit other libraries' locks as they happen to be, and
    may wait forever. So they are forked from one that has imported what they work with and done
    nothing else; where the system can't fork, each is started afresh.

    Args:
        module: Of what they run.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


def map_in_processes(
    prepare: Callable[[], S],
    function: Callable[[S, T], R],
    items: Sequence[T],
    processes: int | None = None,
    chunksize: int = 1,
) -> Iterator[R]:
    """Apply a function to items in several processes.

    Args:
        prepare: Makes what the function needs; called once in each process. Pickled, as the
            function, so both are functions of a module, or `partial`s of them.
        function: Of what `prepare` made and an item.
        items: What to do.
        processes: How many; None for one per core. One alone is this process.
        chunksize: How many items a process gets at a time.

    Yields:
        The function's results, in the order of the items.

    Raises:
        concurrent.futures.process.BrokenProcessPool: A process died.
    """
    processes = min(processes or os.cpu_count() or 1, len(items))
    if processes <= 1:
        state = prepare() if items else None
        yield from (function(state, item) for item in items)  # type: ignore[arg-type]
        return
    context = worker_context(getattr(function, "func", function).__module__)
    with ProcessPoolExecutor(processes, context, initializer=_start, initargs=(prepare,)) as pool:
        yield from pool.map(partial(_call, function), items, chunksize=chunksize)


def _start(prepare: Callable[[], object]) -> None:
    """Begin a worker process."""
    global _state
    cv2.setNumThreads(1)
    _state = prepare()


def _call(function: Callable[[Any, T], R], item: T) -> R:
    """Apply the function with what this process prepared."""
    return function(_state, item)
