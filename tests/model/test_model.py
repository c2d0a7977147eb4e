import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.errors import ModelFileError
from prnet.model import model
from prnet.model.model import MAX_BATCH, Model, choose_device
from prnet.uv.atlas import EMBEDDED_FOLDER, Atlas
from prnet.uv.position_map import decode_landmarks68

MakeModel = Callable[..., Path]


def test_maps_are_in_the_crop_frame(model_folder: Path, atlas: Atlas) -> None:
    network = Model(model_folder, threads=1)
    maps, confidences = network.regress(np.zeros((1, 64, 64, 3), np.uint8))
    assert confidences is None
    assert maps.shape == (1, 256, 256, 3)
    assert maps.dtype == np.float32
    landmarks = decode_landmarks68(maps[0], atlas)[:, :2]
    low, high = landmarks.min(0), landmarks.max(0)
    # the box fills 1/1.6 of a 64-pixel crop around its centre, (64 − 1)/2
    np.testing.assert_allclose((low + high) / 2, [31.5, 31.5], atol=1e-4)
    assert (high - low).mean() == pytest.approx(40, abs=1e-4)


def test_every_crop_gets_its_own_map_with_pixels_scaled(
    make_model: MakeModel, tmp_path: Path
) -> None:
    network = Model(make_model(tmp_path, gain=8), threads=1)
    grays = np.arange(2 * MAX_BATCH + 3)
    crops = np.broadcast_to(grays[:, None, None, None], (len(grays), 64, 64, 3)).astype(np.uint8)
    maps = network.regress(crops).position_maps
    rises = (maps - maps[:1])[..., 2]
    expected = np.broadcast_to((8 * grays / 100)[:, None, None], rises.shape)
    np.testing.assert_allclose(rises, expected, atol=1e-3)


def test_confidences_come_along(make_model: MakeModel, tmp_path: Path) -> None:
    network = Model(make_model(tmp_path, confidences="confidences"), threads=1)
    grays = np.arange(2 * MAX_BATCH + 3)
    crops = np.broadcast_to(grays[:, None, None, None], (len(grays), 64, 64, 3)).astype(np.uint8)
    found = network.regress(crops)
    assert found.confidences is not None and found.confidences.dtype == np.float32
    np.testing.assert_allclose(found.confidences, grays / 510, atol=1e-4)
    assert found.position_maps.shape == (len(grays), 256, 256, 3)


def test_channels_come_in_red_green_blue_order(make_model: MakeModel, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    folder = make_model(tmp_path, gain=32, pixel_mean=0.0, pixel_std=1.0)
    model = onnx.load(folder / "network.onnx")
    # the mean over one channel in place of the mean over the crop
    model.graph.node.insert(
        0, onnx.helper.make_node("Slice", ["crops", "first", "second", "axis"], ["red"])
    )
    model.graph.node[1].input[0] = "red"
    for name, value in (("first", 0), ("second", 1), ("axis", 1)):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.array([value], np.int64), name)
        )
    onnx.save(model, folder / "network.onnx")
    crops = np.zeros((2, 64, 64, 3), np.uint8)
    crops[1] = (200, 10, 30)
    maps = Model(folder, threads=1).regress(crops).position_maps
    np.testing.assert_allclose((maps[1] - maps[0])[..., 2], 32 * 200, rtol=1e-5)


def test_a_file_that_draws_later_must_let_itself_be_told(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    shutil.copytree(EMBEDDED_FOLDER, tmp_path, dirs_exist_ok=True)
    network = onnx.load(tmp_path / "network.onnx")
    (told,) = (each for each in network.graph.input if each.name == "drawn")
    network.graph.input.remove(told)  # it draws all, as a constant says
    onnx.save(network, tmp_path / "network.onnx")
    with pytest.raises(ModelFileError, match="must take drawn"):
        Model(tmp_path)


def test_no_crops_give_no_maps(model_folder: Path) -> None:
    maps = Model(model_folder).regress(np.empty((0, 64, 64, 3), np.uint8)).position_maps
    assert maps.shape == (0, 256, 256, 3)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((1, 63, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 3), np.float32),
    ],
)
def test_refuses_other_crops(model_folder: Path, crops: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"crops must be \(N, 64, 64, 3\) uint8, got"):
        Model(model_folder).regress(crops)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"atlas_sha256": "0" * 64}, "trained on atlas 000000000000…"),
        ({"metadata": ""}, "not one of prnet's"),
        ({"metadata": "{"}, "unusable spec"),
        ({"metadata": "[]"}, "version"),
        ({"input_name": "pixels"}, r"the input must be crops .*got pixels"),
        ({"output_name": "maps"}, r"the output must be position_maps .*got maps"),
        ({"confidences": "scores"}, r"position_maps .*, confidences .*any N.*got .*scores"),
        ({"batch": 1}, "the input must be crops"),
        ({"side": 128}, r"the output must be .*256, 256, 3\), got .*128"),
        ({"position_scale": float("nan")}, "aren't finite"),
    ],
)
def test_refuses_a_network_that_does_not_fit(
    make_model: MakeModel, tmp_path: Path, changes: dict, message: str
) -> None:
    make_model(tmp_path, **changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        Model(tmp_path).regress(np.zeros((1, 64, 64, 3), np.uint8))
    assert str(tmp_path / "network.onnx") in str(caught.value)
    assert "prnet export" in str(caught.value)


def test_refuses_a_spec_for_another_input_size(make_model: MakeModel, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    make_model(tmp_path)
    model = onnx.load(tmp_path / "network.onnx")
    spec = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps(spec | {"input_size": 128})
    onnx.save(model, tmp_path / "network.onnx")
    with pytest.raises(ModelFileError, match="3, 128, 128"):
        Model(tmp_path)


def test_refuses_what_is_no_model_folder(make_model: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere.*network\.onnx: no such file"):
        Model(tmp_path / "nowhere")
    make_model(tmp_path)
    (tmp_path / "atlas.npz").unlink()
    with pytest.raises(ModelFileError, match=r"atlas\.npz: no such file"):
        Model(tmp_path)
    make_model(tmp_path)
    (tmp_path / "atlas.npz").write_bytes(b"no atlas")
    with pytest.raises(ModelFileError, match=r"atlas\.npz: not a prnet atlas"):
        Model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x08" * 100])
def test_refuses_a_broken_file(model_folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "network.onnx").write_bytes(content)
    (tmp_path / "atlas.npz").write_bytes((model_folder / "atlas.npz").read_bytes())
    with pytest.raises(ModelFileError, match=r"network\.onnx: .*prnet export") as caught:
        Model(tmp_path)
    assert "\n" not in str(caught.value)


def test_refuses_impossible_arguments(model_folder: Path) -> None:
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        Model(model_folder, threads=0)


def test_devices_by_plain_names(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Model(model_folder, threads=1).device == "cpu"
    with pytest.raises(ValueError, match="device must be auto, cuda, .*cpu, got 'abacus'"):
        Model(model_folder, device="abacus")
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(model.onnxruntime, "get_available_providers", lambda: providers)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"
    monkeypatch.setattr(model.onnxruntime, "get_available_providers", lambda: providers[1:])
    assert choose_device("auto") == "cpu"
    with pytest.raises(ValueError, match="device cuda: .* only cpu; .*pip install onnxruntime-gpu"):
        Model(model_folder, device="cuda")


def test_a_model_pickles_as_its_folder(model_folder: Path) -> None:
    first = Model(model_folder, threads=1)
    content = pickle.dumps(first)
    assert len(content) < 500
    again = pickle.loads(content)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    for one, other in zip(first.regress(crops), again.regress(crops), strict=True):
        np.testing.assert_array_equal(one, other)
