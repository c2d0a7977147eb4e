"""PRNet's published weights and UV space → a model folder."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from prnet.data.uv_data import load_uv_data
from prnet.errors import ModelFileError
from prnet.export.onnx import export_model
from prnet.export.tf_checkpoint import Checkpoint
from prnet.networks.resfcn256 import ResFCN256
from prnet.train.networks import network_spec

SCOPE = "resfcn256"  # begins the names of all of the network's tensors
OPTIMISER = ("Adam", "Adam_1")  # end the names of its two slots for each of them
# PyTorch's names of a batch norm's tensors → TensorFlow's
NORM_NAMES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
LICENCE = "whoever trained the weights decides; PRNet's authors allow theirs for research only"


def convert(
    checkpoint: str | os.PathLike[str],
    uv_data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
) -> float:
    """Make a model folder of a checkpoint of PRNet's.

    Args:
        checkpoint: Path that `.index` and `.data-00000-of-00001` are put behind, as in
            `Data/net-data/256_256_resfcn256_weight`.
        uv_data: PRNet's `Data/uv-data`.
        folder: See `export_model`.

    Returns:
        See `export_model`.

    Raises:
        ModelFileError: A file of the checkpoint is missing, damaged or another network's.
        LabelError: A file of uv_data is missing, damaged or doesn't fit the others.
        OutputError: The folder can't be written.
    """
    atlas = load_uv_data(uv_data)
    network = ResFCN256(atlas)
    load_checkpoint(network, checkpoint)
    recipe = f"converted from the TensorFlow checkpoint {Path(checkpoint).name}"
    return export_model(network, network_spec(network, atlas, recipe, LICENCE), atlas, folder)


def checkpoint_shapes(network: ResFCN256) -> dict[str, tuple[int, ...]]:
    """Names and shapes, as TensorFlow has them, of the tensors that make up the network."""
    state = network.state_dict()
    shapes = {name: tuple(state[key].shape) for name, key in _keys(network).items()}
    return {
        name: (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape
        for name, shape in shapes.items()
    }


def load_checkpoint(network: ResFCN256, prefix: str | os.PathLike[str]) -> None:
    """Fill the network with a checkpoint's weights, in place.

    Args:
        network: Any.
        prefix: See `convert`.

    Raises:
        ModelFileError: A file is missing or damaged, or its tensors are another network's.
    """
    checkpoint = Checkpoint(prefix)
    stored = {
        name: tensor.shape
        for name, tensor in checkpoint.tensors.items()
        if name.startswith(f"{SCOPE}/") and name.rsplit("/", 1)[-1] not in OPTIMISER
    }
    expected = checkpoint_shapes(network)
    differing = sorted(name for name in stored | expected if stored.get(name) != expected.get(name))
    if differing:
        name = differing[0]
        raise ModelFileError(
            f"{checkpoint.prefix}: not a checkpoint of the paper's network: {len(differing)} "
            f"tensors differ, first {name}, which should be {expected.get(name, 'absent')} and is "
            f"{stored.get(name, 'absent')}"
        )
    load_tensors(network, {name: checkpoint.read(name) for name in expected})


def load_tensors(network: ResFCN256, tensors: dict[str, NDArray[np.generic]]) -> None:
    """Fill the network, in place, with arrays named and shaped as `checkpoint_shapes` says."""
    state = network.state_dict()
    for name, key in _keys(network).items():
        tensor = torch.from_numpy(tensors[name].astype(np.float32))
        # (height, width, in, out) → (out, in, height, width), and for a transposed convolution
        # (height, width, out, in) → (in, out, height, width)
        state[key] = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
    network.load_state_dict(state)


def _keys(network: ResFCN256) -> dict[str, str]:
    """Names in the checkpoint → keys of the network's state."""
    keys = {}
    for key in network.state_dict():
        _, *scope, kind = key.split(".")
        if kind == "num_batches_tracked":  # PyTorch's own
            continue
        name = NORM_NAMES[kind] if scope[-1] == "BatchNorm" else "weights"
        keys["/".join([SCOPE, *scope, name])] = key
    return keys
