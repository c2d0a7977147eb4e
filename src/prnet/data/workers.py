"""Worker processes, started in one way for all that share work out."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, TypeVar

import cv2

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

# a forked process inherits other libraries' locks as they happen to be, and may wait forever
START_METHOD = "spawn"

_state: Any = None


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
    with ProcessPoolExecutor(
        processes, get_context(START_METHOD), initializer=_start, initargs=(prepare,)
    ) as pool:
        yield from pool.map(partial(_call, function), items, chunksize=chunksize)


def _start(prepare: Callable[[], object]) -> None:
    """Begin a worker process."""
    global _state
    cv2.setNumThreads(1)
    _state = prepare()


def _call(function: Callable[[Any, T], R], item: T) -> R:
    """Apply the function with what this process prepared."""
    return function(_state, item)
