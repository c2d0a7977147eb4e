"""How long each step of the way from photo to file takes."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import cv2

from prnet.apps.sample import write_sample_photo
from prnet.face import Face
from prnet.image.read import read_image
from prnet.reconstructor import Reconstructor


class Stopwatch:
    """Times named steps, each several times.

    Args:
        clock: Gives seconds; None for those that pass.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.perf_counter
        self._times: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = self._clock()
        yield
        self._times.setdefault(name, []).append((self._clock() - start) * 1000)

    def medians_ms(self) -> dict[str, float]:
        """The median of each step in milliseconds, without its first time, which warms it up."""
        return {name: median(times[1:]) for name, times in self._times.items()}


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
        Medians in milliseconds: of the stages `read`, `detect`, `crop`, `network` (a batch of one
        crop), `decode` (map, landmarks and pose) and `save` (texture, normals, a GLB), and of
        `call`, a photo's pixels → box, landmarks and pose of its faces, in one go.

    Raises:
        ImageReadError: The photo is missing or not a photo.
        ModelFileError: The model folder can't be used.
        ValueError: The photo shows no face, or threads or runs isn't positive.
    """
    if runs < 1:
        raise ValueError(f"runs must be 1 or more, got {runs}")
    reconstructor = Reconstructor(model, threads=threads)
    cv2.setNumThreads(threads)
    timed = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="prnet-") as folder:
        photo, mesh = photo or write_sample_photo(Path(folder)), Path(folder) / "face.glb"
        for _ in range(runs + 1):
            with timed("read"):
                image = read_image(photo)
            with timed("detect"):
                found = reconstructor.detect(image)
            if len(found) == 0:
                raise ValueError(f"{photo}: no face found; bench needs a photo with one")
            box = found.oriented()[:1]
            with timed("crop"):
                crops = reconstructor.crop(image, box)
            with timed("network"):
                crop_maps = reconstructor.model.regress_lazily(crops.pixels).position_maps
            with timed("decode"):
                (position_map,) = reconstructor.place(crop_maps, crops.image_to_crop)
                atlas = reconstructor.model.atlas
                face = Face(position_map, atlas, box[0, :4], float(found.scores[0]), image)
                _ = face.landmarks68, face.pose
            with timed("save"):
                face.save(mesh)
            mesh.unlink()  # to replace a file takes longer than to write a new one
            with timed("call"):
                _ = [(each.box, each.landmarks68, each.pose) for each in reconstructor(image)]
    return timed.medians_ms()


def peak_memory_mb() -> float | None:
    """The most memory that this process ever had, in MB; None where the system doesn't say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, thousands of them elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
