"""Trained weights of the detector → one small ONNX file that says what it is."""

import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from prnet.detect.cells import AXES, INPUT, METADATA_KEY, OUTPUT, OUTPUTS, STRIDES, UNIT_STRIDES
from prnet.networks.detector import Detector

OPSET = 17
# smaller arrays stay at full precision: short biases, and what the format itself needs
LEAST_HALVED = 64


class _Finished(nn.Module):
    """The network as the file has it."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network.finish(pictures)


def export_detector(network: Detector, spec: dict[str, object]) -> bytes:
    """Write the network as ONNX.

    Args:
        network: On the CPU, trained.
        spec: What the file says about itself besides strides and units, JSON's types.

    Returns:
        The file: pictures (N, H, W, 3) uint8 RGB → cells (N, 7, C) float32, H and W multiples of
        32. Weights are stored in half precision and widened when the file is opened.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        torch.onnx.export(
            _Finished(network).eval(),
            (torch.zeros(1, 64, 96, 3, dtype=torch.uint8),),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "N", 1: "H", 2: "W"}, OUTPUT: {0: "N", 2: "C"}},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(path)
    _fix_reshapes(model)
    _halve_weights(model)
    entry = model.metadata_props.add()
    entry.key = METADATA_KEY
    contract = {"strides": STRIDES, "unit_strides": UNIT_STRIDES, "outputs": OUTPUTS, "axes": AXES}
    entry.value = json.dumps({**spec, **contract})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _fix_reshapes(model: onnx.ModelProto) -> None:
    """Flatten without working out products from shapes, which takes time.

    That is the pictures, (N, H, W, 3) to (N, H, 3·W), and the cells, (N, 7, H, W) to (N, 7, H·W).
    """
    rows = numpy_helper.from_array(np.array([0, 0, -1], np.int64), "rows_of_pixels")
    cells = numpy_helper.from_array(np.array([0, OUTPUTS, -1], np.int64), "rows_of_cells")
    model.graph.initializer.extend([rows, cells])
    for node in model.graph.node:
        if node.op_type == "Reshape":
            node.input[1] = (rows if node.input[0] == INPUT else cells).name
    # what worked it out has no use now
    nodes = list(model.graph.node)
    while True:
        used = {name for node in nodes for name in node.input} | {OUTPUT}
        kept = [node for node in nodes if used.intersection(node.output)]
        if len(kept) == len(nodes):
            break
        nodes = kept
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _halve_weights(model: onnx.ModelProto) -> None:
    """Store large float32 arrays as float16, each with a cast back."""
    casts, arrays = [], []
    for array in model.graph.initializer:
        values = numpy_helper.to_array(array)
        if values.dtype != np.float32 or values.size < LEAST_HALVED:
            arrays.append(array)
            continue
        stored = numpy_helper.from_array(values.astype(np.float16), f"{array.name}_half")
        arrays.append(stored)
        casts.append(
            helper.make_node("Cast", [stored.name], [array.name], to=onnx.TensorProto.FLOAT)
        )
    del model.graph.initializer[:]
    model.graph.initializer.extend(arrays)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
