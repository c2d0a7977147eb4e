import threading
import time
from collections.abc import Iterator

import pytest

from prnet.video.pipeline import WriteBehind, read_ahead


def test_items_come_in_order_and_errors_in_their_turn() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("the sixth")

    seen = []
    with pytest.raises(OSError, match="the sixth"):
        for item in read_ahead(items(), 2):
            seen.append(item)
    assert seen == [0, 1, 2, 3, 4]


def test_reading_stays_so_far_ahead_and_stops_when_nobody_asks() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 0
    time.sleep(0.05)
    assert len(taken) <= 1 + 3 + 1
    ahead.close()
    assert threading.active_count() == len(threading.enumerate())
    count = len(taken)
    time.sleep(0.05)
    assert len(taken) == count


def test_writing_is_done_in_order_before_the_end() -> None:
    written = []
    with WriteBehind(written.append, 2) as behind:
        for number in range(20):
            behind.put(number)
    assert written == list(range(20))


def test_an_error_of_writing_is_raised() -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise OSError("full")

    def give() -> None:
        with WriteBehind(fail, 1) as behind:
            for number in range(100):
                behind.put(number)

    with pytest.raises(OSError, match="full"):
        give()


@pytest.mark.parametrize(("error", "is_done"), [(KeyboardInterrupt, True), (ValueError, False)])
def test_ctrl_c_lets_the_rest_be_written(error: type[BaseException], is_done: bool) -> None:
    gate, written = threading.Event(), []

    def write(number: int) -> None:
        gate.wait(1)
        written.append(number)

    def give() -> None:
        with WriteBehind(write, 5) as behind:
            for number in range(5):
                behind.put(number)
            threading.Timer(0.05, gate.set).start()
            raise error

    with pytest.raises(error):
        give()
    assert (len(written) == 5) == is_done
