"""Photos turned by any angle: the network sees the face upright, so the answer turns along."""

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

import prnet
from prnet.geometry.boxes import face_size, tight_box
from prnet.geometry.oriented import tight_oriented

HEAD = (226.0, 132.0)  # about which the astronaut turns
ANGLES = (0, 20, 45, 70, 90, 135, 180, -90, -135)


@pytest.fixture(scope="module")
def reconstructor() -> prnet.Reconstructor:
    return prnet.Reconstructor(threads=1)


@pytest.fixture(scope="module")
def upright(reconstructor: prnet.Reconstructor) -> NDArray[np.float32]:
    face = reconstructor(skimage.data.astronaut())[0]
    return face.landmarks68[:, :2]


def turn(
    points: NDArray[np.float32], angle_deg: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The astronaut turned clockwise, and where its points are then."""
    matrix = cv2.getRotationMatrix2D(HEAD, -angle_deg, 1.0)
    matrix[:, 2] += [30, 124]
    photo = cv2.warpAffine(skimage.data.astronaut(), matrix, (512, 512))
    return np.asarray(photo, np.uint8), points @ matrix[:, :2].T + matrix[:, 2]


def nme(face: prnet.Face, truth: NDArray[np.float64]) -> float:
    away = np.linalg.norm(face.landmarks68[:, :2] - truth, axis=1)
    return float(away.mean() / face_size(truth))


@pytest.mark.parametrize("angle_deg", ANGLES)
def test_boxes_without_an_angle(
    reconstructor: prnet.Reconstructor, upright: NDArray[np.float32], angle_deg: float
) -> None:
    photo, truth = turn(upright, angle_deg)
    (face,) = reconstructor(photo, boxes=[tight_box(truth)])
    assert nme(face, truth) < 0.05
    assert face.score > 0.6


@pytest.mark.parametrize("angle_deg", ANGLES)
def test_boxes_with_an_angle(
    reconstructor: prnet.Reconstructor, upright: NDArray[np.float32], angle_deg: float
) -> None:
    photo, truth = turn(upright, angle_deg)
    x, y, width, height, _ = tight_oriented(truth, np.radians(angle_deg))
    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2, angle_deg]
    (face,) = reconstructor(photo, boxes=[box])
    assert nme(face, truth) < 0.01


@pytest.mark.parametrize("angle_deg", ANGLES)
def test_the_detector(
    reconstructor: prnet.Reconstructor, upright: NDArray[np.float32], angle_deg: float
) -> None:
    photo, truth = turn(upright, angle_deg)
    face = reconstructor(photo)[0]  # the best; what else it finds is less sure
    assert nme(face, truth) < 0.05


def test_angles_are_checked(reconstructor: prnet.Reconstructor) -> None:
    photo = skimage.data.astronaut()
    with pytest.raises(ValueError, match="angles must not be infinite"):
        reconstructor(photo, boxes=[[10, 10, 50, 50, np.inf]])
    with pytest.raises(ValueError, match=r"boxes must be \(N, 4\) or \(N, 5\) numbers"):
        reconstructor(photo, boxes=[[10, 10, 50, 50, 0, 0]])


def test_what_is_no_face_is_left_out(reconstructor: prnet.Reconstructor) -> None:
    class Everywhere:
        def detect(self, image: NDArray[np.uint8]) -> prnet.Detections:
            boxes = np.array([[10, 10, 90, 90], [179, 92, 271, 177]], np.float32)
            return prnet.Detections(boxes, np.array([0.9, 0.8], np.float32))

    found = prnet.Reconstructor(reconstructor.model, detector=Everywhere())(
        skimage.data.astronaut()
    )
    assert [face.detection_score for face in found] == [pytest.approx(0.8)]


def test_more_is_asked_for_where_the_detector_is_unsure(
    reconstructor: prnet.Reconstructor,
) -> None:
    """A face so blurred as to be trusted little stays if the detector was sure of it."""

    class Scores:
        def __init__(self, score: float) -> None:
            self.score = score

        def detect(self, image: NDArray[np.uint8]) -> prnet.Detections:
            box = np.array([[179, 92, 271, 177]], np.float32)
            return prnet.Detections(box, np.array([self.score], np.float32))

    photo = cv2.GaussianBlur(skimage.data.astronaut(), (0, 0), 6)
    (face,) = prnet.Reconstructor(reconstructor.model, detector=Scores(0.9))(photo)
    assert 0.15 < face.score < 0.4
    assert prnet.Reconstructor(reconstructor.model, detector=Scores(0.6))(photo) == []
