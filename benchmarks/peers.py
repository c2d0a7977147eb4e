"""Times prnet's whole call, its parts and its files beside what people use instead, on one thread.

    python -m venv peers && peers/bin/pip install mediapipe==0.10.21
    python benchmarks/peers.py FACEKIT --mediapipe peers/bin/python face_landmarker.task

All look in turn at scikit-image's astronaut (512×512, one face), so that none meets a busier
machine, five times in a row each, as at a folder or a film: a call finds its code and weights in
the caches. The ratios are to prnet's whole call: pixels → box, 68 landmarks and pose of each face.
The files are of a face that has been reconstructed, enlarged so that it fills a texture of 1024².
Without `--mediapipe` its two rows are left out. FACEKIT holds YuNet and 3DDFA_V2's encoder (see
`compare_networks.py`); the paper's network has random weights, which take as long as trained ones.
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when the libraries are imported

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from compare_networks import MB05_ENCODER, RESFCN256, export_peers
from numpy.typing import NDArray
from skimage.data import astronaut, rocket

from prnet.detect.yunet import YuNetDetector
from prnet.face import Face
from prnet.model.model import EMBEDDED_FOLDER, NETWORK_FILE
from prnet.reconstructor import Reconstructor

CALL = "prnet: photo → box, landmarks, pose"
YUNET_FILE = "init/yunet.onnx"
TURN = 5  # calls in a row
DETECTOR_SIZE = 320  # side of the picture that the two detectors are given
FACE_SHARE, LARGE_PHOTO = 0.1, (4000, 3000)  # of its width; 12 megapixels
TEXTURE_SIZE, ENLARGING = 1024, 4  # that much, for a texture of that side

# runs in MediaPipe's own environment: a line in asks for a call, a line out says what it took
MEDIAPIPE = """
import sys, time, mediapipe as mp, numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision
_, task, photo, mode = sys.argv
options = vision.FaceLandmarkerOptions(
    base_options=tasks.BaseOptions(model_asset_path=task),
    running_mode=getattr(vision.RunningMode, mode),
)
landmarker = vision.FaceLandmarker.create_from_options(options)
image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.load(photo))
for number, _ in enumerate(sys.stdin):
    start = time.perf_counter()
    if mode == "IMAGE":
        result = landmarker.detect(image)
    else:
        result = landmarker.detect_for_video(image, number * 33)
    taken = time.perf_counter() - start
    assert len(result.face_landmarks) == 1
    print("took", taken, flush=True)
"""


class MediaPipe:
    """MediaPipe's FaceLandmarker in a process of its own, which asks for one call at a time."""

    def __init__(self, python: Path, task: Path, photo: Path, mode: str) -> None:
        """Start it; mode is IMAGE or VIDEO."""
        self._process = subprocess.Popen(
            ["taskset", "-c", "0", python, "-c", MEDIAPIPE, task, photo, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def call(self) -> float:
        """One call; the seconds that it took.

        Raises:
            RuntimeError: It stopped.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("took "):
                return float(line.split()[1])
        raise RuntimeError("MediaPipe stopped; is it installed in the environment given?")

    def close(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()


def compare(
    facekit: Path, mediapipe: tuple[Path, Path] | None, runs: int
) -> dict[str, dict[str, float]]:
    """Time all of them.

    Args:
        facekit: Its folder.
        mediapipe: The Python that has MediaPipe, and FaceLandmarker's task file.
        runs: How often each is timed, about, after a turn that doesn't count.

    Returns:
        Of each `median_ms`, and `ratio`, that over prnet's whole call.
    """
    cv2.setNumThreads(1)
    photo = np.ascontiguousarray(astronaut())
    reconstructor = Reconstructor(threads=1)
    small = cv2.resize(photo, (DETECTOR_SIZE, DETECTOR_SIZE), interpolation=cv2.INTER_AREA)
    yunet = YuNetDetector(facekit / YUNET_FILE)

    large = large_photo(photo, reconstruct(reconstructor, photo))
    with tempfile.TemporaryDirectory(prefix="prnet-") as name, ExitStack() as stack:
        folder, at_size = Path(name), f", {DETECTOR_SIZE}×{DETECTOR_SIZE}"
        others = export_peers(facekit, folder)
        ours = {
            CALL: timed(lambda: reconstruct(reconstructor, photo)),
            f"prnet: detector{at_size}": timed(lambda: reconstructor.detect(small)),
            f"YuNet{at_size}": timed(lambda: yunet.detect(small)),
            "prnet: network": timed(network(Path(str(EMBEDDED_FOLDER / NETWORK_FILE)))),
            "prnet: 12 megapixels, a face of 10 %": timed(
                lambda: reconstruct(reconstructor, large)
            ),
            **saving(reconstructor, photo, folder),
            "3DDFA_V2 mb05: network without its last layer": timed(network(others[MB05_ENCODER])),
            "PRNet: network": timed(network(others[RESFCN256])),
        }
        theirs: dict[str, Callable[[], float]] = {}
        if mediapipe is not None:
            pixels = folder / "photo.npy"
            np.save(pixels, photo)
            for mode, title in (("IMAGE", "single images"), ("VIDEO", "video")):
                peer = MediaPipe(*mediapipe, pixels, mode)
                stack.callback(peer.close)
                theirs[f"MediaPipe FaceLandmarker, {title}"] = peer.call
        taken: dict[str, list[float]] = {title: [] for title in (*ours, *theirs)}
        for number in range(1 + runs // TURN):
            for title, call_one in (*theirs.items(), *ours.items()):
                own = [call_one() for _ in range(TURN)]
                if number:
                    taken[title] += own
    medians = {title: 1000 * float(np.median(own)) for title, own in taken.items()}
    return {
        title: {"median_ms": each, "ratio": each / medians[CALL]} for title, each in medians.items()
    }


def reconstruct(reconstructor: Reconstructor, photo: NDArray[np.uint8]) -> Face:
    """A photo's one face, of which box, landmarks and pose are known: the whole call."""
    (face,) = reconstructor(photo)
    _ = face.box, face.landmarks68, face.pose
    return face


def large_photo(photo: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """12 megapixels, in whose middle the photo lies, so large that its face is a tenth as wide."""
    scale = FACE_SHARE * LARGE_PHOTO[0] / (face.box[2] - face.box[0])
    large = cv2.resize(rocket(), LARGE_PHOTO, interpolation=cv2.INTER_CUBIC)
    height = width = min(round(scale * len(photo)), *LARGE_PHOTO)
    inside = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    top, left = (LARGE_PHOTO[1] - height) // 2, (LARGE_PHOTO[0] - width) // 2
    large[top : top + height, left : left + width] = inside[:height, :width]
    return large


def saving(
    reconstructor: Reconstructor, photo: NDArray[np.uint8], folder: Path
) -> dict[str, Callable[[], float]]:
    """Calls that save a new face, of which box, landmarks and pose are known, as each kind of file.

    Raises:
        ValueError: The face's texture isn't of 1024².
    """
    photo = cv2.resize(photo, None, fx=ENLARGING, fy=ENLARGING, interpolation=cv2.INTER_CUBIC)

    def saves(extension: str) -> Callable[[], float]:
        path = folder / f"face{extension}"

        def call() -> float:
            face = reconstruct(reconstructor, photo)
            for old in folder.glob("face*"):  # to replace them takes longer than to write new ones
                old.unlink()
            return timed(lambda: face.save(path))()

        return call

    face = reconstruct(reconstructor, photo)
    if face.texture_size != TEXTURE_SIZE:
        raise ValueError(f"the texture's side is {face.texture_size}, not {TEXTURE_SIZE}")
    return {
        f"prnet: face → {extension[1:].upper()}": saves(extension)
        for extension in (".glb", ".obj", ".ply")
    }


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Work that gives the seconds it took."""

    def call() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return call


def network(path: Path) -> Callable[[], object]:
    """A network to be called on one crop."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of inputs that needn't be given
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    (crops,) = session.get_inputs()
    feed = {crops.name: np.random.default_rng(0).random((1, *crops.shape[1:]), np.float32)}
    return lambda: session.run(None, feed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facekit", type=Path, help="the facekit's folder")
    parser.add_argument(
        "--mediapipe",
        type=Path,
        nargs=2,
        metavar=("PYTHON", "TASK"),
        help="a Python with mediapipe installed, and face_landmarker.task",
    )
    parser.add_argument("--runs", type=int, default=100, help="calls to take medians of")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    arguments = parser.parse_args()
    peers = None if arguments.mediapipe is None else tuple(arguments.mediapipe)
    rows = compare(arguments.facekit, peers, arguments.runs)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print("| | median ms | ratio |\n| --- | --- | --- |")
    for title, each in rows.items():
        print(f"| {title} | {each['median_ms']:.2f} | {each['ratio']:.2f} |")


if __name__ == "__main__":
    main()
