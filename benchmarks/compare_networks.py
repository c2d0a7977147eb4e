"""Times the stages of prnet, and its network beside those of others; needs PyTorch.

    python benchmarks/compare_networks.py FACEKIT > recipes/lite-gpu/figures/bench.json

The others are `mb05_encoder`, 3DDFA_V2's MobileNetV1×0.5 as the facekit has it (120-pixel crops,
without the last layer, which makes 62 numbers of its features), and `resfcn256_random`, the paper's
with random weights, which take as long as trained ones. All run in turn, one thread and crop each.
"""

import argparse
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from prnet.apps.bench import Stopwatch, measure
from prnet.export.onnx import OPSET, export_model
from prnet.model.model import ATLAS_FILE, EMBEDDED_FOLDER, NETWORK_FILE
from prnet.networks.lite import Lite
from prnet.networks.mobilenet import warm_start
from prnet.networks.resfcn256 import ResFCN256
from prnet.train.checkpoint import load_checkpoint
from prnet.train.networks import network_spec
from prnet.uv.atlas import Atlas

MB05_FILE, MB05_SIZE = "init/mb05_120x120.pth", 120  # in the facekit; side of its crops in pixels
MODEL, MB05_ENCODER, RESFCN256 = "model", "mb05_encoder", "resfcn256_random"


def compare_with_peers(model: Path | None, facekit: Path, runs: int) -> dict[str, dict[str, float]]:
    """Time a model's network, 3DDFA_V2's encoder and the paper's network in one go.

    Args:
        model: A model folder; None for the one in the package.
        facekit: Its folder, for 3DDFA_V2's weights.
        runs: See `compare`.

    Returns:
        Of MODEL, MB05_ENCODER and RESFCN256 `median_ms` as in `compare`, and `ratio`, that over
        MODEL's.

    Raises:
        ModelFileError: 3DDFA_V2's weights are missing.
        ValueError: They are another network's, or runs isn't positive.
    """
    with tempfile.TemporaryDirectory(prefix="prnet-") as folder:
        peers = export_peers(facekit, Path(folder))
        own = (model or EMBEDDED_FOLDER) / NETWORK_FILE
        medians_ms = compare({MODEL: own, **peers}, runs)
    return {
        name: {"median_ms": each, "ratio": each / medians_ms[MODEL]}
        for name, each in medians_ms.items()
    }


def compare(networks: Mapping[str, Path], runs: int = 20) -> dict[str, float]:
    """Time networks in turn on one crop and one thread, so that none meets a busier machine.

    Args:
        networks: ONNX files by name; each takes float32 (N, 3, S, S).
        runs: How often each is timed, after one round that doesn't count.

    Returns:
        The median of each in milliseconds.

    Raises:
        ValueError: runs isn't positive.
    """
    if runs < 1:
        raise ValueError(f"runs must be 1 or more, got {runs}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    rng = np.random.default_rng(0)
    ready = {}
    for name, path in networks.items():
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        (crops,) = session.get_inputs()
        ready[name] = session, {crops.name: rng.random((1, *crops.shape[1:]), np.float32)}
    timed = Stopwatch()
    for _ in range(runs + 1):
        for name, (session, feed) in ready.items():
            with timed(name):
                session.run(None, feed)
    return timed.medians_ms()


def export_peers(facekit: Path, folder: Path) -> dict[str, Path]:
    """Write 3DDFA_V2's encoder and the paper's network as ONNX files.

    Args:
        facekit: Its folder.
        folder: Where the files go.

    Returns:
        The files: MB05_ENCODER's, crops (1, 3, 120, 120) → features (1, 512, 4, 4), without the
        layer that makes 62 numbers of them; RESFCN256's, as in a model folder.

    Raises:
        ModelFileError: 3DDFA_V2's weights are missing.
        ValueError: They are another network's.
    """
    atlas = Atlas.load(EMBEDDED_FOLDER / ATLAS_FILE)
    lite, paper = Lite(atlas), ResFCN256(atlas)
    warm_start(lite.encoder, load_checkpoint(facekit / MB05_FILE)["state_dict"])
    encoder = folder / f"{MB05_ENCODER}.onnx"
    _export_encoder(lite.encoder.eval(), encoder)
    spec = network_spec(paper, atlas, "none: random weights", "none")
    export_model(paper, spec, atlas, folder / RESFCN256)
    return {MB05_ENCODER: encoder, RESFCN256: folder / RESFCN256 / NETWORK_FILE}


def _export_encoder(encoder: nn.Module, path: Path) -> None:
    """Write a network of crops of MB05_SIZE as an ONNX file."""
    crops = torch.zeros(1, 3, MB05_SIZE, MB05_SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter, as in export.py
        torch.onnx.export(encoder, (crops,), path, opset_version=OPSET, dynamo=False)


def main() -> None:
    """Print all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facekit", type=Path, help="the facekit's folder")
    parser.add_argument("--model", type=Path, help="a model folder; without it, the built-in one")
    parser.add_argument("--runs", type=int, default=20, help="rounds to take medians of")
    arguments = parser.parse_args()
    record: dict[str, Any] = {"threads": 1, "runs": arguments.runs}
    record["median_ms"] = measure(None, arguments.model, 1, arguments.runs)
    networks = compare_with_peers(arguments.model, arguments.facekit, arguments.runs)
    print(json.dumps(record | {"networks": networks}, indent=2))


if __name__ == "__main__":
    main()
