"""The photos that commands are given: files, or folders of them."""

import sys
from collections.abc import Iterable
from pathlib import Path

from prnet.cli.terminal import report, say


def expand_all(
    given: Iterable[str], recursive: bool, quiet: bool = False
) -> tuple[list[Path], int]:
    """All photos in order, and how many folders can't be listed or hold none, which is told.

    Unless `quiet`, so is which pictures are left out because prnet can't read their kind.
    """
    from prnet.apps.inputs import search

    photos: list[Path] = []
    failures = 0
    for path in map(Path, given):
        found = search(path, recursive)
        photos += found.photos
        failures += len(found.errors)
        for error in found.errors:
            report(error)
        if found.foreign and not quiet:
            kinds = " ".join(sorted(set(found.foreign)))
            count = len(found.foreign)
            files = "1 file of a kind" if count == 1 else f"{count} files of kinds"
            say(f"prnet: {path}: {files} that prnet can't read left out ({kinds})", sys.stderr)
    return photos, failures
