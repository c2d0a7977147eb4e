"""OpenCV's YuNet with a made-up network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.detect.yunet import OFFSET, SIZE, YuNetDetector
from prnet.errors import ModelFileError


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
    photo = np.zeros((320, 320, 3), np.uint8)
    photo[80:88, 40:48, 0] = 255  # a cell
    photo[16:24, 104:112, 2] = 255  # blue, no face
    found = YuNetDetector(make_yunet(), smallest_face=1).detect(photo)
    # the block's centre lies at pixel (43.5, 83.5)
    x, y = 43.5 + OFFSET[0] * 32, 83.5 + OFFSET[1] * 48
    w, h = SIZE[0] * 32 / 2, SIZE[1] * 48 / 2
    np.testing.assert_allclose(found.boxes, [[x - w, y - h, x + w, y + h]], atol=0.01)
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


@pytest.mark.parametrize(
    ("min_score", "smallest_face"), [(-0.1, 0.1), (1.1, 0.1), (0.5, 0), (0.5, 2)]
)
def test_settings_are_checked(min_score: float, smallest_face: float) -> None:
    with pytest.raises(ValueError, match="must be in"):
        YuNetDetector("none.onnx", min_score, smallest_face)
