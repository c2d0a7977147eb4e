"""Times `prnet batch` against a plain loop over the same photos, in one run.

    python benchmarks/measure_batch.py FACEKIT [--photos 2000] > batch.json

Photos of the facekit, evenly of all its sources, become files. The loop calls a `Reconstructor` of
one thread for one photo after the other, and writes one Parquet file with the same columns; `prnet
batch` does the same with one worker and with two. Loop and two workers take turns, three times;
printed is each one's middle run, and in `rates` the faces a second of all: if those differ, others
were at work on the machine. Each has a process of its own. `whole_s` is all of it, from the
interpreter's start to its end; `seconds` begins with the first photo, so neither Ray's start nor
the model's opening counts; `cpu_ms` are CPU milliseconds a face of who did the photos, and
`driver_cpu_ms` those of the process that handed them out.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import shutil
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
    start, cpu_start, rows = time.perf_counter(), time.process_time(), []
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
    cpu_ms = 1000 * (time.process_time() - cpu_start) / len(rows)
    return {"faces": len(rows), "seconds": time.perf_counter() - start, "cpu_ms": cpu_ms}


def run_batch(photos: Path, out: Path, workers: int) -> dict[str, float]:
    """What `prnet batch` does."""
    from prnet.apps.inputs import search
    from prnet.batch import run
    from prnet.batch.inputs import find_photos
    from prnet.batch.work import Wanted

    wanted = Wanted(str(out), min_score=0.0)
    cpu_start = time.process_time()
    found = find_photos([str(photos)], lambda folder, recursive: search(folder, recursive).photos)
    outcome = run.run_batch(found, wanted, workers)
    return {
        "faces": outcome.faces,
        "seconds": outcome.seconds,
        "start_s": outcome.start_s,
        "busy_percent": 100 * outcome.busy,
        "cpu_ms": 1000 * outcome.cpu_s / outcome.faces,
        "driver_cpu_ms": 1000 * (time.process_time() - cpu_start) / outcome.faces,
    }


def time_apart(photos: Path, folder: Path, workers: int) -> dict[str, float]:
    """One of the three in a process of its own; 0 workers are the loop."""
    out = folder / f"faces-{workers}{'' if workers else '.parquet'}"
    shutil.rmtree(out, ignore_errors=True)  # of an earlier round
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
    parser.add_argument("--rounds", type=int, default=3, help="Of the loop and of two workers.")
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
        names = {"loop": 0, "1 worker": 1, "2 workers": 2}
        figures: dict[str, Any] = {}
        for round_number in range(given.rounds):  # by turns, since machines have better minutes
            for name, count in names.items():
                if count != 1 or round_number == 0:
                    figures.setdefault(name, []).append(time_apart(photos, folder, count))
    loop = np.median([own["faces_a_second"] for own in figures["loop"]])
    for name, runs in figures.items():
        rates = [own["faces_a_second"] for own in runs]
        middle = runs[int(np.argsort(rates)[len(rates) // 2])]
        share = round(float(np.median(rates) / loop), 2)
        figures[name] = {**middle, "rates": rates, "of_the_loop": share}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
