"""The photos that commands are given: files, or folders of them."""

from collections.abc import Iterable
from pathlib import Path

from prnet.cli.terminal import report
from prnet.errors import ImageReadError


def expand_all(given: Iterable[str], recursive: bool) -> tuple[list[Path], int]:
    """All photos in order, and how many of what was given hold none, which is told."""
    from prnet.apps.inputs import expand

    found: list[Path] = []
    failures = 0
    for path in map(Path, given):
        try:
            found += expand(path, recursive)
        except ImageReadError as error:
            failures += 1
            report(error)
    return found, failures
