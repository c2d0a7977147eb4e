import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from prnet.errors import ModelFileError, OutputError
from prnet.model.model import Model
from prnet.model.spec import NetworkSpec
from prnet.uv.atlas import Atlas

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from prnet.export.onnx import export_model  # noqa: E402
from prnet.networks.lite import Lite  # noqa: E402
from prnet.networks.prediction import Finished  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def lite(atlas: Atlas) -> Lite:
    torch.manual_seed(0)
    network = Lite(atlas)
    network.train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # a true mean, so that few steps give real statistics
    for _ in range(3):
        network(torch.nn.functional.interpolate(torch.randn(8, 3, 5, 5), (128, 128)))
    return network


@pytest.fixture(scope="module")
def spec(atlas: Atlas) -> NetworkSpec:
    return NetworkSpec(
        name="lite",
        input_size=128,
        pixel_mean=127.5,
        pixel_std=128.0,
        crop_scale=1.5,
        position_scale=1.0,
        position_offset=(0.0, 0.0, 0.0),
        atlas_sha256=atlas.sha256,
        recipe="none",
        licence="none",
    )


@pytest.fixture(scope="module")
def exported(
    lite: Lite, spec: NetworkSpec, atlas: Atlas, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The model folder of `lite`."""
    folder = tmp_path_factory.mktemp("exported") / "new" / "model"
    assert export_model(lite, spec, atlas, folder) < 0.01
    assert lite.training  # the caller's network stays as it was
    return folder


def test_the_folder_gives_what_the_network_gives(
    exported: Path, lite: Lite, spec: NetworkSpec
) -> None:
    assert sorted(path.name for path in exported.iterdir()) == ["atlas.npz", "network.onnx"]
    network = Model(exported, threads=1)
    assert network.spec == spec
    crops = np.random.default_rng(1).integers(0, 256, (5, 128, 128, 3), np.uint8)
    maps, confidences = network.regress(crops)
    lite.eval()
    with torch.no_grad():
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
        expected, chances, *_ = lite.finish((pixels.float() - 127.5) / 128)
    lite.train()
    assert np.ptp(expected.numpy(), axis=0).max() > 5  # crops are told apart
    np.testing.assert_allclose(maps, expected, atol=0.01)
    np.testing.assert_allclose(confidences, chances, atol=1e-5)


def test_batch_norms_are_folded_and_sizes_fixed(exported: Path) -> None:
    graph = onnx.load(exported / "network.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("BatchNormalization") <= 1  # only that of a linear layer
    for value, shape in ((graph.input[0], (3, 128, 128)), (graph.output[0], (256, 256, 3))):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param == "N"
        assert tuple(each.dim_value for each in rest) == shape


def test_half_weights_are_rounded_alike_in_network_and_file(
    exported: Path, lite: Lite, spec: NetworkSpec, atlas: Atlas, tmp_path: Path
) -> None:
    full, half = exported, tmp_path / "half"
    before = {name: value.clone() for name, value in lite.state_dict().items()}
    assert export_model(lite, spec, atlas, half, half_weights=True) < 0.01
    assert all(torch.equal(before[name], value) for name, value in lite.state_dict().items())
    sizes = [(folder / "network.onnx").stat().st_size for folder in (full, half)]
    assert sizes[1] < 0.55 * sizes[0] and sizes[1] < 5_000_000
    # what rounding changes is little
    crops = np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), np.uint8)
    exact, rounded = (Model(folder, threads=1).regress(crops) for folder in (full, half))
    change = np.abs(exact.position_maps - rounded.position_maps)
    assert 0 < change.mean() < 2  # crop pixels; training makes it far less


def test_a_network_that_does_not_agree_leaves_the_folder_alone(
    exported: Path, spec: NetworkSpec, atlas: Atlas, tmp_path: Path
) -> None:
    class Restless(Lite):
        """Traced once, so the file repeats what the network itself changes with every call."""

        calls = 0

        def finish(self, crops: torch.Tensor, drawn: torch.Tensor | None = None) -> Finished:
            Restless.calls += 1
            found = super().finish(crops, drawn)
            return found._replace(position_maps=found.position_maps + float(Restless.calls))

    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "network.onnx").read_bytes()
    with pytest.raises(ModelFileError, match="nothing exported"):
        export_model(Restless(atlas), spec, atlas, tmp_path)
    assert (tmp_path / "network.onnx").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["atlas.npz", "network.onnx"]


def test_a_network_that_is_not_finite_is_refused(
    lite: Lite, spec: NetworkSpec, atlas: Atlas, tmp_path: Path
) -> None:
    broken = Lite(atlas)
    torch.nn.init.constant_(broken.pose.bias, torch.nan)
    with pytest.raises(ModelFileError, match="finite"):
        export_model(broken, spec, atlas, tmp_path)


def test_the_atlas_must_be_the_one_of_the_spec(
    lite: Lite, spec: NetworkSpec, atlas: Atlas, tmp_path: Path
) -> None:
    other = dataclasses.replace(spec, atlas_sha256="0" * 64)
    with pytest.raises(ValueError, match="atlas_sha256"):
        export_model(lite, other, atlas, tmp_path)


def test_a_folder_that_cannot_be_made_is_named(
    lite: Lite, spec: NetworkSpec, atlas: Atlas, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        export_model(lite, spec, atlas, tmp_path / "file" / "model")
