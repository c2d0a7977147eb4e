"""The page in Chromium beside Python: first load, and milliseconds a face and a head; prints JSON.

    python benchmarks/page_speed.py [RUNS]

Needs Playwright and Chromium; the photo is the sample, 512×512.
"""

import functools
import http.server
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from prnet.apps.bench import measure
from prnet.model.model import Model
from prnet.serve.page import LATER, export_page
from prnet.serve.page_head import HEAD_NAME

RUNS = 15
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


class Isolated(http.server.SimpleHTTPRequestHandler):
    """A web server whose pages may use threads."""

    def end_headers(self) -> None:
        """Isolate the page."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def in_browser(browser: Browser, address: str, threads: int, runs: int) -> dict[str, float]:
    """Medians of the sample's times in the page."""
    page = browser.new_page()
    page.goto(f"{address}?threads={threads}")
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    times: list[dict[str, float]] = []
    for _ in range(runs + 3):
        page.evaluate("delete document.body.dataset.shown")
        page.click("#sample")
        page.wait_for_selector("body[data-shown]:not([data-busy])", timeout=60_000)
        times.append(json.loads(page.get_attribute("body", "data-times") or "{}"))
    page.check("#shape-head")
    page.wait_for_selector("body[data-shape=head]", timeout=60_000)
    result = {
        "ready_ms": float(page.get_attribute("body", "data-ready") or "nan"),
        "head_ms": float(
            page.get_attribute("body", "data-head-time") or "nan"
        ),  # with its fetching
    }
    page.close()
    for stage in ("detect", "reconstruct"):
        own = [each[stage] for each in times[3:]]  # until then the browser compiles
        result |= {f"{stage}_ms": float(np.median(own)), f"{stage}_least_ms": min(own)}
    return result


def main() -> None:
    """Measure both."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = export_page(Path(folder), Model(threads=1))
        handler = functools.partial(Isolated, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        sizes = {f.relative_to(folder).as_posix(): f.stat().st_size / 1e6 for f in files}
        report: dict[str, Any] = {"head_mb": sizes[HEAD_NAME]}
        report["first_load_mb"] = sum(size for name, size in sizes.items() if name not in LATER)
        for threads in (1, 2):
            report[f"browser, {threads} threads"] = in_browser(browser, address, threads, runs)
        browser.close()
        server.shutdown()
    report["python, 1 thread"] = measure(None, None, 1, runs)
    report["load_average"] = os.getloadavg()[0]
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
