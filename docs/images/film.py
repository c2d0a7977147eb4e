"""The clips and the picture of docs/video.md and docs/apps.md: a head that turns.

    python docs/images/film.py [FOLDER]

The head is that of scikit-image's `astronaut()` (Eileen Collins, NASA, public domain), rotated in
depth frame by frame; left the film, right what `prnet video --overlay wireframe,landmarks` shows.
The other clip has left the same photo, mirrored, gray and lit from below, then the film, and right
what `prnet swap` makes of the two.
"""

import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from clips import Studio  # noqa: E402

import prnet  # noqa: E402
from prnet.apps.swap_video import VideoSwap  # noqa: E402
from prnet.apps.video import Overlay, Tracked  # noqa: E402
from prnet.video.frames import Shown, VideoWriter  # noqa: E402

FOLDER = Path(__file__).parent
CLIP, PICTURE, SWAP_CLIP = "video.mp4", "video.jpg", "swap.mp4"
RATE, FRAMES = 20, 60
YAW_DEG, NOD_DEG = 30.0, 5.0
SIDE = 300  # pixels of a panel
SHOWN = (("landmarks", 8), ("wireframe", 16), ("shaded", 34), ("depth", 44), ("pncc", 52))


def main(folder: Path = FOLDER, frames: int = FRAMES) -> None:
    """Shoot the film, follow the face, swap it, write the clips and the picture."""
    reconstructor = prnet.Reconstructor()
    studio, tracker = Studio(reconstructor), prnet.Tracker(reconstructor)
    overlay = Overlay(["wireframe", "landmarks"], with_numbers=False)
    other = enlarge(studio.other.rgb)
    swap = VideoSwap(reconstructor(other, max_faces=1))
    panels = []
    with (
        VideoWriter(folder / CLIP, Fraction(RATE), Fraction(1, RATE)) as writer,
        VideoWriter(folder / SWAP_CLIP, Fraction(RATE), Fraction(1, RATE)) as swap_writer,
    ):
        for number in range(frames):
            film = enlarge(shoot(studio, number))
            faces = tracker.update(film, number / RATE)
            frame = Tracked(number, number / RATE, film, faces)
            writer.write(Shown(np.hstack([film, overlay.draw(frame)]), number / RATE))
            swapped = np.hstack([other, film, swap.draw(frame)])
            swap_writer.write(Shown(swapped, number / RATE))
            panels += [Overlay([style]).draw(frame) for style, moment in SHOWN if moment == number]
    if panels:
        sheet = cv2.cvtColor(np.hstack(panels), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / PICTURE), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])


def shoot(studio: Studio, number: int) -> NDArray[np.uint8]:
    """A frame of the film: (240, 240, 3) uint8 RGB."""
    turn = 2 * np.pi * number / FRAMES
    rgb = studio.turned(YAW_DEG * np.sin(turn)).rgb
    matrix = cv2.getRotationMatrix2D((120.0, 150.0), NOD_DEG * np.sin(2 * turn), 1.0)
    moved = cv2.warpAffine(rgb, matrix, rgb.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def enlarge(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame of SIDE × SIDE."""
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
