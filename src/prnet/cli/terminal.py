"""What commands say, and how they end."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Column, Table

# exit codes: some inputs failed; the command can't be done as given; as a shell says of Ctrl-C
FAILED, USAGE, INTERRUPTED = 1, 2, 130

logger = logging.getLogger(__name__)


def say(line: str, stream: TextIO | None = None) -> None:
    """Write a line; unlike `typer.echo` above a progress bar that is on the screen."""
    (stream or sys.stdout).write(f"{line}\n")


def report(error: Exception, photo: Path | None = None) -> None:
    """Tell on stderr what went wrong, in one line that names the photo."""
    logger.debug("", exc_info=error)
    text = " ".join(line.strip() for line in str(error).splitlines())
    if photo is not None and str(photo) not in text:
        text = f"{photo}: {text}"
    say(f"prnet: {text}", sys.stderr)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print names in the first column and numbers in the others."""
    table = Table(*(Column(name, justify="right") for name in columns))
    table.columns[0].justify = "left"
    for row in rows:
        table.add_row(*row)
    Console().print(table)
