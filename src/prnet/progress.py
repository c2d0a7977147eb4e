"""Progress bars: on a terminal, and silence elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Report = Callable[[int, int], None]  # called with things done and things in all


@contextmanager
def progress_bar(what: str, is_shown: bool = True) -> Iterator[Report]:
    """Show how far a piece of work is, on stderr.

    Args:
        what: Stands before the bar.
        is_shown: False for none.

    Yields:
        To be called with things done and things in all. Lines written to a terminal's stdout
        meanwhile stand above the bar.
    """
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(
        *columns,
        console=console,
        disable=not (is_shown and console.is_terminal),
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
