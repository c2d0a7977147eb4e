from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.data.aflw2000 import AFLW2000Record, read_aflw2000
from prnet.data.bfm import Bfm
from prnet.errors import ModelFileError
from prnet.evaluate.aflw2000 import OFFICIAL_VERTICES, evaluate_aflw2000
from prnet.geometry.boxes import face_size
from prnet.landmarks import interocular
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import FACE, MAP_SIZE, Atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.position_map import decode_landmarks68

Array = NDArray[Any]
Posed = Callable[..., Array]
SIZE = 200


@pytest.fixture
def record(atlas: Atlas, posed: Posed, tmp_path: Path) -> Callable[..., AFLW2000Record]:
    """`record(yaw, pitch, roll)`: its label is what `posed` makes of these angles."""

    def make(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> AFLW2000Record:
        photo = tmp_path / f"image{yaw}.jpg"
        cv2.imwrite(str(photo), np.zeros((SIZE, SIZE, 3), np.uint8))
        landmarks = decode_landmarks68(posed(yaw, pitch, roll), atlas).astype(np.float64)
        pose_para = np.array([*np.radians([pitch, yaw, roll]), 0, 0, 0, 1e-3])
        return AFLW2000Record(photo, landmarks, yaw, pose_para, np.zeros(199), np.zeros(29))

    return make


def test_a_perfect_prediction_has_no_error(
    fake: Any, atlas: Atlas, posed: Posed, record: Callable[..., AFLW2000Record]
) -> None:
    reconstructor = fake(atlas, lambda box: posed(40, -10, 5))
    report = evaluate_aflw2000([record(40, -10, 5)], reconstructor)
    assert report.metrics["count"] == report.metrics["pose_count"] == 1
    assert report.metrics["nme68_2d"] == pytest.approx(0, abs=1e-4)
    assert report.metrics["nme68_3d"] == pytest.approx(0, abs=1e-4)
    assert report.metrics["nme68_2d_yaw_30_60"] == pytest.approx(0, abs=1e-4)
    assert report.metrics["pose_mae"] == pytest.approx(0, abs=1e-2)
    assert "nme68_2d_yaw_0_30" not in report.metrics
    assert "nme68_2d_mean_of_bins" not in report.metrics


def test_known_shifts_have_their_exact_errors(
    fake: Any, atlas: Atlas, posed: Posed, record: Callable[..., AFLW2000Record]
) -> None:
    """3 px right and 4 px down: 5 px; 1000 px nearer: nothing; a label turned 8° off: 8°."""
    shift = np.array([3, 4, 1000])
    records = [record(0), record(45), record(-80)]
    turned = [0, 45, -80]
    answers = iter(turned)
    reconstructor = fake(atlas, lambda box: posed(next(answers)) + shift)
    for each in records:
        each.pose_para[1] += np.radians(8)
    report = evaluate_aflw2000(records, reconstructor)
    errors = [500 / face_size(each.landmarks68) for each in records]
    for name in ("nme68_2d", "nme68_3d"):
        assert report.metrics[name] == pytest.approx(np.mean(errors), rel=1e-4)
        assert report.metrics[f"{name}_median"] == pytest.approx(np.median(errors), rel=1e-4)
        assert report.metrics[f"{name}_mean_of_bins"] == pytest.approx(np.mean(errors), rel=1e-4)
        for key, error in zip(("0_30", "30_60", "60_90"), errors, strict=True):
            assert report.metrics[f"{name}_yaw_{key}"] == pytest.approx(error, rel=1e-4)
    assert report.metrics["pose_mae_yaw"] == pytest.approx(8, abs=0.02)
    assert report.metrics["pose_mae_roll"] == pytest.approx(0, abs=0.02)
    assert report.metrics["pose_mae"] == pytest.approx(8 / 3, abs=0.02)
    assert [row["photo"] for row in report.rows] == ["image0.jpg", "image45.jpg", "image-80.jpg"]


def test_labels_boxes_are_tight_around_the_landmarks(
    fake: Any, atlas: Atlas, posed: Posed, record: Callable[..., AFLW2000Record]
) -> None:
    label = record(20)
    reconstructor = fake(atlas, lambda box: posed(20))
    evaluate_aflw2000([label], reconstructor)
    (box,) = reconstructor.asked
    xy = label.landmarks68[:, :2]
    np.testing.assert_allclose(box, [*xy.min(0), *xy.max(0)], rtol=1e-6)


def test_faces_that_the_detector_misses_are_counted_not_scored(
    fake: Any, atlas: Atlas, posed: Posed, record: Callable[..., AFLW2000Record]
) -> None:
    near = record(0)
    far = record(1)
    far.landmarks68[:, 0] += 500
    xy = near.landmarks68[:, :2]
    box = [*(xy.min(0) - 2), *(xy.max(0) + 2)]
    reconstructor = fake(atlas, lambda box: posed(0), np.array([box]))
    report = evaluate_aflw2000([near, far], reconstructor, detector=True)
    assert report.metrics["count"] == 2
    assert report.metrics["found_share"] == 50
    assert report.metrics["nme68_2d"] == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(reconstructor.asked, [box], rtol=1e-6)


def test_an_angle_beyond_99_degrees_leaves_the_pose_error(
    fake: Any, atlas: Atlas, posed: Posed, record: Callable[..., AFLW2000Record]
) -> None:
    label = record(0)
    label.pose_para[2] = np.radians(99.5)
    report = evaluate_aflw2000([label], fake(atlas, lambda box: posed(0)))
    assert "pose_mae" not in report.metrics
    assert report.metrics["nme68_2d"] == pytest.approx(0, abs=1e-4)


def test_labels_without_depth_give_no_error_in_space(
    fake: Any, atlas: Atlas, posed: Posed, record: Callable[..., AFLW2000Record]
) -> None:
    label = record(0)
    flat = AFLW2000Record(
        label.photo, label.landmarks68[:, :2], 0, label.pose_para, label.shape_para, label.exp_para
    )
    report = evaluate_aflw2000([flat], fake(atlas, lambda box: posed(0)))
    assert "nme68_2d" in report.metrics and "nme68_3d" not in report.metrics


def test_pixels_can_be_counted_from_zero(record: Callable[..., AFLW2000Record]) -> None:
    label = record(0)
    np.testing.assert_array_equal(label.from_zero().landmarks68, label.landmarks68 - [1, 1, 0])


# dense, with a small BFM over a space of as many vertices as the official one


@pytest.fixture(scope="module")
def bfm() -> Bfm:
    """A curved sheet over the whole UV square."""
    steps = np.linspace(0, 1, 9)
    uv = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    index = np.arange(81).reshape(9, 9)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
    across, down = uv.T - 0.5
    mean = np.stack([120 * across, -140 * down, 60 - 150 * (across**2 + down**2)], 1) * 1000
    rng = np.random.default_rng(0)
    return Bfm(
        mean=mean.astype(np.float32),
        shape_basis=rng.normal(0, 1, (243, 199)).astype(np.float32),
        expression_basis=rng.normal(0, 100, (243, 29)).astype(np.float32),
        triangles=triangles.astype(np.int32),
        keypoints=np.arange(68, dtype=np.int32),
        uv=uv.astype(np.float32),
    )


@pytest.fixture(scope="module")
def official(bfm: Bfm) -> Atlas:
    """A UV space with the official number of vertices, made of that BFM."""
    sampler = rasterize_chart(bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE)
    return Atlas(
        region=np.full((MAP_SIZE, MAP_SIZE), FACE, np.uint8),
        vertex_index=np.arange(OFFICIAL_VERTICES, dtype=np.int32),
        triangles=np.array([[0, 256, 1]], np.int32),
        landmarks68_uv=bfm.uv[:68],
        canonical_map=sampler.sample(bfm.mean / 1e4),
    )


@pytest.fixture
def dense_label(tmp_path: Path, bfm: Bfm) -> AFLW2000Record:
    photo = tmp_path / "image1.jpg"
    cv2.imwrite(str(photo), np.zeros((SIZE, SIZE, 3), np.uint8))
    rng = np.random.default_rng(1)
    pose_para = np.array([0.1, -0.7, 0.05, 100, 90, -40, 1e-3])
    shape, expression = rng.normal(0, 1000, 199), rng.normal(0, 1, 29)
    landmarks = bfm.vertices(shape, expression, pose_para, SIZE)[bfm.keypoints]
    return AFLW2000Record(photo, landmarks.astype(float), -40, pose_para, shape, expression)


@pytest.mark.parametrize(
    ("shift", "pixels"), [((0, 0, 0), 0.0), ((0, 0, 30), 0.0), ((3, -4, 9), 5.0)]
)
def test_dense_errors(
    fake: Any,
    bfm: Bfm,
    official: Atlas,
    dense_label: AFLW2000Record,
    shift: tuple[int, int, int],
    pixels: float,
) -> None:
    """The size is that of all vertices, z is aligned at its mean, and a shift is no shape error."""
    sampler = rasterize_chart(bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE)
    label = dense_label
    vertices = bfm.vertices(label.shape_para, label.exp_para, label.pose_para, SIZE)
    truth = sampler.sample(vertices)
    reconstructor = fake(official, lambda box: truth + np.array(shift))
    metrics = evaluate_aflw2000([label], reconstructor, bfm=bfm).metrics
    size = face_size(truth.reshape(-1, 3)[:OFFICIAL_VERTICES])
    for name in ("nme_dense_2d", "nme_dense_3d"):
        assert metrics[name] == pytest.approx(100 * pixels / size, abs=2e-4)
    assert metrics["reconstruction"] == pytest.approx(0, abs=1e-3)


def test_the_reconstruction_error_is_over_the_eyes_distance(
    fake: Any, bfm: Bfm, official: Atlas, dense_label: AFLW2000Record
) -> None:
    """Every second vertex 2 px nearer, the others 2 px farther: no similarity mends that."""
    sampler = rasterize_chart(bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE)
    label = dense_label
    vertices = bfm.vertices(label.shape_para, label.exp_para, label.pose_para, SIZE)
    wave = np.where(np.indices((MAP_SIZE, MAP_SIZE)).sum(0) % 2, 2, -2)[..., None] * [0, 0, 1]
    truth = sampler.sample(vertices)
    metrics = evaluate_aflw2000([label], fake(official, lambda box: truth + wave), bfm=bfm).metrics
    eyes = interocular(vertices[bfm.keypoints])
    assert metrics["reconstruction"] == pytest.approx(200 / eyes, rel=0.01)


def test_dense_errors_want_the_official_space(
    fake: Any, atlas: Atlas, bfm: Bfm, dense_label: AFLW2000Record
) -> None:
    with pytest.raises(ModelFileError, match=r"prnet convert"):
        evaluate_aflw2000([dense_label], fake(atlas, lambda box: box), bfm=bfm)


def test_the_two_real_samples(facekit: Path, model_folder: Path) -> None:
    records, left_out = read_aflw2000(facekit / "samples")
    assert [path.stem for path in left_out] == ["300wlp_IBUG_image_008_1_0"]
    report = evaluate_aflw2000(records, Reconstructor(model_folder, threads=1))
    assert report.metrics["count"] == 2
    # the stand-in sees the frontal mean face in every box: fair for the frontal photo
    assert 2 < report.metrics["nme68_2d_yaw_0_30"] < 8
    assert report.metrics["nme68_2d_yaw_30_60"] > 15
    assert report.metrics["nme68_3d"] > report.metrics["nme68_2d"]
