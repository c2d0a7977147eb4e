"""A trained network → a model folder, checked against the network it came from."""

import copy
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from prnet.errors import ModelFileError, OutputError
from prnet.export.fold import fold_batch_norms, fold_enlargements
from prnet.files import read_json
from prnet.model.model import (
    ATLAS_FILE,
    CONFIDENCES,
    CONTROLS,
    DRAWN,
    INPUT,
    MAPS,
    NETWORK_FILE,
    TURNS,
    Model,
)
from prnet.model.spec import METADATA_KEY, NetworkSpec
from prnet.networks.prediction import Finished
from prnet.train.checkpoint import load_checkpoint
from prnet.train.networks import average_weights, build_network, load_atlas, network_spec
from prnet.train.recipe import build_config
from prnet.train.record import DESCRIPTION
from prnet.train.run import CHECKPOINT, WEIGHTS
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import draw
from prnet.uv.spline import FIXED_POINT

logger = logging.getLogger(__name__)

OPSET = 17  # old enough for every ONNX Runtime that prnet allows, and for those in browsers
TOLERANCE_PX = 0.01  # crop pixels between PyTorch and ONNX Runtime: rounding only
CHECKED_CROPS = 3
LAYERS = "Gemm", "Conv", "ConvTranspose"


def export_model(
    network: nn.Module,
    spec: NetworkSpec,
    atlas: Atlas,
    folder: str | os.PathLike[str],
    half_weights: bool = False,
) -> float:
    """Write a model folder, all or nothing.

    Args:
        network: Has `finish`, see `prnet.networks.prediction.PositionMapNetwork`. Its mode and
            device don't matter, and it stays as it is.
        spec: What the file will say about itself; S = spec.input_size.
        atlas: The one that the spec names.
        folder: Made if missing; a model in it is replaced.
        half_weights: Round the weights of convolutions and linear layers to 16 bits, here and in
            the file, which gets half as large; it computes in 32 bits all the same.

    Returns:
        The largest difference between a coordinate of PyTorch's and of ONNX Runtime's maps, in crop
        pixels, over a few random pictures; below 0.01. Confidences agree within a thousandth.

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
    maps = _Finished(copy.deepcopy(network)).cpu().float().eval()
    fold_batch_norms(maps)
    fold_enlargements(maps)
    if half_weights:
        for layer in maps.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.data = layer.weight.data.half().float()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as aside:
            path = Path(aside) / NETWORK_FILE
            model = _to_onnx(maps, spec, path)
            if half_weights:
                _store_in_16_bits(model)
            onnx.save(model, path)
            atlas.save(path.with_name(ATLAS_FILE))
            difference = _disagreement(maps, Model(aside))
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
    is_whole = (run / CHECKPOINT).exists()  # training on one device leaves the weights alone
    path = run / (CHECKPOINT if is_whole else WEIGHTS)
    state = load_checkpoint(path, "average" if is_whole else "network", "step", "seconds")
    try:
        description = read_json(run / DESCRIPTION)
        config = build_config(description["recipe"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{run / DESCRIPTION}: not the description of a run ({error})"
        ) from error
    atlas = load_atlas(config.network)
    network = build_network(config.network, atlas)
    try:
        network.load_state_dict(average_weights(state) if is_whole else state["network"])
    except Exception as error:  # PyTorch raises many kinds
        raise ModelFileError(f"{path}: not weights of its recipe's network ({error})") from error
    hours, commit = state["seconds"] / 3600, description["commit"]
    recipe = f"{state['step']} steps in {hours:.2f} hours from commit {commit}: " + json.dumps(
        description["recipe"]
    )
    spec = network_spec(network, atlas, recipe, licence, config.augment.crop_scale)
    return export_model(network, spec, atlas, folder, half_weights)


class _Finished(nn.Module):
    """A network whose forward gives what the file shall give."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.finish: Callable[..., Finished] = network.finish  # type: ignore[assignment]

    def forward(self, crops: Tensor, drawn: Tensor | None = None) -> tuple[Tensor, ...]:
        found = self.finish(crops) if drawn is None else self.finish(crops, drawn)
        return tuple(part for part in found if part is not None)


def _to_onnx(maps: _Finished, spec: NetworkSpec, path: Path) -> onnx.ModelProto:
    """Trace the network, for any N, and fold all that is constant; `path` is overwritten."""
    example = torch.zeros(2, 3, spec.input_size, spec.input_size)
    with torch.no_grad():
        parts = zip((MAPS, CONFIDENCES, CONTROLS, TURNS), maps.finish(example[:1]), strict=True)
        outputs = [name for name, part in parts if part is not None]
    is_lazy = CONTROLS in outputs
    with warnings.catch_warnings():
        # The newer exporter needs another package and writes an opset that browsers lack.
        warnings.simplefilter("ignore", DeprecationWarning)
        # The older one can't fold a flipped kernel and says so; ONNX Runtime does it below.
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            maps,
            (example, torch.tensor(len(example))) if is_lazy else (example,),
            path,
            input_names=[INPUT, DRAWN] if is_lazy else [INPUT],
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in (INPUT, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    if is_lazy:  # unless it is told otherwise, all maps are drawn
        model = onnx.load(path)
        most = np.array(np.iinfo(np.int32).max, np.int64)
        model.graph.initializer.append(numpy_helper.from_array(most, DRAWN))
        onnx.save(model, path)
    # constants, batch norms and copies are folded at this level, which stays within plain ONNX
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs that needn't be given
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(path)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    onnx.checker.check_model(model)
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    return model


def _store_in_16_bits(model: onnx.ModelProto) -> None:
    """Store what 16 bits hold exactly in 16 bits; ONNX Runtime widens it again when it loads.

    Weights of layers as float16; the mean face, in steps of 1/FIXED_POINT, as int16.
    """
    graph, float32 = model.graph, onnx.TensorProto.FLOAT
    weights = {node.input[1] for node in graph.node if node.op_type in LAYERS}
    step = numpy_helper.from_array(np.array(1 / FIXED_POINT, np.float32), "step")
    widening = []
    for tensor in graph.initializer:
        name, stored, wide = tensor.name, f"{tensor.name}.stored", f"{tensor.name}.wide"
        if tensor.data_type != float32:
            continue
        values = numpy_helper.to_array(tensor)
        steps = values * FIXED_POINT
        if name in weights:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
            widening.append(onnx.helper.make_node("Cast", [stored], [name], to=float32))
        elif values.size > 10_000 and (steps == np.rint(steps)).all() and abs(steps).max() < 2**15:
            tensor.CopyFrom(numpy_helper.from_array(steps.astype(np.int16), stored))
            widening.append(onnx.helper.make_node("Cast", [stored], [wide], to=float32))
            widening.append(onnx.helper.make_node("Mul", [wide, step.name], [name]))
    graph.initializer.append(step)
    nodes = [*widening, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@torch.no_grad()
def _disagreement(maps: _Finished, runtime: Model) -> float:
    """Largest difference between PyTorch's and ONNX Runtime's coordinates, crop pixels.

    That of the confidences counts tenfold, so that a thousandth is a hundredth of a pixel.
    """
    spec = runtime.spec
    crops = _random_crops(spec.input_size)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    expected, *confidences = maps((pixels - spec.pixel_mean) / spec.pixel_std)
    expected = expected.numpy() * spec.position_scale + np.array(spec.position_offset, np.float32)
    found, lazy = runtime.regress(crops), runtime.regress_lazily(crops)
    later = np.stack([draw(each) for each in lazy.position_maps])
    difference = max(np.abs(each - expected).max() for each in (found.position_maps, later))
    if found.confidences is None or lazy.confidences is None:
        return float(difference)
    doubt = [np.abs(each.confidences - confidences[0].numpy()).max() for each in (found, lazy)]
    return float(max(difference, 10 * max(doubt)))


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
