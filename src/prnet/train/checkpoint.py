"""Checkpoints and weights in files."""

import os
from pathlib import Path
from typing import Any

import torch

from prnet.errors import ModelFileError, RecipeError
from prnet.files import write_aside
from prnet.train.networks import TrainableNetwork


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint, of `train` or another. Raises ModelFileError if it is none."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets in a damaged file
        raise ModelFileError(f"{path}: not a checkpoint that can be read ({error})") from error
    return state


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Save aside, then put in place."""
    with write_aside(path) as aside:
        torch.save(state, aside)


def load_weights(network: TrainableNetwork, path: Path) -> None:
    """Start from an earlier run's weights."""
    state = load_checkpoint(path)
    try:
        network.load_state_dict(state["network"])
    except (KeyError, RuntimeError) as error:
        raise RecipeError(f"{path}: not weights of this network ({error})") from error
