import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import prnet
from prnet.detect.detections import Detections
from prnet.model.model import Model
from prnet.reconstructor import Reconstructor

MakeModel = Callable[..., Path]
BOXES = np.array([[10, 12, 50, 60], [60, 20, 80, 36]], np.float32)


class FixedDetector:
    """Finds BOXES in every photo."""

    def detect(self, image: np.ndarray) -> Detections:
        return Detections(BOXES, np.array([0.9, 0.8], np.float32))


@pytest.fixture(scope="module")
def reconstructor(model_folder: Path) -> Reconstructor:
    return Reconstructor(model_folder, detector=FixedDetector(), threads=1)


def landmarks_of(reconstructor: Reconstructor, photo: Path) -> np.ndarray:
    """What a process says of a face."""
    (face,) = reconstructor(photo, boxes=[(60, 40, 170, 180)])
    return face.landmarks68


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def landmark_boxes(faces: list[prnet.Face]) -> np.ndarray:
    points = [face.landmarks68[:, :2] for face in faces]
    return np.array([np.concatenate([each.min(0), each.max(0)]) for each in points])


def centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def sizes(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).mean(1)


def test_faces_lie_in_the_photo_where_their_boxes_are(
    reconstructor: Reconstructor, drawn_photo: Path
) -> None:
    faces = reconstructor(drawn_photo)
    # the stand-in network fills each crop's box with the mean face
    np.testing.assert_allclose(centres(landmark_boxes(faces)), centres(BOXES), atol=1e-3)
    np.testing.assert_allclose(sizes(landmark_boxes(faces)), sizes(BOXES), atol=1e-3)
    for face, box, score in zip(faces, BOXES, (0.9, 0.8), strict=True):
        np.testing.assert_array_equal(face.box, box)
        assert face.score == pytest.approx(score)
        assert face.position_map.dtype == np.float32
        assert face.vertices[:, 2].mean() == pytest.approx(0, abs=1e-3)
        assert abs(face.pose.yaw) < 0.1
        assert abs(face.pose.roll) < 0.1
        # weak perspective: depth is in the pixels of x and y
        canonical = face.atlas.canonical_vertices
        assert np.ptp(face.vertices[:, 2]) / np.ptp(face.vertices[:, 0]) == pytest.approx(
            np.ptp(canonical[:, 2]) / np.ptp(canonical[:, 0]), rel=1e-4
        )


def test_path_and_pixels_give_the_same(reconstructor: Reconstructor, drawn_photo: Path) -> None:
    pixels = read(drawn_photo)
    before = pixels.copy()
    for a, b in zip(reconstructor(drawn_photo), reconstructor(pixels), strict=True):
        np.testing.assert_array_equal(a.position_map, b.position_map)
    np.testing.assert_array_equal(pixels, before)


def test_boxes_bypass_the_detector_and_keep_their_order(
    reconstructor: Reconstructor, drawn_photo: Path
) -> None:
    boxes = [[60, 20, 80, 36], [-10.5, 12, 50, 90], [10, 12, 50, 60]]
    faces = reconstructor(drawn_photo, boxes=boxes)
    np.testing.assert_allclose(centres(landmark_boxes(faces)), centres(np.array(boxes)), atol=1e-3)
    assert [face.score for face in faces] == [1, 1, 1]
    assert reconstructor(drawn_photo, boxes=[]) == []


@pytest.mark.parametrize("passes", [1, 2])
def test_the_networks_confidence_is_the_score(
    make_model: MakeModel, tmp_path: Path, passes: int
) -> None:
    model = make_model(tmp_path, confidences="confidences")
    reconstructor = Reconstructor(model, FixedDetector(), threads=1, passes=passes)
    photo = np.full((80, 96, 3), 102, np.uint8)
    photo[:, 54:] = 204  # the second box's crop lies in the bright half
    scores = sorted(face.score for face in reconstructor(photo))
    assert scores[1] == pytest.approx(0.4, abs=0.02) and 0.15 < scores[0] < 0.3
    (face,) = reconstructor(photo, boxes=BOXES[1:])
    assert face.score == pytest.approx(scores[1])


def test_the_best_come_first_and_max_faces_cuts_after_that(
    make_model: MakeModel, tmp_path: Path
) -> None:
    """The larger box is dark, and so is what the stand-in network's confidence says of it."""
    model = make_model(tmp_path, confidences="confidences")
    photo = np.full((80, 96, 3), 72, np.uint8)
    photo[:, 54:] = 255
    reconstructor = Reconstructor(model, FixedDetector(), threads=1)
    large, small = BOXES.tolist()
    assert [f.box.tolist() for f in reconstructor(photo)] == [small, large]
    (face,) = reconstructor(photo, max_faces=1)
    assert face.box.tolist() == small and face.detection_score == pytest.approx(0.8)
    (many,) = reconstructor.many([photo], max_faces=1)
    assert [f.box.tolist() for f in many] == [small]
    assert [f.box.tolist() for f in reconstructor(photo, boxes=BOXES)] == [large, small]
    (first,) = reconstructor(photo, boxes=BOXES, max_faces=1)
    assert first.box.tolist() == large


def test_max_faces_keeps_the_first(reconstructor: Reconstructor, drawn_photo: Path) -> None:
    faces = reconstructor(drawn_photo, max_faces=1)
    np.testing.assert_array_equal([face.box for face in faces], BOXES[:1])
    with pytest.raises(ValueError, match="max_faces must be 1 or more, got 0"):
        reconstructor(drawn_photo, max_faces=0)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[10, 10, 20, 20], [0, float("nan"), 5, 5]], r"boxes\[1\]: .*finite"),
        ([[0, 0, float("inf"), 5]], r"boxes\[0\]: .*finite"),
        ([[0, 0, 1e39, 5]], r"boxes\[0\]: .*finite"),
        ([[20, 10, 20, 30]], r"boxes\[0\]: box must have x0 < x1 and y0 < y1"),
        ([[20, 30, 40, 10]], r"boxes\[0\]: box must have x0 < x1 and y0 < y1"),
        ([[96, 10, 110, 30]], r"boxes\[0\]: box must lie .* photo of 96×80, got \[96"),
        ([[10, -30, 20, -1]], r"boxes\[0\]: box must lie .* photo"),
        ([1, 2, 3, 4], r"boxes must be \(N, 4\) .*got \(4,\)"),
        ([[1, 2, 3]], r"boxes must be \(N, 4\) .*got \(1, 3\)"),
        ([[1, 2, 3, 4], [1, 2]], r"boxes must be \(N, 4\)"),
        ([["a", 2, 3, 4]], r"boxes must be \(N, 4\)"),
        ({"x": 1}, r"boxes must be \(N, 4\)"),
    ],
)
def test_refuses_impossible_boxes(
    reconstructor: Reconstructor, drawn_photo: Path, boxes: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        reconstructor(drawn_photo, boxes=boxes)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_refuses_other_pixels(reconstructor: Reconstructor, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image must be a path, a PIL image or an RGB array"):
        reconstructor(image)


def test_later_passes_look_around_the_landmarks_found(
    make_model: MakeModel, tmp_path: Path, drawn_photo: Path
) -> None:
    # every look moves the face right by 8 of 64 crop pixels; the crop is 1.6 boxes wide
    network = Model(make_model(tmp_path, shift=8.0), threads=1)
    box = np.array([[20, 20, 60, 60]])
    for passes in (1, 2, 3):
        faces = Reconstructor(network, FixedDetector(), passes=passes)(drawn_photo, boxes=box)
        step = 8 / 64 * 1.6 * 40
        expected = centres(box) + [passes * step, 0]
        np.testing.assert_allclose(centres(landmark_boxes(faces)), expected, atol=1e-2)
        np.testing.assert_array_equal(faces[0].box, box[0])


def test_landmarks_beyond_the_photo_are_not_looked_at_again(
    make_model: MakeModel, tmp_path: Path, drawn_photo: Path
) -> None:
    reconstructor = Reconstructor(make_model(tmp_path, shift=60.0), FixedDetector(), 1, passes=2)
    (face,) = reconstructor(drawn_photo, boxes=[[60, 20, 90, 50]])
    once = 60 / 64 * 1.6 * 30
    np.testing.assert_allclose(centres(landmark_boxes([face])), [[75 + once, 35]], atol=1e-2)


def test_all_faces_of_a_photo_are_one_batch(
    model_folder: Path, drawn_photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Model(model_folder, threads=1)
    batches = []
    regress = network.regress
    monkeypatch.setattr(
        network, "regress", lambda crops: (batches.append(len(crops)), regress(crops))[1]
    )
    Reconstructor(network, FixedDetector())(drawn_photo)
    assert batches == [2]


def test_many_photos_give_what_single_ones_do(model_folder: Path, drawn_photo: Path) -> None:
    """In order, with the faces of several photos in one batch; photos are taken when needed."""
    model = Model(model_folder, threads=1)
    batches, taken = [], []
    regress = model.regress
    model.regress = lambda crops: (batches.append(len(crops)), regress(crops))[1]  # type: ignore[method-assign]
    pixels = read(drawn_photo)

    def photos() -> Iterator[np.ndarray]:
        for number in range(5):
            taken.append(number)
            yield np.roll(pixels, number, axis=1) if number != 2 else pixels[:1, :1]

    class Detector:
        def detect(self, image: np.ndarray) -> Detections:
            found = FixedDetector().detect(image)
            return found if len(image) > 1 else Detections.empty()

    reconstructor = Reconstructor(model, Detector())
    faces = reconstructor.many(photos(), batch_size=4)
    assert taken == []
    first = next(faces)
    assert (taken, batches) == ([0, 1], [4])
    rest = list(faces)
    assert [len(each) for each in (first, *rest)] == [2, 2, 0, 2, 2]
    assert batches == [4, 4]
    for own, photo in zip((first, *rest), photos(), strict=True):
        alone = reconstructor(photo)
        for one, other in zip(own, alone, strict=True):
            np.testing.assert_allclose(one.position_map, other.position_map, atol=1e-4)
            assert one.image is photo or np.array_equal(one.image, photo)
    assert list(reconstructor.many([])) == []
    assert [len(each) for each in reconstructor.many([drawn_photo], max_faces=1)] == [1]
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        next(reconstructor.many([], batch_size=0))


def test_the_detectors_score_stays_beside_the_networks(
    make_model: MakeModel, tmp_path: Path, drawn_photo: Path
) -> None:
    model = make_model(tmp_path, confidences="confidences")
    surely = Detections(BOXES, np.array([0.95, 0.9], np.float32))
    detector = SimpleNamespace(detect=lambda image: surely)
    reconstructor = Reconstructor(model, detector, threads=1)
    faces = reconstructor(drawn_photo)
    assert [face.detection_score for face in faces] == pytest.approx([0.95, 0.9])
    assert faces[0].score != pytest.approx(0.95)
    (by_hand,) = reconstructor(drawn_photo, boxes=BOXES[:1])
    assert by_hand.detection_score is None


def test_refuses_impossible_settings(model_folder: Path) -> None:
    with pytest.raises(ValueError, match="passes must be 1 or more, got 0"):
        Reconstructor(model_folder, passes=0)
    with pytest.raises(ValueError, match="threads must be None with an open model"):
        Reconstructor(Model(model_folder), threads=2)
    with pytest.raises(ValueError, match="device can't be given with an open model"):
        Reconstructor(Model(model_folder), device="cuda")


def test_finds_the_face_by_itself(model_folder: Path, portrait: Path) -> None:
    (face,) = Reconstructor(model_folder, threads=1)(portrait)
    assert 0.5 < face.score <= 1
    # the astronaut's face spans about x 80…155, y 75…165 of the portrait
    np.testing.assert_allclose(centres(face.box[None])[0], [117, 120], atol=15)
    assert 60 < sizes(face.box[None])[0] < 110


def test_a_photo_without_a_face_gives_no_faces(model_folder: Path) -> None:
    reconstructor = Reconstructor(model_folder, threads=1)
    for shape in ((1, 1, 3), (300, 200, 3), (1, 500, 3)):
        assert reconstructor(np.zeros(shape, np.uint8)) == []


def test_a_large_photo_needs_little_memory_beyond_itself(model_folder: Path) -> None:
    photo = np.zeros((5000, 6000, 3), np.uint8)
    portrait_box = [2000, 1500, 4000, 3800]
    reconstructor = Reconstructor(model_folder, threads=1)
    reconstructor(photo[:500, :500])
    tracemalloc.start()
    try:
        reconstructor(photo)
        reconstructor(photo, boxes=[portrait_box])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < photo.nbytes / 2, (
        f"{peak / 1e6:.0f} MB for a photo of {photo.nbytes / 1e6:.0f} MB"
    )


def test_public_names_can_all_be_had() -> None:
    for name in prnet.__all__:
        assert getattr(prnet, name).__name__ == name
    assert set(prnet.__all__) <= set(dir(prnet))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = prnet.Nothing


@pytest.mark.core
def test_importing_loads_only_what_is_used() -> None:
    code = """
import sys

def lacks(*names):
    loaded = set(names) & set(sys.modules)
    assert not loaded, f"loads {loaded}"

heavy = "torch", "numba", "trimesh", "matplotlib", "scipy", "skimage"
import prnet
lacks(*heavy, "onnxruntime", "numpy", "cv2")
import prnet.cli.main
lacks(*heavy, "onnxruntime")
import prnet.face
lacks("torch", "numba", "trimesh", "onnxruntime")
prnet.Reconstructor
lacks("torch")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pil_image_is_read_as_its_file_is(
    reconstructor: Reconstructor, portrait: Path, tmp_path: Path
) -> None:
    from PIL import Image

    with Image.open(portrait) as opened:
        turned = opened.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned back
        turned.save(tmp_path / "turned.png", exif=exif)
        see_through = opened.convert("RGBA")
    expected = [face.position_map for face in reconstructor(portrait)]
    assert expected
    with Image.open(tmp_path / "turned.png") as kept:
        for image in (kept, see_through):
            found = [face.position_map for face in reconstructor(image)]
            np.testing.assert_array_equal(found, expected)


@pytest.mark.core
@pytest.mark.weights
def test_a_spawned_worker_says_the_same(portrait: Path) -> None:
    """Sent to another process, it opens its model there."""
    one = Reconstructor(threads=2)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        said = pool.submit(landmarks_of, one, portrait).result(timeout=60)
    np.testing.assert_array_equal(said, landmarks_of(one, portrait))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_forked_workers_say_the_same(model_folder: Path, portrait: Path) -> None:
    """They inherit networks whose threads stayed behind; one lets go of them unused."""
    code = f"""
import os
from multiprocessing import get_context
import numpy as np
from prnet import FaceDetector, Reconstructor, read_image

one, detector = Reconstructor({str(model_folder)!r}, threads=2), FaceDetector()
photo = read_image({str(portrait)!r})
def answer(_):
    (face,) = one(photo, boxes=[(60, 40, 170, 180)])
    return face.landmarks68, detector.detect(photo).oriented()
expected = answer(0)
assert len(expected[1]) == 1
with get_context("fork").Pool(2) as pool:
    for answers in pool.map_async(answer, range(4)).get(60):
        for said, before in zip(answers, expected, strict=True):
            np.testing.assert_array_equal(said, before)
child = os.fork()
if not child:
    del one, detector
    os._exit(0)  # ONNX Runtime, once imported, hangs a forked process that ends in any other way
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_threads_say_the_same(model_folder: Path, portrait: Path) -> None:
    one = Reconstructor(model_folder, threads=1)
    expected = landmarks_of(one, portrait)
    with ThreadPoolExecutor(8) as pool:
        for said in pool.map(lambda _: landmarks_of(one, portrait), range(24)):
            np.testing.assert_array_equal(said, expected)
