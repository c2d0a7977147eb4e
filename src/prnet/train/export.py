"""A trained network → a model folder, checked against the network it came from."""

import copy
import json
import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from prnet.errors import ModelFileError, OutputError
from prnet.network.runtime import ATLAS_FILE, INPUT, NETWORK_FILE, OUTPUT, Network
from prnet.network.spec import METADATA_KEY, NetworkSpec
from prnet.train.config import build_config
from prnet.train.loop import CHECKPOINT, DESCRIPTION, load_checkpoint
from prnet.train.networks import average_weights, build_network, load_atlas, network_spec
from prnet.uv.atlas import Atlas

logger = logging.getLogger(__name__)

OPSET = 17  # old enough for every ONNX Runtime that prnet allows, and for those in browsers
TOLERANCE_PX = 0.01  # crop pixels between PyTorch and ONNX Runtime: rounding only
CHECKED_CROPS = 3


def export_model(
    network: nn.Module,
    spec: NetworkSpec,
    atlas: Atlas,
    folder: str | os.PathLike[str],
    half_weights: bool = False,
) -> float:
    """Write a model folder, all or nothing.

    Args:
        network: Has `position_maps`: crops (N, 3, S, S) float32, scaled as the spec says → maps
            (N, 256, 256, 3) float32 in the spec's units. Its mode and device don't matter, and it
            stays as it is.
        spec: What the file will say about itself; S = spec.input_size.
        atlas: The one that the spec names.
        folder: Made if missing; a model in it is replaced.
        half_weights: Round the linear layers' weights to 16 bits, in the network and in the file,
            which gets smaller by half of their size; it computes in 32 bits all the same.

    Returns:
        The largest difference between a coordinate of PyTorch's and of ONNX Runtime's maps, in crop
        pixels, over a few random pictures; below 0.01.

    Raises:
        ValueError: The spec names another atlas.
        ModelFileError: The exported network doesn't agree with the given one.
        OutputError: The folder can't be written.
    """
    if spec.atlas_sha256 != atlas.sha256:
        raise ValueError(
            f"spec.atlas_sha256 must be the atlas's {atlas.sha256}, got {spec.atlas_sha256}"
        )
    folder = Path(folder)
    maps = _PositionMaps(copy.deepcopy(network)).cpu().float().eval()
    if half_weights:
        for layer in maps.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.data = layer.weight.data.half().float()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as aside:
            path = Path(aside) / NETWORK_FILE
            model = _to_onnx(maps, spec, path)
            if half_weights:
                _halve_linear_weights(model)
            onnx.save(model, path)
            atlas.save(path.with_name(ATLAS_FILE))
            difference = _disagreement(maps, Network(aside))
            if difference > TOLERANCE_PX:
                raise ModelFileError(
                    f"{folder}: nothing exported, because the exported network's maps lie up to "
                    f"{difference:.3g} crop pixels off PyTorch's, more than {TOLERANCE_PX}"
                )
            for name in (NETWORK_FILE, ATLAS_FILE):
                path.with_name(name).replace(folder / name)
    except OSError as error:
        raise OutputError(f"{folder}: can't be written ({error})") from error
    logger.info("%s: exported, within %.2g crop pixels of PyTorch", folder, difference)
    return difference


def export_run(
    run: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    licence: str,
    half_weights: bool = False,
) -> float:
    """Make a model folder of a training run's averaged weights.

    Args:
        run: The run's folder.
        folder: See `export_model`.
        licence: What the weights may be used for.
        half_weights: See `export_model`.

    Returns:
        See `export_model`.

    Raises:
        ModelFileError: The run's files are missing or damaged, or export fails.
        OutputError: The folder can't be written.
    """
    run = Path(run)
    state = load_checkpoint(run / CHECKPOINT)
    try:
        description = json.loads((run / DESCRIPTION).read_text())
        config = build_config(description["recipe"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{run / DESCRIPTION}: not the description of a run ({error})"
        ) from error
    atlas = load_atlas(config.network)
    network = build_network(config.network, atlas)
    network.load_state_dict(average_weights(state))
    hours, commit = state["seconds"] / 3600, description["commit"]
    recipe = f"{state['step']} steps in {hours:.2f} hours from commit {commit}: " + json.dumps(
        description["recipe"]
    )
    spec = network_spec(network, atlas, recipe, licence, config.augment.crop_scale)
    return export_model(network, spec, atlas, folder, half_weights)


class _PositionMaps(nn.Module):
    """A network whose forward gives finished maps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        maps: Tensor = self.network.position_maps(crops)  # type: ignore[operator]
        return maps


def _to_onnx(maps: _PositionMaps, spec: NetworkSpec, path: Path) -> onnx.ModelProto:
    """Trace the network, for any N, and fold all that is constant; `path` is overwritten."""
    with warnings.catch_warnings():
        # The newer exporter needs another package and writes an opset that browsers lack.
        warnings.simplefilter("ignore", DeprecationWarning)
        # The older one can't fold a flipped kernel and says so; ONNX Runtime does it below.
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            maps,
            (torch.zeros(2, 3, spec.input_size, spec.input_size),),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "N"}, OUTPUT: {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )
    # constants, batch norms and copies are folded at this level, which stays within plain ONNX
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(path)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    onnx.checker.check_model(model)
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    return model


def _halve_linear_weights(model: onnx.ModelProto) -> None:
    """Store the weights of linear layers as float16, each followed by a cast."""
    graph = model.graph
    weights = {node.input[1] for node in graph.node if node.op_type == "Gemm"}
    casts = []
    for tensor in graph.initializer:
        if tensor.name in weights and tensor.data_type == onnx.TensorProto.FLOAT:
            name, stored = tensor.name, f"{tensor.name}.half"
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, stored))
            float32 = onnx.TensorProto.FLOAT
            casts.append(onnx.helper.make_node("Cast", [stored], [name], to=float32))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@torch.no_grad()
def _disagreement(maps: _PositionMaps, runtime: Network) -> float:
    """Largest difference between PyTorch's and ONNX Runtime's coordinates, crop pixels."""
    spec = runtime.spec
    crops = _random_crops(spec.input_size)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    expected = maps((pixels - spec.pixel_mean) / spec.pixel_std).numpy()
    expected = expected * spec.position_scale + np.array(spec.position_offset, np.float32)
    return float(np.abs(runtime.regress(crops) - expected).max())


def _random_crops(size: int) -> NDArray[np.uint8]:
    """Blotches of all sizes, (CHECKED_CROPS, size, size, 3) uint8."""
    rng = np.random.default_rng(0)
    cells = 2 ** np.arange(1, 7)
    index = np.arange(size)
    layers = [
        rng.normal(0, 40, (CHECKED_CROPS, cell, cell, 3))[
            :, (index * cell // size)[:, None], index * cell // size
        ]
        for cell in cells
    ]
    return np.clip(127.5 + sum(layers), 0, 255).astype(np.uint8)
