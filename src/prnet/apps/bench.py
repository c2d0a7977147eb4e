"""How long each step of the way from photo to file takes, for one face."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import cv2

from prnet.apps.sample import write_sample_photo
from prnet.face import Face
from prnet.image.crop import crop_face
from prnet.image.detect import SlimefaceDetector
from prnet.image.read import read_image
from prnet.network.runtime import Network
from prnet.uv.position_map import centre_depth, crop_to_image

STAGES = ("read", "detect", "crop", "network", "decode", "save")


def measure(
    photo: Path | None = None, model: Path | None = None, threads: int = 1, runs: int = 20
) -> dict[str, float]:
    """Time the stages for the largest face of a photo, after one round that doesn't count.

    Args:
        photo: None for the sample photo.
        model: A model folder; None for the one in the package.
        threads: CPU threads of the network, and of OpenCV from now on in this process; the detector
            and NumPy keep to the OMP_NUM_THREADS that was set when they were imported.
        runs: How often each stage is timed.

    Returns:
        The median of each stage of STAGES in milliseconds: `network` is a batch of one crop,
        `decode` gives map, vertices, landmarks and pose, `save` makes the texture and writes a GLB.

    Raises:
        ImageReadError: The photo is missing or not a photo.
        ModelFileError: The model folder can't be used.
        ValueError: The photo shows no face, or threads or runs isn't positive.
    """
    if runs < 1:
        raise ValueError(f"runs must be 1 or more, got {runs}")
    network, detector = Network(model, threads), SlimefaceDetector()
    spec, atlas = network.spec, network.atlas
    cv2.setNumThreads(threads)
    times: dict[str, list[float]] = {stage: [] for stage in STAGES}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        times[stage].append((time.perf_counter() - start) * 1000)

    with tempfile.TemporaryDirectory(prefix="prnet-") as folder:
        photo = photo or write_sample_photo(Path(folder))
        for _ in range(runs + 1):
            with timed("read"):
                image = read_image(photo)
            with timed("detect"):
                found = detector.detect(image)
            if len(found.boxes) == 0:
                raise ValueError(f"{photo}: no face found; bench needs a photo with one")
            box, score = found.boxes[0], float(found.scores[0])
            with timed("crop"):
                crop, image_to_crop = crop_face(image, box, spec.input_size, spec.crop_scale)
            with timed("network"):
                crop_map = network.regress(crop[None])[0]
            with timed("decode"):
                position_map = centre_depth(crop_to_image(crop_map, image_to_crop), atlas)
                face = Face(position_map, atlas, box, score, image)
                _ = face.vertices, face.landmarks68, face.pose
            with timed("save"):
                face.save(Path(folder) / "face.glb")
    return {stage: median(taken[1:]) for stage, taken in times.items()}
