"""Train the detector on packed photos: train_packed.py PACK --minutes 8 --out DIR --workers 12."""

import argparse
import dataclasses
from pathlib import Path

from prnet.train.detector import DetectorTraining, train_detector


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path)
    for field in dataclasses.fields(DetectorTraining):
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=type(field.default), default=field.default)
    arguments = vars(parser.parse_args())
    pack, out, start = (arguments.pop(name) for name in ("pack", "out", "start"))
    train_detector(pack / "photos.npz", out, DetectorTraining(**arguments), start)


if __name__ == "__main__":  # worker processes import this file again
    main()
