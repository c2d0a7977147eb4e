from pathlib import Path

import numpy as np
import pytest

from prnet.evaluate.metrics import trend
from prnet.landmarks import eye_opening, mouth_opening
from prnet.morphable.linear import FaceModel, LandmarkModel
from prnet.train.openings import EYE_MODES, MAX_CHANGE, MOUTH_MODES, follow_reference

pytest.importorskip("torch")


@pytest.fixture
def landmarks() -> LandmarkModel:
    """Eyes 3 wide and 1 high, a mouth 5 wide with the lips 0.5 apart.

    Two identities open eyes and mouth; the four expressions follow.
    """
    mean, basis = np.zeros((68, 3), np.float32), np.zeros((6, 68, 3), np.float32)
    for first, middle in ((36, -3.0), (42, 3.0)):
        x = [-1.5, -0.5, 0.5, 1.5, 0.5, -0.5]
        mean[first : first + 6, 0] = np.array(x) + middle
        mean[first : first + 6, 1] = [0, 0.5, 0.5, 0, -0.5, -0.5]
    mean[[48, 54], 0] = -2.5, 2.5
    mean[[62, 66], 1] = -4.75, -5.25
    upper = [37, 38, 43, 44]
    basis[0, upper, 1], basis[1, 66, 1] = 0.1, -0.2
    basis[2, [43, 44], 1], basis[3, [37, 38], 1] = -0.8, -0.8
    basis[4:, 66, 1] = -0.3
    return LandmarkModel(mean, basis)


NAMES = (*EYE_MODES, *MOUTH_MODES)


def openings(landmarks: LandmarkModel, coefficients: np.ndarray) -> np.ndarray:
    faces = landmarks.points(coefficients)
    return np.stack([eye_opening(faces), mouth_opening(faces)], 1)


def test_openings_follow_the_teachers_one_to_one(landmarks: LandmarkModel) -> None:
    rng = np.random.default_rng(0)
    coefficients = rng.uniform(0.2, 0.6, (200, 6)).astype(np.float32)
    before = openings(landmarks, coefficients)
    # the teacher sees a quarter more, counts from elsewhere, and differs a little from the fit
    noise = rng.normal(0, 0.003, before.shape)
    teacher = ((before - before.mean(0)) * 1.25 + [0.4, 0.2] + noise).astype(np.float32)
    is_valid = np.arange(200) < 150
    teacher[~is_valid] = 9.0
    changed = follow_reference(coefficients, teacher, is_valid, landmarks, NAMES)
    after = openings(landmarks, changed)
    for part in range(2):
        line = trend(after[is_valid, part], teacher[is_valid, part])
        assert line.slope == pytest.approx(1, abs=0.01) and line.correlation > 0.999
        assert after[is_valid, part].mean() == pytest.approx(
            before[is_valid, part].mean(), abs=1e-3
        )
        # unseen by the teacher, they are stretched alike
        line = trend(after[~is_valid, part], before[~is_valid, part])
        assert line.slope == pytest.approx(1.25, abs=0.05) and line.correlation > 0.999
    np.testing.assert_array_equal(changed[:, :2], coefficients[:, :2])  # identities stay
    assert not np.shares_memory(changed, coefficients)


def test_no_coefficient_changes_beyond_belief(landmarks: LandmarkModel) -> None:
    coefficients = np.tile(np.linspace(0, 0.5, 8, dtype=np.float32)[:, None], 6)
    teacher = openings(landmarks, coefficients).astype(np.float32)
    teacher[0] += 5
    changed = follow_reference(coefficients, teacher, np.ones(8, bool), landmarks, NAMES)
    assert np.abs(changed - coefficients).max() == pytest.approx(MAX_CHANGE)


def test_the_kits_model_has_the_modes(face_model: FaceModel, facekit: Path) -> None:
    assert set(NAMES) < set(face_model.expression_names)
