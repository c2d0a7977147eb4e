"""Work that goes on beside other work, a bounded way ahead or behind."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

POLL_S = 0.1  # how often a thread that waits looks whether it is still wanted


def read_ahead(items: Iterable[T], most: int) -> Iterator[T]:
    """Take items in another thread, at most so many ahead of whoever asks for them.

    Raises:
        Exception: Whatever taking an item raised, in its turn.
    """
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(most)
    is_unwanted = threading.Event()

    def offer(is_item: bool, thing: T | BaseException | None) -> None:
        while not is_unwanted.is_set():
            try:
                ready.put((is_item, thing), timeout=POLL_S)
                return
            except queue.Full:
                continue

    def take() -> None:
        try:
            for item in items:
                offer(True, item)
                if is_unwanted.is_set():
                    return
            offer(False, None)
        except BaseException as error:
            offer(False, error)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        while True:
            is_item, thing = ready.get()
            if is_item:
                yield thing  # type: ignore[misc]
            elif isinstance(thing, BaseException):
                raise thing
            else:
                return
    finally:
        is_unwanted.set()
        thread.join()


class WriteBehind(Generic[T]):
    """Does something with items in another thread, at most so many behind whoever gives them.

    Used by `with`, whose end waits until all is done; after an error of the block the rest of the
    items is dropped, after Ctrl-C it isn't.
    """

    def __init__(self, write: Callable[[T], None], most: int) -> None:
        self._write = write
        self._waiting: queue.Queue[tuple[T] | None] = queue.Queue(most)
        self._error: BaseException | None = None
        self._is_dropped = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand an item over; raises what an earlier one led to."""
        if self._error is not None:
            raise self._error
        self._waiting.put((item,))

    def _work(self) -> None:
        while (box := self._waiting.get()) is not None:
            if self._error is None and not self._is_dropped:
                try:
                    self._write(box[0])
                except BaseException as error:
                    self._error = error

    def __enter__(self) -> "WriteBehind[T]":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what is left, and raise what it led to."""
        self._is_dropped = kind is not None and not issubclass(kind, KeyboardInterrupt)
        self._waiting.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error
