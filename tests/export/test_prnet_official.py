import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.cli.main import main
from prnet.data.uv_data import load_uv_data
from prnet.errors import ModelFileError
from prnet.face import Face
from prnet.model.model import Model
from prnet.uv.atlas import Atlas

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from prnet.export.prnet_official import checkpoint_shapes, load_checkpoint  # noqa: E402
from prnet.export.tf_checkpoint import Checkpoint  # noqa: E402
from prnet.networks.resfcn256 import ResFCN256  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]
REFERENCE = Path(__file__).parents[1] / "networks/reference"
WriteCheckpoint = Callable[[Path, dict[str, np.ndarray]], Path]


@pytest.fixture(scope="module")
def network(atlas: Atlas) -> ResFCN256:
    return ResFCN256(atlas)


@pytest.fixture(scope="module")
def tensors(network: ResFCN256) -> dict[str, np.ndarray]:
    """Those of the network, random as in the reference, and some of an optimiser."""
    random_tensor = runpy.run_path(str(REFERENCE / "make_resfcn256.py"))["random_tensor"]
    shapes = checkpoint_shapes(network)
    tensors = {name: random_tensor(name, shape) for name, shape in shapes.items()}
    first = "resfcn256/Conv/weights"
    tensors |= {f"{first}/{slot}": tensors[first] * 0 for slot in ("Adam", "Adam_1")}
    return tensors | {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999)}


@pytest.fixture(scope="module")
def checkpoint(
    write_checkpoint: WriteCheckpoint,
    tensors: dict[str, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("net-data")
    return write_checkpoint(folder / "256_256_resfcn256_weight", tensors)


@pytest.fixture(scope="module")
def uv_data(make_uv_data: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_uv_data(tmp_path_factory.mktemp("uv-data"))


@pytest.fixture(scope="module")
def model(checkpoint: Path, uv_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command line makes of them."""
    folder = tmp_path_factory.mktemp("converted") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prnet.export.onnx.CHECKED_CROPS", 1)  # TensorFlow's maps are compared below
        run("convert", "--checkpoint", checkpoint, "--uv-data", uv_data, "--out", folder)
    return folder


def run(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert (end.value.code or 0) == code


def test_tensors_are_those_of_the_published_checkpoint(
    prnet_official: Path, network: ResFCN256
) -> None:
    stored = Checkpoint(prnet_official / "256_256_resfcn256_weight").tensors
    shapes = {name: tensor.shape for name, tensor in stored.items() if "Adam" not in name}
    del shapes["beta1_power"], shapes["beta2_power"]
    assert checkpoint_shapes(network) == shapes
    # the optimiser has two slots for what learns
    learns = sum(parameter.numel() for parameter in network.parameters())
    slots = [tensor for name, tensor in stored.items() if name.endswith("/Adam")]
    assert sum(int(np.prod(slot.shape)) for slot in slots) == learns == 13_353_618


def test_the_converted_file_gives_tensorflows_maps(model: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    random_tensor = runpy.run_path(str(REFERENCE / "make_resfcn256.py"))["random_tensor"]
    crops = random_tensor("crops", (1, 256, 256, 3)).transpose(0, 3, 1, 2)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model / "network.onnx", options)
    maps = session.run(None, {"crops": np.ascontiguousarray(crops)})[0]
    spec = Model(model).spec
    pixels = maps[0] * spec.position_scale + spec.position_offset
    with np.load(REFERENCE / "resfcn256.npz") as expected:
        np.testing.assert_allclose(pixels[::3, ::3], expected["inside"], atol=0.01)
        sides = np.stack([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        np.testing.assert_allclose(sides, expected["border"], atol=0.01)


def test_the_folder_says_what_it_is(model: Path, uv_data: Path) -> None:
    network = Model(model)
    assert network.spec.name == "resfcn256"
    assert network.spec.input_size == 256
    assert network.spec.crop_scale == 1.6
    assert (network.spec.pixel_mean, network.spec.pixel_std) == (0, 255)
    assert "256_256_resfcn256_weight" in network.spec.recipe
    assert "research" in network.spec.licence
    assert network.atlas.sha256 == load_uv_data(uv_data).sha256
    crops = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
    maps = network.regress(crops).position_maps
    assert maps.min() >= 0
    assert maps.max() <= 281.6


def test_reconstruct_runs_it(model: Path, portrait: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[[60, 70, 180, 200]]")
    # a mesh of random vertices is slow to draw, so there is none
    arguments = ("--model", model, "--boxes", boxes, "--threads", 1, "--format", "none")
    more = "--position-map", "--no-overlay"
    run("reconstruct", portrait, "--out", tmp_path / "out", *arguments, *more)
    (record,) = json.loads((tmp_path / "out/portrait.json").read_text())["faces"]
    assert np.isfinite(record["landmarks68"]).all()
    atlas = Atlas.load(model / "atlas.npz")
    face = Face.from_record(record, atlas, tmp_path / "out")
    assert len(face.vertices) == len(atlas.vertex_index)


@pytest.mark.usefixtures("pictures_in_words")
def test_evaluate_runs_it_on_real_photos(
    model: Path, facekit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--model", model, "--out", tmp_path / "out", "--threads", 1)
    run("evaluate", "aflw2000", facekit / "samples", *arguments)
    table = capsys.readouterr().out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["count"] == 2
    for name, title in (("nme68_2d", "68 points, 2D"), ("nme68_3d", "68 points, 3D")):
        (line,) = (line for line in table.splitlines() if title in line)
        assert f"{metrics[name]:.2f}" in line


def test_the_command_names_what_is_missing(
    checkpoint: Path, uv_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--out", tmp_path / "out", "--uv-data", uv_data)
    run("convert", "--checkpoint", checkpoint.with_name("other"), *given, code=2)
    assert "other.index: can't be read" in capsys.readouterr().err
    shutil.copy(checkpoint.with_name(checkpoint.name + ".index"), tmp_path / "only.index")
    run("convert", "--checkpoint", tmp_path / "only", *given, code=2)
    assert "only.data-00000-of-00001: can't be read" in capsys.readouterr().err
    run("convert", "--checkpoint", checkpoint, *given[:3], tmp_path, code=1)
    assert "no face_ind.txt, triangles.txt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resfcn256/Conv/weights": None}, r"1 tensors differ, first resfcn256/Conv/weights.*abs"),
        ({"resfcn256/Extra/weights": (4, 4, 3, 3)}, r"first resfcn256/Extra/weights"),
        (
            {"resfcn256/Conv/BatchNorm/beta": (17,)},
            r"beta, which should be \(16,\) and is \(17,\)",
        ),
    ],
)
def test_another_network(
    write_checkpoint: WriteCheckpoint,
    network: ResFCN256,
    tmp_path: Path,
    change: dict[str, tuple[int, ...] | None],
    message: str,
) -> None:
    shapes = checkpoint_shapes(network) | change
    # shapes alone decide, so the values may be 16-bit zeros
    zeros = {name: np.zeros(shape, np.float16) for name, shape in shapes.items() if shape}
    prefix = write_checkpoint(tmp_path / "other", zeros)
    with pytest.raises(ModelFileError, match=message):
        load_checkpoint(network, prefix)
