"""Which cells answer for which face, and how far they are from what they should say."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prnet.detect.cells import UNIT_STRIDES, cell_centers  # noqa: E402
from prnet.networks.detector import decode  # noqa: E402
from prnet.train.detector_loss import Truth, assign, detector_loss, imitation_loss, upright_overlap  # noqa: E402

SIDE = 128
CENTERS = torch.tensor(cell_centers(SIDE, SIDE))


def truth(faces: list[list[float]], ignored: tuple[float, ...] = (0, 0, 0, 0)) -> Truth:
    boxes = torch.zeros(1, 4, 5)
    is_face = torch.zeros(1, 4, dtype=torch.bool)
    if faces:
        boxes[0, : len(faces)] = torch.tensor(faces)
        is_face[0, : len(faces)] = True
    return Truth(boxes, is_face, torch.tensor(ignored, dtype=torch.float32).reshape(1, 1, 4))


def perfect(faces: list[list[float]], logit: float = -20.0) -> torch.Tensor:
    """Cells that all tell of the face nearest to them, and score alike."""
    cells = torch.full((1, len(CENTERS), 7), logit)
    boxes = torch.tensor(faces)
    nearest = (CENTERS[:, None, :2] - boxes[:, :2]).norm(dim=-1).argmin(1)
    face, stride = boxes[nearest], CENTERS[:, 2:]
    cells[0, :, 1:3] = (face[:, :2] - CENTERS[:, :2]) / stride
    cells[0, :, 3:5] = torch.log(face[:, 2:4] / (UNIT_STRIDES * stride))
    cells[0, :, 5], cells[0, :, 6] = face[:, 4].cos(), face[:, 4].sin()
    return cells


def run_assign(cells: torch.Tensor, labels: Truth) -> tuple[torch.Tensor, torch.Tensor]:
    logits, boxes, _ = decode(cells, CENTERS)
    share, own = assign(logits, boxes, CENTERS, labels)
    return share[0], own[0]


def test_each_face_gets_near_cells_of_fitting_strides() -> None:
    faces = [[30.0, 30, 12, 12, 0], [80.0, 80, 90, 90, 0.5]]
    cells = perfect(faces)
    cells[..., 0] += torch.rand(cells.shape[:2], generator=torch.Generator().manual_seed(0))
    share, own = run_assign(cells, truth(faces))
    mine = [share * (own[:, 0] == face[0]) for face in faces]
    for part, face in zip(mine, faces, strict=True):
        chosen = part > 0
        assert 1 <= int(chosen.sum()) <= 9
        assert float(part.max()) == pytest.approx(1)
        away = (CENTERS[chosen, :2] - torch.tensor(face[:2])).norm(dim=-1)
        assert float((away - 0.8 * CENTERS[chosen, 2]).max()) <= max(0.3 * face[2], 0) + 1e-4
    assert set(CENTERS[mine[0] > 0, 2].tolist()) == {8}
    assert set(CENTERS[mine[1] > 0, 2].tolist()) <= {16, 32}


def test_a_cell_belongs_to_the_face_it_fits() -> None:
    faces = [[60.0, 60, 40, 40, 0], [64.0, 60, 20, 20, 0]]
    cells = perfect([faces[1]])
    share, own = run_assign(cells, truth(faces))
    near = (share > 0) & ((CENTERS[:, :2] - torch.tensor([64.0, 60])).norm(dim=-1) < 8)
    assert near.any() and (own[near, 2] == 20).all()


def test_no_face() -> None:
    share, _ = run_assign(perfect([[60.0, 60, 40, 40, 0]]), truth([]))
    assert float(share.sum()) == 0


def test_a_perfect_answer_costs_little() -> None:
    faces = [[30.0, 30, 12, 12, 0.3], [80.0, 80, 60, 50, -2.0]]
    cells, labels = perfect(faces), truth(faces)
    share, _ = run_assign(cells, labels)
    cells[0, share > 0, 0] = 20
    losses = detector_loss(cells, CENTERS, labels)
    assert float(losses.box) == pytest.approx(0, abs=1e-4)
    assert float(losses.angle) == pytest.approx(0, abs=1e-4)
    cells[0, share > 0, 0] = -20
    assert float(detector_loss(cells, CENTERS, labels).score) > 5


def test_ignored_regions_cost_nothing() -> None:
    cells = perfect([[60.0, 60, 40, 40, 0]], logit=3.0)
    everywhere = truth([], (-1, -1, SIDE, SIDE))
    assert float(detector_loss(cells, CENTERS, everywhere).score) == 0
    assert float(detector_loss(cells, CENTERS, truth([])).score) > 100


def test_overlap_is_measured_in_the_face_s_frame() -> None:
    face = torch.tensor([[10.0, 10, 8, 4, math.pi / 2]])
    # two pixels along its height, which lies along x
    fit, distance = upright_overlap(torch.tensor([[12.0, 10, 8, 4]]), face)
    assert float(fit) == pytest.approx(16 / 48)
    assert float(distance) == pytest.approx(4 / (8**2 + 6**2))


def test_gradients_flow_to_all_outputs() -> None:
    cells = (torch.randn(1, len(CENTERS), 7) * 0.1).requires_grad_()
    losses = detector_loss(cells, CENTERS, truth([[60.0, 60, 40, 40, 1.0]]))
    torch.stack(losses).sum().backward()
    assert cells.grad is not None
    assert (cells.grad.abs().sum((0, 1)) > 0).all()
    assert np.isfinite(cells.grad.numpy()).all()


def test_imitation_pulls_toward_the_teacher() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(2, len(CENTERS), 7)
    same = wanted.clone().requires_grad_()
    imitation_loss(same, wanted).backward()
    assert same.grad is not None
    assert float(same.grad.abs().max()) < 1e-6
    away = torch.randn(2, len(CENTERS), 7)
    far, near = (float(imitation_loss(wanted + part * away, wanted)) for part in (1.0, 0.5))
    assert far > near > float(imitation_loss(wanted, wanted)) > 0
    nobody = torch.full_like(wanted, -20)
    assert np.isfinite(float(imitation_loss(away, nobody)))
