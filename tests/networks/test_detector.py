"""The detector's network in PyTorch, its loss, and its file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

torch = pytest.importorskip("torch")

from prnet.detect.cells import INPUT, OUTPUT, cell_centers, decode_cells, find_faces  # noqa: E402
from prnet.detect.network import FaceDetector  # noqa: E402
from prnet.networks.detector import Detector, decode  # noqa: E402
from prnet.networks.detector_teacher import DetectorTeacher  # noqa: E402


@pytest.fixture(scope="module")
def network() -> Detector:
    torch.manual_seed(0)
    network = Detector()
    # as after training: what its norms are used to differs from channel to channel
    for part in (each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        for values, low, high in ((part.running_mean, -1, 1), (part.running_var, 0.5, 2)):
            assert values is not None
            torch.nn.init.uniform_(values, low, high)
        torch.nn.init.uniform_(part.weight, 0.5, 1)
    return network.eval()


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


def test_the_teacher_says_what_its_record_says(repository: Path) -> None:
    teacher = DetectorTeacher().eval()
    path = repository / "recipes" / "detector" / "legs" / "10.pt"
    teacher.load_state_dict(torch.load(path, weights_only=True))
    photo = cv2.resize(skimage.data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        cells = teacher(torch.from_numpy(photo).permute(2, 0, 1)[None].float())[0]
    boxes, scores = find_faces(cells.T.numpy(), 256, 256, 0.3)
    assert scores[0] == pytest.approx(0.907, abs=0.01)
    np.testing.assert_allclose(boxes[0, :4], [111.4, 64.9, 47.8, 44.6], atol=0.5)
