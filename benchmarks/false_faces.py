"""Faces that prnet sees where there are none: python benchmarks/false_faces.py FACEKIT.

Looks at the facekit's held-out backgrounds and at scikit-image's pictures without a person, and
names those in which a face is reconstructed, with its score.
"""

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray

import prnet
from prnet.data.scene_choice import HELD_OUT_BACKGROUNDS, read_backgrounds

PICTURES = (
    *("brick", "cell", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel"),
    *("horse", "hubble_deep_field", "immunohistochemistry", "logo", "moon", "page", "retina"),
    *("rocket", "text"),
)


def pictures(facekit: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Names and pictures, (H, W, 3) uint8 RGB."""
    for number, background in enumerate(read_backgrounds(facekit)):
        if number % HELD_OUT_BACKGROUNDS == 0:
            yield f"background {number}", background
    for name in PICTURES:
        picture = getattr(skimage.data, name)()
        if picture.dtype == bool:
            picture = picture.astype(np.uint8) * 255
        if picture.ndim == 2:
            picture = np.stack([picture] * 3, -1)
        yield name, np.ascontiguousarray(picture[..., :3])


def main() -> None:
    """Print a line a picture with a face, and how many there are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("facekit", type=Path)
    facekit = parser.parse_args().facekit
    warnings.simplefilter("ignore")
    reconstructor = prnet.Reconstructor()
    seen = wrong = detections = 0
    for name, picture in pictures(facekit):
        faces = reconstructor(picture)
        seen, wrong = seen + 1, wrong + bool(faces)
        detections += len(reconstructor.detector.detect(picture))
        if faces:
            print(f"{name}:", *(f"{face.score:.2f}" for face in faces), flush=True)
    print(f"faces in {wrong} of {seen} pictures; {detections} detections in all")


if __name__ == "__main__":
    main()
