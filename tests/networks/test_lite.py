from pathlib import Path

import cv2
import numpy as np
import pytest

from prnet.geometry.sampling import sample_map
from prnet.uv.atlas import MAP_SIZE, Atlas

torch = pytest.importorskip("torch")

from prnet.networks.lite import (  # noqa: E402
    MEAN_SCALE,
    TRAIN_SIZE,
    Lite,
    rotation_from_six,
)
from prnet.networks.mobilenet import warm_start  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def network(atlas: Atlas) -> Lite:
    """Untrained, but it tells crops apart, by centimetres and degrees."""
    torch.manual_seed(0)
    network = Lite(atlas)
    torch.nn.init.normal_(network.pose.weight, std=0.02)
    torch.nn.init.normal_(network.decoder[-2].weight, std=0.05)
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # a true mean, so that one step gives real statistics
    network(torch.nn.functional.interpolate(torch.randn(8, 3, 5, 5), (128, 128)))
    return network.eval()


@pytest.fixture(scope="module")
def crops() -> "torch.Tensor":
    blotches = torch.randn(3, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(blotches, (128, 128))


def finished(network: Lite, crops: "torch.Tensor") -> np.ndarray:
    """The finished maps in a prediction's units."""
    return (network.finish(crops)[0].numpy() - [63.5, 63.5, 0]) / 64


@torch.no_grad()
def test_landmarks_lie_on_the_finished_map(
    network: Lite, crops: "torch.Tensor", atlas: Atlas
) -> None:
    landmarks = network(crops).landmarks68.numpy()
    maps = network.finish(crops)[0]
    assert maps.shape == (3, MAP_SIZE, MAP_SIZE, 3) and maps.dtype == torch.float32
    maps = finished(network, crops)
    for position_map, points in zip(maps, landmarks, strict=True):
        expected = sample_map(position_map, atlas.landmarks68_uv)
        np.testing.assert_allclose(points, expected, atol=4e-4)


@torch.no_grad()
def test_the_trained_map_is_the_finished_one_at_its_own_size(
    network: Lite, crops: "torch.Tensor"
) -> None:
    small = network(crops).position_map.numpy()
    assert small.shape == (3, TRAIN_SIZE, TRAIN_SIZE, 3)
    uv = network.train_uv.reshape(-1, 2)
    for whole, found in zip(finished(network, crops), small, strict=True):
        expected = sample_map(whole, uv).reshape(TRAIN_SIZE, TRAIN_SIZE, 3)
        error = np.abs(found - expected)
        assert error.mean() < 2e-3
        # random control points differ from row to row, which at the lids is less than a pixel
        assert error[: TRAIN_SIZE // 5].max() < 0.02 and error[TRAIN_SIZE // 2 :].max() < 0.02
    assert np.ptp(small, axis=0).max() > 0.02  # crops are told apart


def test_confidence_looks_on(network: Lite, crops: "torch.Tensor") -> None:
    confidence = network(crops).confidence
    assert confidence.shape == (3,) and confidence.std() > 0
    confidence.sum().backward()
    moved = [name for name, each in network.named_parameters() if each.grad is not None]
    network.zero_grad()
    assert {name.split(".")[0] for name in moved} == {"confidence"}
    with torch.no_grad():
        np.testing.assert_allclose(
            network.finish(crops).confidences, torch.sigmoid(confidence), atol=1e-6
        )


@torch.no_grad()
def test_the_map_is_the_shape_in_its_pose(network: Lite, crops: "torch.Tensor") -> None:
    turn, origin, controls, _ = network._regress(crops)
    prediction = network(crops)
    assert controls.shape == (3, 3, 64, 64) and controls.std() > 0.1
    shape = prediction.shape.flatten(1, 2).double()
    posed = (shape @ turn.double().mT + origin.mT).view(prediction.position_map.shape)
    np.testing.assert_allclose(prediction.position_map, posed, atol=1e-5)
    # the turn is a rotation but for its scale, and for y, which points down in crops
    rotation = turn * torch.tensor([[1], [-1], [1]])
    scale = torch.linalg.det(rotation) ** (1 / 3)
    expected = (scale[:, None] ** 2).unsqueeze(2) * torch.eye(3)
    np.testing.assert_allclose(rotation @ rotation.mT, expected, atol=1e-6)
    assert scale.min() > 0 and scale.std() > 0


@torch.no_grad()
def test_without_offsets_and_pose_it_is_the_mean_face(atlas: Atlas, crops: "torch.Tensor") -> None:
    network = Lite(atlas).eval()
    for layer in (network.pose, network.decoder[-2]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    expected = MEAN_SCALE * atlas.canonical_map * [1, -1, 1]
    np.testing.assert_allclose(finished(network, crops)[0], expected, atol=5e-5)


def test_it_is_as_light_as_it_says(atlas: Atlas) -> None:
    network = Lite(atlas)
    assert sum(each.numel() for each in network.parameters()) == 2_222_903
    # what checkpoints hold: no part of the atlas, and these names for good
    parts = {name.split(".")[0] for name in network.state_dict()}
    assert parts == {"encoder", "squeeze", "code", "pose", "confidence", "seed", "decoder"}
    assert {"encoder.0.0.weight", "encoder.13.3.weight", "decoder.6.weight"} < set(
        network.state_dict()
    )


def test_another_input_size_fits(atlas: Atlas) -> None:
    network = Lite(atlas, input_size=64).eval()
    assert network.input_size == 64
    assert network(torch.zeros(1, 3, 64, 64)).landmarks68.shape == (1, 68, 3)


# the parts


def test_rotations_are_rotations_and_0_is_none() -> None:
    generator = torch.Generator().manual_seed(0)
    rotation = rotation_from_six(torch.randn(50, 6, generator=generator, dtype=torch.float64))
    np.testing.assert_allclose(rotation @ rotation.mT, np.eye(3)[None].repeat(50, 0), atol=1e-9)
    np.testing.assert_allclose(torch.linalg.det(rotation), 1, atol=1e-9)
    np.testing.assert_array_equal(rotation_from_six(torch.zeros(1, 6))[0], np.eye(3))
    # a quarter turn about z: the columns are y and −x
    six = torch.tensor([[0.0, 1, 0, -1, 0, 0]]) - torch.tensor([[1.0, 0, 0, 0, 1, 0]])
    expected = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(rotation_from_six(six)[0], expected, atol=1e-7)


# warm start


def test_a_warm_start_takes_the_encoder_from_bgr_to_rgb(
    network: Lite, crops: "torch.Tensor", atlas: Atlas
) -> None:
    state = {f"module.{k}": v.clone() for k, v in network.encoder.state_dict().items()}
    warmed = Lite(atlas).eval()
    warm_start(warmed.encoder, state | {"module.fc.weight": torch.zeros(62, 512)})
    with torch.no_grad():
        expected, swapped = network.encoder(crops.flip(1)), network.encoder(crops)
        np.testing.assert_allclose(warmed.encoder(crops), expected, atol=1e-4)
    assert (expected - swapped).abs().max() > 0.1


@pytest.mark.parametrize("change", ["missing", "wider"])
def test_a_warm_start_from_another_network_is_refused(atlas: Atlas, change: str) -> None:
    network = Lite(atlas)
    before = network.encoder.state_dict()["0.0.weight"].clone()
    state = dict(network.encoder.state_dict())
    if change == "missing":
        state.popitem()
    else:
        state["0.0.weight"] = torch.ones(32, 3, 3, 3)
    with pytest.raises(ValueError, match="must be a MobileNetV1×0.5"):
        warm_start(network.encoder, state)
    np.testing.assert_array_equal(network.encoder.state_dict()["0.0.weight"], before)


def test_the_kits_warm_start_fits(atlas: Atlas, facekit: Path, portrait: Path) -> None:
    """And it means something: unlike an untrained encoder's, its features tell photos apart."""
    path = facekit / "init/mb05_120x120.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    torch.manual_seed(0)
    cold, warm = Lite(atlas).eval(), Lite(atlas).eval()
    warm_start(warm.encoder, state)
    photo = cv2.imread(str(portrait))[..., ::-1]
    photo = cv2.resize(photo, (128, 128)).astype(np.float32)
    pair = torch.from_numpy((np.stack([photo, photo[:, ::-1]]) - 127.5) / 128).permute(0, 3, 1, 2)
    spread = []
    with torch.no_grad():
        for network in (cold, warm):
            features = network.encoder(pair).mean((2, 3))
            spread.append(((features[0] - features[1]).norm() / features[0].norm()).item())
    assert spread[1] > max(0.2, 2 * spread[0])
