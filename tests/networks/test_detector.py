"""The detector's network in PyTorch, its loss, and its file."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prnet.detect.cells import INPUT, OUTPUT, cell_centers, decode_cells  # noqa: E402
from prnet.detect.network import FaceDetector  # noqa: E402
from prnet.networks.detector import Detector, Refinement, decode  # noqa: E402


@pytest.fixture(scope="module")
def network() -> Detector:
    torch.manual_seed(0)
    return Detector().eval()


def test_one_row_a_cell(network: Detector) -> None:
    with torch.inference_mode():
        cells = network(torch.zeros(2, 3, 64, 96))
    assert cells.shape == (2, len(cell_centers(64, 96)), 7)


def test_cells_are_where_they_look(network: Detector) -> None:
    # what changes in a corner of the picture changes the cells of that corner most
    dark, lit = torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128)
    lit[..., 96:, :32] = 255
    with torch.inference_mode():
        change = (network(lit) - network(dark)).abs().sum(-1)[0].numpy()
    centers = cell_centers(128, 128)
    for stride in (8, 16):
        mine = centers[:, 2] == stride
        x, y, _ = np.average(centers[mine], axis=0, weights=change[mine] ** 2)
        assert x < 56 and y > 72


def test_both_decoders_agree(network: Detector) -> None:
    cells = torch.randn(1, len(cell_centers(64, 64)), 7)
    decoded = decode(cells, torch.tensor(cell_centers(64, 64)))
    logits, boxes, directions = (part[0].numpy() for part in decoded)
    told, scores = decode_cells(cells[0].T.numpy(), 64, 64, 0)
    np.testing.assert_allclose(told[:2].T, boxes[:, :2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.exp(told[2:4]).T, boxes[:, 2:], rtol=1e-5)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    expected = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(told[4:].T, expected, atol=1e-5)


def test_the_file_says_what_the_network_says(network: Detector, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from prnet.export.detector import export_detector

    path = tmp_path / "detector.onnx"
    path.write_bytes(export_detector(network, {"recipe": "none"}))
    assert path.stat().st_size <= 500_000
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    session = FaceDetector(path)._session
    (found,) = session.run([OUTPUT], {INPUT: picture[None]})
    with torch.inference_mode():
        cells = network(torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    # the weights are stored with half the bits
    assert found.shape == (1, 7, 126)
    np.testing.assert_allclose(found[0].T, cells[0], rtol=0.02, atol=0.02)


def test_it_starts_as_yunet(facekit: Path) -> None:
    pytest.importorskip("onnx")
    import onnxruntime

    from prnet.train.detector_start import YuNetStages, read_yunet

    path = facekit / "init" / "yunet.onnx"
    network = Detector().eval()
    weights = read_yunet(path)
    network.start_from_yunet(weights)
    for refinement in (each for each in network.modules() if isinstance(each, Refinement)):
        torch.nn.init.zeros_(refinement.unit.within.weight)
    # behind the two stages that differ, its layers say what YuNet's say
    picture = torch.rand(1, 3, 96, 128) * 255
    with torch.inference_mode():
        features = torch.relu(YuNetStages(weights).before_relu(picture))
        pyramid = [features]
        for stage in network.stages[2:]:
            pyramid.append(stage(torch.nn.functional.max_pool2d(pyramid[-1], 2)))
        deepest = network.heads[2][0](network.necks[2](pyramid[2])).flatten(2)[0]
        deepest = deepest[: len(deepest) // 2] - deepest[len(deepest) // 2 :]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = ["cls_32", "obj_32", "bbox_32", "kps_32"]
    parts = session.run(names, {"input": picture.flip(1).numpy()})
    wanted = np.concatenate([part[0] for part in parts], 1).T
    wanted[:2] = np.log(wanted[:2] / (1 - wanted[:2]))
    np.testing.assert_allclose(deepest.numpy(), wanted, rtol=1e-3, atol=1e-3)


def test_its_first_stages_learn_what_those_of_more_units_say() -> None:
    from prnet.train.detector_start import DEEPER_STAGES, _features, start_from_deeper

    class Blotches:
        def compose(self, rng: np.random.Generator) -> SimpleNamespace:
            blotches = rng.integers(0, 256, (8, 8, 3), np.uint8)
            return SimpleNamespace(image=blotches.repeat(4, 0).repeat(4, 1))

    torch.manual_seed(0)
    teacher = Detector(DEEPER_STAGES)
    rng, blotches = np.random.default_rng(1), Blotches()
    pictures = torch.from_numpy(np.stack([blotches.compose(rng).image for _ in range(8)]))
    errors = []
    for steps in (1, 150):
        network = Detector()
        start_from_deeper(network, teacher, blotches, steps, seed=0)  # type: ignore[arg-type]
        with torch.inference_mode():
            wanted, found = (
                torch.relu(_features(each, pictures.permute(0, 3, 1, 2).float()))
                for each in (teacher, network)
            )
        errors.append(float((found - wanted).square().mean() / wanted.var()))
    assert errors[1] < 0.5 * errors[0]


def test_what_is_not_yunet_is_refused(tmp_path: Path) -> None:
    from prnet.errors import ModelFileError
    from prnet.train.detector_start import read_yunet

    with pytest.raises(ModelFileError, match=r"none.onnx: not YuNet"):
        read_yunet(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="YuNet has"):
        Detector().start_from_yunet([])
