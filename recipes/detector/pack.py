"""Pack the facekit for the detector's training: python recipes/detector/pack.py FACEKIT OUT."""

import argparse
from pathlib import Path

from prnet.data.scene_photos import pack_photos
from prnet.detect.yunet import YuNetDetector

# photos of the train and the val split; together under 22 MB
COUNTS = {
    "lfw": (1500, 70),
    "utk": (1150, 60),
    "web": (650, 60),
    "mix": (579, 60),
    "cfp": (1650, 120),
    "ibug": (907, 80),
    "turned": (500, 50),
}
LEAST_SCORE = 0.35  # of a detection to be ignored

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("facekit", type=Path)
parser.add_argument("out", type=Path)
arguments = parser.parse_args()
teacher = YuNetDetector(arguments.facekit / "init" / "yunet.onnx", min_score=LEAST_SCORE)
arguments.out.mkdir(parents=True, exist_ok=True)
pack_photos(arguments.facekit, arguments.out / "photos.npz", COUNTS, teacher._boxes)
