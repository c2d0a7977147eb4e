"""What a run leaves to read: a row a evaluation, curves, and a description of what ran."""

import csv
import dataclasses
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from prnet.evaluate.plots import plot_training
from prnet.files import write_aside
from prnet.train.recipe import Recipe

RECORD, CURVES, DESCRIPTION = "log.csv", "curves.png", "run.json"


class Record:
    """The record of a run in its folder.

    Args:
        folder: Exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / RECORD

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row, which has the names of those before, and draw the curves."""
        is_new = not self._path.exists()
        with self._path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
        plot_training(self._path, self._folder / CURVES)

    def cut_back(self, step: int) -> None:
        """Forget the rows after a step, and with step 0 the file."""
        if step == 0:
            self._path.unlink(missing_ok=True)
        elif self._path.exists():
            header, *rows = self._path.read_text().splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) <= step]
            with write_aside(self._path) as aside:
                aside.write_text("\n".join([header, *kept]) + "\n")

    def describe(self, config: Recipe, precision: str) -> None:
        """Write down what runs: the recipe, the commit, the precision."""
        description: dict[str, Any] = {
            "commit": _commit(),
            "precision": precision,
            "torch": torch.__version__,
            "recipe": dataclasses.asdict(config),
        }
        with write_aside(self._folder / DESCRIPTION) as aside:
            aside.write_text(json.dumps(description, indent=1) + "\n")


def _commit() -> str:
    """The commit of the code that runs, + after it if files differ; "" outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40"]
    try:
        done = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
