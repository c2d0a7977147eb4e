"""Pack the facekit for the detector's training: python recipes/detector/pack.py FACEKIT OUT."""

import argparse
from itertools import chain
from pathlib import Path

from prnet.data.scene_choice import choose_photos
from prnet.data.scene_photos import pack_photos
from prnet.detect.yunet import YuNetDetector

# photos of each split; together under 22 MB
TRAIN = {
    **{"lfw": 1500, "utk": 1150, "web": 650, "mix": 579, "cfp": 1650, "ibug": 907},
    "turned": 500,
}
VAL = {"lfw": 70, "utk": 60, "web": 60, "mix": 60, "cfp": 120, "ibug": 80, "turned": 50}
LARGEST_PX = {
    **{"lfw": 250, "utk": 176, "web": 250, "mix": 250, "cfp": 250, "ibug": 250},
    "background": 260,
}
LEAST_SCORE = 0.35  # of a detection to be ignored


def main() -> None:
    """Read the command line and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facekit", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    teacher = YuNetDetector(arguments.facekit / "init" / "yunet.onnx", min_score=LEAST_SCORE)
    arguments.out.mkdir(parents=True, exist_ok=True)
    train, val = (
        choose_photos(arguments.facekit, split, counts, teacher.own_boxes, LARGEST_PX)
        for split, counts in (("train", TRAIN), ("val", VAL))
    )
    pack_photos(chain(train, val), arguments.out / "photos.npz")


if __name__ == "__main__":
    main()
