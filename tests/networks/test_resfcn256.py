import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from prnet.uv.atlas import Atlas
from prnet.uv.position_map import decode_landmarks68

torch = pytest.importorskip("torch")

from prnet.export.prnet_official import checkpoint_shapes, load_tensors  # noqa: E402
from prnet.networks.resfcn256 import ResFCN256  # noqa: E402

pytestmark = pytest.mark.torch
REFERENCE = Path(__file__).with_name("reference")


@pytest.fixture(scope="module")
def network(atlas: Atlas) -> ResFCN256:
    """With the weights that the reference was made with."""
    random_tensor = runpy.run_path(str(REFERENCE / "make_resfcn256.py"))["random_tensor"]
    network = ResFCN256(atlas).eval()
    shapes = checkpoint_shapes(network)
    load_tensors(network, {name: random_tensor(name, shape) for name, shape in shapes.items()})
    return network


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    random_tensor = runpy.run_path(str(REFERENCE / "make_resfcn256.py"))["random_tensor"]
    return torch.from_numpy(random_tensor("crops", (1, 256, 256, 3))).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def reference() -> Iterator[dict[str, np.ndarray]]:
    with np.load(REFERENCE / "resfcn256.npz") as arrays:
        yield dict(arrays)


def test_every_layer_equals_tensorflows(
    network: ResFCN256, crops: torch.Tensor, reference: dict[str, np.ndarray]
) -> None:
    sample = runpy.run_path(str(REFERENCE / "make_resfcn256.py"))["sample"]
    features, checked = crops, 0
    with torch.no_grad():
        for name, layer in network.layers.named_children():
            features = layer(features)
            got, expected = (
                sample(features.permute(0, 2, 3, 1).numpy()),
                reference[f"resfcn256/{name}"],
            )
            np.testing.assert_allclose(got, expected, atol=1e-5 * expected.max(), err_msg=name)
            checked += 1
    assert checked == 1 + 10 + 17


def test_the_map_equals_tensorflows_up_to_its_border(
    network: ResFCN256, crops: torch.Tensor, reference: dict[str, np.ndarray]
) -> None:
    with torch.no_grad():
        pixels = network.finish(crops)[0][0].numpy()
    sides = np.stack([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    # 1e-4 of the sigmoid's range would be 0.028 pixels
    np.testing.assert_allclose(sides, reference["border"], atol=0.003)
    np.testing.assert_allclose(pixels[::3, ::3], reference["inside"], atol=0.003)


def test_size_of_the_paper(network: ResFCN256) -> None:
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 13_353_618
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert len(convolutions) == 17


def test_what_the_loss_sees_is_the_finished_map(
    network: ResFCN256, crops: torch.Tensor, atlas: Atlas
) -> None:
    with torch.no_grad():
        prediction = network(crops)
        maps = (network.finish(crops)[0] - 127.5) / 128
    assert prediction.shape is None
    assert prediction.position_map.shape == maps.shape == (1, 256, 256, 3)
    torch.testing.assert_close(prediction.position_map, maps, rtol=1e-5, atol=1e-6)
    expected = decode_landmarks68(maps[0].numpy(), atlas)
    np.testing.assert_allclose(prediction.landmarks68[0].numpy(), expected, atol=1e-5)


def test_coordinates_are_not_rounded_to_16_bits(network: ResFCN256, crops: torch.Tensor) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps = network.finish(crops[:, :, :64, :64])[0]  # convolutions take any size
    assert maps.dtype == torch.float32
    assert maps.shape == (1, 64, 64, 3)
    # bf16 has 128 numbers between 140 and 280
    assert len(torch.unique(maps[..., 0])) > 3000


def test_the_last_layers_begin_by_passing_positions_on(atlas: Atlas) -> None:
    torch.manual_seed(0)
    first, *last = ResFCN256(atlas).layers[-3:]
    with torch.no_grad():
        wanted = features = first(torch.rand(2, 16, 64, 64))
        for layer in last:
            features = layer(features)
    assert (wanted > 0).float().mean() > 0.95
    for channel in range(3):
        pair = torch.stack([wanted[:, channel].flatten(), features[:, channel].flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.9


def test_every_parameter_learns(atlas: Atlas) -> None:
    torch.manual_seed(0)
    network = ResFCN256(atlas)
    prediction = network(torch.rand(4, 3, 64, 64))
    (prediction.position_map.square().mean() + prediction.landmarks68.square().mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
