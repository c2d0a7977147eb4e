"""Networks of others as ONNX files, to be timed beside ours; needs PyTorch."""

import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from prnet.apps.bench import compare
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
