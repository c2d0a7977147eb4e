"""Progress bars: on a terminal, and silence elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Report(Protocol):
    """Tells how far a piece of work is."""

    def __call__(self, done: int, total: int, each: float = 1.0) -> None:
        """Steps done and steps in all; how many of the things counted one step has."""
        ...


class RateColumn(ProgressColumn):
    """How many things are done in a second.

    Args:
        things: What they are called.
    """

    def __init__(self, things: str) -> None:
        super().__init__()
        self._things = things

    def render(self, task: Task) -> Text:
        """The rate of late; nothing at first."""
        if task.speed is None:
            return Text("")
        return Text(f"{task.speed * task.fields['each']:.1f} {self._things}/s")


@contextmanager
def progress_bar(what: str, is_shown: bool = True, things: str | None = None) -> Iterator[Report]:
    """Show how far a piece of work is, on stderr.

    Args:
        what: Stands before the bar.
        is_shown: False for none.
        things: What is done, if the bar is to tell how many of it a second.

    Yields:
        To be called as `Report` says. Lines written to a terminal's stdout meanwhile stand above
        the bar.
    """
    columns: list[ProgressColumn] = [TextColumn(what), BarColumn(), MofNCompleteColumn()]
    columns += [*([RateColumn(things)] if things else []), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(
        *columns,
        console=console,
        disable=not (is_shown and console.is_terminal),
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        task = bar.add_task("", total=None, each=1.0)

        def report(done: int, total: int, each: float = 1.0) -> None:
            bar.update(task, completed=done, total=total, each=each)

        yield report
