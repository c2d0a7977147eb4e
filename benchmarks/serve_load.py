"""Many clients at once against `prnet serve`, beside the library: latency, throughput, memory.

    python benchmarks/serve_load.py --clients 50 --seconds 60

Every client sends a photo of its own, over and over, and checks that the answer is about it.
"""

import argparse
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx
import numpy as np
import PIL.Image
from skimage.data import astronaut

from prnet.apps.results import WRITERS
from prnet.image.read import read_image
from prnet.reconstructor import Reconstructor

SAME_PX = 0.01  # by which an answer may differ from what the library says of the same photo


def make_photo(number: int) -> bytes:
    """A client's photo, JPEG: the astronaut in a place of its own."""
    x, y = 3 * number, 2 * (number % 20)
    pixels = np.full((512 + 40, 512 + 3 * 64 + number, 3), 90, np.uint8)
    pixels[y : y + 512, x : x + 512] = astronaut()
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    return stream.getvalue()


class Client(threading.Thread):
    """Sends its photo until the time is over."""

    def __init__(self, url: str, photo: bytes, boxes: np.ndarray, until: float) -> None:
        super().__init__()
        self.url, self.photo, self.boxes, self.until = url, photo, boxes, until
        self.seconds: list[float] = []
        self.statuses: dict[int, int] = {}
        self.wrong = self.lost = 0

    def run(self) -> None:
        """Send, check, again."""
        with httpx.Client(timeout=120) as client:
            while time.perf_counter() < self.until:
                start = time.perf_counter()
                try:
                    answer = client.post(self.url, files={"photo": ("photo.jpg", self.photo)})
                except httpx.HTTPError:
                    self.lost += 1
                    continue
                self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
                if answer.status_code == 429:
                    time.sleep(float(answer.headers["retry-after"]))
                    continue
                self.seconds.append(time.perf_counter() - start)
                if answer.status_code != 200:  # too late, where the machine is too slow
                    continue
                boxes = [face["box"] for face in answer.json()["faces"]]
                is_right = np.shape(boxes) == self.boxes.shape
                self.wrong += not (is_right and np.abs(boxes - self.boxes).max() < SAME_PX)


def load(
    port: int, path: str, seconds: float, photos: list[bytes], boxes: list[np.ndarray]
) -> dict[str, Any]:
    """A client for each photo for so long at one endpoint."""
    begin = time.perf_counter()
    url = f"http://127.0.0.1:{port}{path}"
    until = begin + seconds
    threads = [Client(url, *each, until) for each in zip(photos, boxes, strict=True)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    took = time.perf_counter() - begin
    times = np.concatenate([each.seconds for each in threads])
    statuses: dict[int, int] = {}
    for each in threads:
        for status, count in each.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return {
        "photos_a_second": len(times) / took,
        "median_ms": 1000 * float(np.median(times)),
        "p95_ms": 1000 * float(np.percentile(times, 95)),
        "answers": len(times),
        "statuses": statuses,
        "lost": sum(each.lost for each in threads),
        "mixed_up": sum(each.wrong for each in threads),
    }


def direct(seconds: float, writes: bool, photos: list[bytes]) -> dict[str, float]:
    """The same photos by the library in this process, one after the other, on one thread."""
    reconstructor = Reconstructor(threads=1)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        start = time.perf_counter()
        faces = reconstructor(read_image(io.BytesIO(photos[len(times) % len(photos)])))
        for face in faces:
            face.to_record(with_map=False)
            if writes:
                WRITERS[".glb"](Path("face.glb"), face.mesh(), False)
        times.append(time.perf_counter() - start)
    own = times[2:]
    return {"photos_a_second": len(own) / sum(own), "median_ms": 1000 * float(np.median(own))}


def memory_mb(process: int, what: str) -> float | None:
    """VmRSS or VmHWM of a process; None where the system doesn't tell."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    return int(re.findall(rf"{what}:\s+(\d+) kB", text)[0]) / 1024


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    reconstructor = Reconstructor(threads=1)
    photos = [make_photo(n) for n in range(asked.clients)]
    boxes = [
        np.array([face.box for face in reconstructor(read_image(io.BytesIO(photo)))])
        for photo in photos
    ]
    command = [sys.executable, "-m", "prnet", "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/readyz")
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            report: dict[str, Any] = {"clients": asked.clients, "cores": os.cpu_count()}
            report["memory_at_start_mb"] = memory_mb(server.pid, "VmRSS")
            for path, writes in (("/v1/landmarks", False), ("/v1/reconstruct", True)):
                one = load(port, path, asked.seconds / 6, photos[:1], boxes[:1])
                many = load(port, path, asked.seconds, photos, boxes)
                alone = direct(asked.seconds / 6, writes, photos)
                report[path] = {"library": alone, "one_client": one, "many_clients": many}
            report["peak_memory_mb"] = memory_mb(server.pid, "VmHWM")
        finally:
            server.terminate()
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
