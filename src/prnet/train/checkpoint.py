"""Checkpoints and weights in files."""

import os
from pathlib import Path
from typing import Any

import torch

from prnet.errors import ModelFileError, OutputError, RecipeError
from prnet.files import write_aside
from prnet.train.networks import TrainableNetwork


def load_checkpoint(path: str | os.PathLike[str], *names: str) -> dict[str, Any]:
    """Read a checkpoint, of `train` or another.

    Args:
        path: The file.
        names: Of what must be in it.

    Raises:
        ModelFileError: It is no checkpoint, or one of another program or version.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets in a damaged file
        raise ModelFileError(f"{path}: not a checkpoint that can be read ({error})") from error
    missing = [name for name in names if not isinstance(state, dict) or name not in state]
    if missing:
        raise ModelFileError(
            f"{path}: a file of another program or of another version of prnet: it has no "
            f"{', '.join(missing)}"
        )
    return state


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Save aside, then put in place. Raises OutputError if it can't be written; it is not then."""
    try:
        with write_aside(path) as aside:
            torch.save(state, aside)
    except (OSError, RuntimeError) as error:  # what PyTorch makes of a full disk
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise OutputError(f"{path}: can't be written ({cause})") from error


def load_weights(network: TrainableNetwork, path: Path) -> None:
    """Start from an earlier run's weights."""
    state = load_checkpoint(path, "network")
    try:
        network.load_state_dict(state["network"])
    except Exception as error:  # PyTorch raises many kinds
        raise RecipeError(f"{path}: not weights of this network ({error})") from error
