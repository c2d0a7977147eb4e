"""Takes `page.jpg` for docs/page.md: the page with the sample photo, in Chromium.

    python docs/images/shoot.py [FILE]

Needs Playwright and Chromium. The photo is scikit-image's `astronaut()` (NASA, public domain).
"""

import functools
import http.server
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from prnet.model.model import Model
from prnet.serve.page import export_page

FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
TURN_PX = 45  # by which the head is dragged
EXPRESSION = {"jawOpen": 0.55, "browInnerUp": 0.8, "eyeBlinkLeft": 0.9}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server that says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Show the sample and take the picture."""
    target = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("page.jpg")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        export_page(Path(folder), Model(threads=1))
        handler = functools.partial(Quiet, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever).start()
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector("body[data-ready]", timeout=60_000)
        page.click("#sample")
        page.wait_for_selector("body[data-shown]:not([data-busy])", timeout=60_000)
        page.check("#shape-head")
        page.wait_for_selector("body[data-shape=head]", timeout=60_000)
        for name, weight in EXPRESSION.items():
            page.locator(f"[data-name={name}]").fill(str(weight))
        box = page.locator("#head").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - TURN_PX, y, steps=4)
        page.mouse.up()
        # the time it took depends on the machine
        page.evaluate("document.getElementById('status').textContent = 'astronaut.jpg: 1 face.'")
        page.evaluate("scrollTo(0, 0)")
        clip = {"x": 0, "y": 0, "width": 1100, "height": 1330}
        page.screenshot(path=target, type="jpeg", quality=85, full_page=True, clip=clip)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
