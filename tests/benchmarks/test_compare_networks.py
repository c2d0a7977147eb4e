import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from prnet.apps import bench
from prnet.errors import ModelFileError
from prnet.model.spec import NetworkSpec
from prnet.uv.atlas import Atlas

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import compare_networks  # noqa: E402
from compare_networks import compare, export_peers  # noqa: E402

from prnet.networks.resfcn256 import ResFCN256  # noqa: E402

pytestmark = pytest.mark.torch


def test_networks_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the networks move; the first round is slow and doesn't count."""
    clock = SimpleNamespace(now=0.0)
    milliseconds = {"slow": iter([900.0, 20, 50, 40]), "fast": iter([800.0, 1, 2, 9])}
    order = []

    class Session:
        def __init__(self, path: Path, options: Any, providers: list[str]) -> None:
            self.name = path.name
            assert (options.intra_op_num_threads, providers) == (1, ["CPUExecutionProvider"])

        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="crops", shape=["N", 3, 8, 8])]

        def run(self, outputs: None, feed: dict[str, np.ndarray]) -> None:
            assert feed["crops"].shape == (1, 3, 8, 8) and feed["crops"].dtype == np.float32
            order.append(self.name)
            clock.now += next(milliseconds[self.name]) / 1000

    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(compare_networks, "onnxruntime", SimpleNamespace(**vars(onnxruntime)))
    monkeypatch.setattr(compare_networks.onnxruntime, "InferenceSession", Session)
    medians = compare({"a": Path("slow"), "b": Path("fast")}, runs=3)
    assert medians == pytest.approx({"a": 40, "b": 2})
    assert order == ["slow", "fast"] * 4
    with pytest.raises(ValueError, match="runs must be 1 or more, got 0"):
        compare({}, runs=0)


def test_real_files_are_timed(make_model: Callable[..., Path], tmp_path: Path) -> None:
    sizes = {"small": 32, "large": 96}
    networks = {
        name: make_model(tmp_path / name, input_size=size) / "network.onnx"
        for name, size in sizes.items()
    }
    medians = compare(networks, runs=1)
    assert list(medians) == list(sizes)
    assert min(medians.values()) > 0


def test_the_peers_are_what_they_are_called(
    facekit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = {}

    def keep(network: object, spec: NetworkSpec, atlas: Atlas, folder: Path) -> None:
        """What becomes of the paper's network when it is exported, test_prnet_official.py shows."""
        exported[folder / "network.onnx"] = network, spec.input_size

    monkeypatch.setattr(compare_networks, "export_model", keep)
    files = export_peers(facekit, tmp_path)
    network, size = exported[files["resfcn256_random"]]
    assert isinstance(network, ResFCN256) and size == 256
    onnx = pytest.importorskip("onnx")
    encoder = files["mb05_encoder"]
    weights = onnx.load(encoder).graph.initializer
    assert sum(math.prod(each.dims) for each in weights) == 813_120
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(encoder, options)
    (entry,) = session.get_inputs()
    (features,) = session.run(None, {entry.name: np.zeros((1, 3, 120, 120), np.float32)})
    assert features.shape == (1, 512, 4, 4)


def test_a_folder_without_the_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="mb05_120x120.pth"):
        export_peers(tmp_path, tmp_path)


def test_a_model_is_compared_with_its_peers(
    make_model: Callable[..., Path],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def export(facekit: Path, folder: Path) -> dict[str, Path]:
        assert facekit == tmp_path
        names = "mb05_encoder", "resfcn256_random"
        return {name: make_model(folder / name) / "network.onnx" for name in names}

    monkeypatch.setattr(compare_networks, "export_peers", export)
    networks = compare_networks.compare_with_peers(model_folder, tmp_path, 1)
    assert list(networks) == ["model", "mb05_encoder", "resfcn256_random"]
    assert networks["model"]["ratio"] == 1
    for each in networks.values():
        ratio = each["median_ms"] / networks["model"]["median_ms"]
        assert each["ratio"] == pytest.approx(ratio) and ratio > 0
