"""prnet's own detector: one small network, any picture, faces at any angle."""

import json
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from prnet.detect.cells import (
    AXES,
    INPUT,
    METADATA_KEY,
    OUTPUT,
    OUTPUTS,
    STRIDES,
    UNIT_STRIDES,
    find_faces,
)
from prnet.detect.detections import Detections
from prnet.detect.search import CLOSER_LOOK_PX, LOOK_PX, check_settings, search
from prnet.errors import ModelFileError

if sys.version_info >= (3, 11):
    from importlib.resources.abc import Traversable
else:
    from importlib.abc import Traversable

# a Path where the package lies in a folder; where it lies in a zip, what reads from that
EMBEDDED_FILE = resources.files("prnet") / "assets" / "detector" / "detector.onnx"
MIN_SCORE = 0.5
# from which on what may be a face is looked at from nearby; and in a coarse look, which sees little
# that is smaller than the photo's faces
HINT_SCORE, COARSE_HINT_SCORE = 0.25, 0.42


class FaceDetector:
    """The default detector.

    It runs on one thread, may be used by several at once, and can be pickled and forked.

    Attributes:
        path: The network's file.
        min_score: Faces of a lower score are left out.
        smallest_face: See `search`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        min_score: float = MIN_SCORE,
        smallest_face: float = 0.01,
    ) -> None:
        """Open the network.

        Args:
            path: A file as `prnet.export.detector` writes it; None for the one in the package.
            min_score: In [0, 1].
            smallest_face: Faces smaller than this part of the photo (√(w·h) of the box over the
                photo's longer side), or than 24 pixels, aren't looked for; in (0, 1]. 0.06 means
                one quick look.

        Raises:
            ModelFileError: The file is missing or not a detector of prnet's.
            ValueError: A number isn't in its range.
        """
        check_settings(min_score, smallest_face)
        self.path: Traversable = EMBEDDED_FILE if path is None else Path(path)
        self._given = None if path is None else Path(path)
        self.min_score = min_score
        self.smallest_face = smallest_face
        self._session = _open(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it was opened with."""
        return type(self), (self._given, self.min_score, self.smallest_face)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find the faces of a photo, as `Detector.detect` says."""
        return search(image, self._find, self.smallest_face, self.min_score)

    def look(
        self, picture: NDArray[np.uint8], min_score: float | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Look once at a picture as it is.

        Args:
            picture: (H, W, 3) uint8 RGB, H and W multiples of 32.
            min_score: None for the detector's own.

        Returns:
            (K, 5) float32 boxes as in `prnet.geometry.oriented`, pixels, one a face; (K,) float32
            scores in [0, 1].
        """
        (cells,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(picture[None])})
        height, width = picture.shape[:2]
        least = self.min_score if min_score is None else min_score
        return find_faces(cells[0], height, width, least)

    def _find(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`look` at a picture of any size, for hints: black fills it up to a multiple of 32."""
        height, width = picture.shape[:2]
        step = STRIDES[-1]
        if height % step or width % step:
            filled = np.zeros((-(-height // step) * step, -(-width // step) * step, 3), np.uint8)
            filled[:height, :width] = picture
            picture = filled
        is_coarse = CLOSER_LOOK_PX < max(height, width) <= LOOK_PX
        return self.look(
            picture, min(self.min_score, COARSE_HINT_SCORE if is_coarse else HINT_SCORE)
        )


def _open(path: Traversable) -> onnxruntime.InferenceSession:
    """Open a detector's file and check that it is one; raises as `FaceDetector` does."""
    remedy = "make it again with `prnet train-detector`"
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; {remedy}")
    onnxruntime.disable_telemetry_events()  # what is done with photos is nobody's business
    options = onnxruntime.SessionOptions()
    # one thread leaves no pool behind that a fork would break; and of a pattern of memory for each
    # shape, photos of many shapes would each keep a share
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        file = path if isinstance(path, Path) else path.read_bytes()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        cause = " ".join(str(error).split())
        raise ModelFileError(f"{path}: ONNX Runtime can't open it ({cause}); {remedy}") from error
    if text is None:
        raise ModelFileError(f"{path}: an ONNX file, but not a detector of prnet's; {remedy}")
    expected = {
        "strides": list(STRIDES),
        "unit_strides": UNIT_STRIDES,
        "outputs": OUTPUTS,
        "axes": AXES,
    }
    try:
        spec = json.loads(text)
        found = {name: spec.get(name) for name in expected}
    except (ValueError, AttributeError) as error:
        raise ModelFileError(f"{path}: unusable spec ({error}); {remedy}") from error
    if found != expected:
        raise ModelFileError(f"{path}: made for {found}, not for {expected}; {remedy}")
    return session
