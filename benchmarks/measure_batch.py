"""Times `prnet batch` against a plain loop over the same photos, in one run.

    python benchmarks/measure_batch.py FACEKIT [--photos 2000] > batch.json

Photos of the facekit, evenly of all its sources, become files. The loop calls a `Reconstructor` of
one thread for one photo after the other, and writes one Parquet file with the same columns; then
`prnet batch` does the same with one worker and with two. Each has a process of its own. `whole_s`
is all of it, from the interpreter's start to its end; `seconds` begins with the first photo, so
neither Ray's start nor the model's opening counts.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from prnet.data.facekit import SOURCES

WORKERS = (1, 2)


def extract_photos(facekit: Path, count: int, folder: Path, side: int | None) -> None:
    """Write so many photos of the facekit as files, perhaps enlarged to a longer side."""
    names = []
    for source in SOURCES:
        with tarfile.open(facekit / "faces" / f"{source}.tar") as tar:
            names += [(source, each.name) for each in tar if each.isfile()]
    chosen = [names[k] for k in np.linspace(0, len(names) - 1, count).astype(int)]
    for source in SOURCES:
        with tarfile.open(facekit / "faces" / f"{source}.tar") as tar:
            for own, name in chosen:
                if own != source:
                    continue
                stream = tar.extractfile(name)
                assert stream is not None
                content = stream.read()
                path = folder / f"{source}-{name.replace('/', '-')}"
                path.write_bytes(content if side is None else enlarge(content, side))


def enlarge(content: bytes, side: int) -> bytes:
    """A photo's file, as large as a camera's."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    factor = side / max(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def run_loop(photos: Path, out: Path) -> dict[str, float]:
    """One photo after the other, and the rows into one file."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from prnet import Reconstructor
    from prnet.batch.table import schema

    cv2.setNumThreads(1)
    reconstructor = Reconstructor(threads=1)
    start, rows = time.perf_counter(), []
    for path in sorted(photos.iterdir()):
        for number, face in enumerate(reconstructor(path), 1):
            assert face.image is not None
            row: dict[str, Any] = {"source": str(path), "face": number, "score": face.score}
            row |= {"width": face.image.shape[1], "height": face.image.shape[0]}
            row |= {"yaw": face.pose.yaw, "pitch": face.pose.pitch, "roll": face.pose.roll}
            row |= {"rotation": face.pose.rotation.ravel(), "translation": face.pose.translation}
            row |= {"box": face.box, "scale": face.pose.scale}
            row |= {"landmarks68": face.landmarks68.ravel(), "expression": face.expression}
            rows.append({**row, "identity": face.head_coefficients.identity})
    parquet.write_table(pa.Table.from_pylist(rows, schema(None, ())), out, compression="zstd")
    return {"faces": len(rows), "seconds": time.perf_counter() - start}


def run_batch(photos: Path, out: Path, workers: int) -> dict[str, float]:
    """What `prnet batch` does."""
    from prnet.apps.inputs import expand
    from prnet.batch import run
    from prnet.batch.inputs import find_photos
    from prnet.batch.work import Wanted

    wanted = Wanted(str(out), min_score=0.0)
    outcome = run.run_batch(find_photos([str(photos)], expand), wanted, workers)
    return {
        "faces": outcome.faces,
        "seconds": outcome.seconds,
        "start_s": outcome.start_s,
        "busy_percent": 100 * outcome.busy,
    }


def time_apart(photos: Path, folder: Path, workers: int) -> dict[str, float]:
    """One of the three in a process of its own; 0 workers are the loop."""
    out = folder / f"faces-{workers}{'' if workers else '.parquet'}"
    command = [sys.executable, __file__, str(photos), "--workers", str(workers), "--out", str(out)]
    start = time.perf_counter()
    # Linux shares a busy machine out by sessions, and Ray's workers each have their own
    printed = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, start_new_session=True
    ).stdout
    figures: dict[str, float] = json.loads(printed)
    figures["whole_s"] = time.perf_counter() - start
    figures["faces_a_second"] = figures["faces"] / figures["seconds"]
    return {name: round(value, 1) for name, value in figures.items()}


def main() -> None:
    """Measure the three and print JSON; with --workers do one of them."""
    parser = argparse.ArgumentParser(description="Time `prnet batch` against a plain loop.")
    parser.add_argument("facekit", type=Path)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--side", type=int, help="Enlarge the photos to so many pixels.")
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.workers is not None:
        own = run_batch(given.facekit, given.out, given.workers) if given.workers else None
        print(json.dumps(own or run_loop(given.facekit, given.out)))
        return
    with tempfile.TemporaryDirectory(prefix="prnet-") as name:
        folder = Path(name)
        photos = folder / "photos"
        photos.mkdir()
        extract_photos(given.facekit, given.photos, photos, given.side)
        figures = {"plain loop": time_apart(photos, folder, 0)}
        for workers in WORKERS:
            own = time_apart(photos, folder, workers)
            ratio = own["faces_a_second"] / figures["plain loop"]["faces_a_second"]
            figures[f"{workers} worker{'s' if workers > 1 else ''}"] = {
                **own,
                "of_the_loop": round(ratio, 2),
            }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
