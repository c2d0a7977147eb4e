"""What commands say, and how they end."""

import errno
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO
from weakref import WeakSet

from rich.console import Console
from rich.table import Column, Table

from prnet.errors import PRNetError

# exit codes: some inputs failed; the command can't be done as given
FAILED, USAGE = 1, 2
INTERRUPTED, TERMINATED = 130, 143  # as a shell says of Ctrl-C, and of SIGTERM
ONCE_S = 1.0  # seconds in which a second SIGTERM is the first one's: `timeout` sends two

lost: WeakSet[TextIO] = WeakSet()  # streams whose file took no more

logger = logging.getLogger(__name__)


def open_streams() -> None:
    """Make stdout and stderr fit for any line, also where the process was started without them."""
    for number in range(3):  # so that no file that is opened later becomes a standard stream
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):  # no file's name may be unprintable
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def orderly_sigterm() -> Iterator[None]:
    """Have SIGTERM end the process by SystemExit, so that nothing half done is left behind.

    Where somebody handles or ignores the signal already, or isn't the main thread, it stays so.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    last = -ONCE_S

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal last
        is_second, last = time.monotonic() - last < ONCE_S, time.monotonic()
        if not is_second:
            sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def say(line: str, stream: TextIO | None = None) -> None:
    """Write a line; unlike `typer.echo` above a progress bar that is on the screen.

    Nobody has to be there to read it: a closed pipe or a full disk stops no work. After the latter
    the stream is one of `lost`.
    """
    stream = stream or sys.stdout
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        drop(stream)
    except OSError as error:
        drop(stream)
        lost.add(stream)
        if stream is not sys.stderr:
            say(f"prnet: standard output can't be written ({error.strerror})", sys.stderr)


def counted(number: int, thing: str) -> str:
    """So many things, in words."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def drop(stream: TextIO) -> None:
    """Send what a stream still holds, and all that comes, nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def is_full(error: BaseException | None) -> bool:
    """Whether a disk had no room, which is no fault of what was asked for."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def report(error: BaseException, photo: str | None = None) -> None:
    """Tell on stderr what went wrong, in one line that names the photo."""
    logger.debug("", exc_info=error)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        text = "not enough memory"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif str(error) and not isinstance(error, PRNetError | ValueError):
        text = f"{type(error).__name__}: {text}"
    if photo is not None and " ".join(photo.split()) not in text:
        text = f"{' '.join(photo.split())}: {text}"
    say(f"prnet: {text}", sys.stderr)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print names in the first column and numbers in the others."""
    table = Table(*(Column(name, justify="right") for name in columns))
    table.columns[0].justify = "left"
    for row in rows:
        table.add_row(*row)
    Console().print(table)
