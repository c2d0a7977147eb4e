"""The page in Chromium, beside Python; see docs/page.md for how to install what this needs."""

import base64
import functools
import http.server
import io
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import skimage.data
import trimesh
from service import encode

from glb_reader import accessor, read
from prnet.evaluate.heads import render_head, symmetric_skin
from prnet.face import Face
from prnet.head.head import encode_heads
from prnet.head.layout import head_layout
from prnet.model.model import Model
from prnet.reconstructor import Reconstructor
from prnet.serve.page import LATER, export_page

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
pytestmark = [
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
PIXELS, SCORE, WEIGHT, METRES = 0.5, 0.005, 0.02, 5e-4  # by which browser and Python may differ
SHOWN = "body[data-shown]:not([data-busy])"
PROBLEM = "#error:not([hidden])"
ASTRONAUT = skimage.data.astronaut()
HEAD = np.ascontiguousarray(ASTRONAUT[:240, 100:340])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the network of the package, under a sub-path."""
    folder = tmp_path_factory.mktemp("site")
    export_page(folder / "some/where", Model(threads=1))
    return folder


class _Handler(http.server.SimpleHTTPRequestHandler):
    """A web server that knows nothing of prnet, but for isolation where it is asked for."""

    is_isolated = True

    def end_headers(self) -> None:
        if self.is_isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host(site: Path) -> Iterator[Callable[[bool], str]]:
    """`host(is_isolated)` gives the page's address on a plain web server."""
    servers = []

    def serve(is_isolated: bool) -> str:
        handler = type("Handler", (_Handler,), {"is_isolated": is_isolated})
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(handler, directory=str(site))
        )
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/some/where/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, its camera the astronaut's head."""
    film = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    film.write_bytes(encode(HEAD, "JPEG", quality=95) * 4)
    flags = [
        *("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
        *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
        f"--use-file-for-fake-video-capture={film}",
    ]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser: Any, host: Callable[[bool], str]) -> Iterator[Any]:
    """The page, loaded once; what goes wrong in it is an error here."""
    address = host(True)
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    wrong: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    context.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    assert page.get_attribute("body", "data-threads") != "1"
    fetched = [url.removeprefix(address) for url in requests]
    assert not set(LATER) & set(fetched)
    page.click("#sample")
    page.check("#shape-head")
    page.wait_for_selector("body[data-shape=head]", timeout=60_000)
    page.check("#shape-face")
    context.set_offline(True)  # from here on all has to be there
    page.wait_for_timeout(200)
    yield page
    assert wrong == []
    foreign = [url for url in requests if not url.startswith((address, "blob:", "data:"))]
    assert foreign == []


def show(page: Any, name: str, content: bytes) -> None:
    """Hand a photo to the page and wait for what it says."""
    page.evaluate(
        "delete document.body.dataset.shown; document.getElementById('error').hidden = true"
    )
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
    page.wait_for_selector(f"{SHOWN}, {PROBLEM}", timeout=30_000)


def saved(page: Any, form: str) -> bytes:
    """The file behind a download button."""
    with page.expect_download(timeout=30_000) as download:
        page.click(f"[data-format={form}]")
    return Path(download.value.path()).read_bytes()


def canvas(page: Any) -> np.ndarray:
    """The head's picture."""
    address = page.evaluate("document.getElementById('head').toDataURL()")
    shot = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
    return cv2.imdecode(shot, cv2.IMREAD_COLOR).astype(int)


def differ(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def on_skin(face: Face, *textures: np.ndarray) -> list[np.ndarray]:
    """What of textures is on the chart."""
    mask = face.atlas.mask.astype(np.uint8)
    mask = cv2.resize(mask, textures[0].shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return [texture[mask > 0].astype(int) for texture in textures]


@pytest.fixture(scope="module")
def reconstructor() -> Reconstructor:
    return Reconstructor(threads=1)


def crowd() -> np.ndarray:
    """Three faces of different sizes, one mirrored, in a wide photo."""
    photo = np.full((600, 1100, 3), 120, np.uint8)
    photo[40:552, 20:532] = ASTRONAUT
    photo[100:340, 600:840] = HEAD[:, ::-1]
    photo[400:520, 900:1020] = cv2.resize(HEAD, (120, 120), interpolation=cv2.INTER_AREA)
    return photo


def tilted() -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((225, 130), 35, 1)
    return np.asarray(cv2.warpAffine(ASTRONAUT, matrix, (512, 512)), np.uint8)


PHOTOS = {
    "upright": lambda: ASTRONAUT,
    "on its side": lambda: np.ascontiguousarray(np.rot90(HEAD)),
    "tilted": tilted,
    "large": lambda: cv2.resize(ASTRONAUT, (1800, 1800), interpolation=cv2.INTER_CUBIC),
    "three": crowd,
}


@pytest.mark.parametrize("name", PHOTOS)
def test_browser_and_python_agree(page: Any, reconstructor: Reconstructor, name: str) -> None:
    pixels = PHOTOS[name]()
    show(page, f"{name}.png", encode(pixels))
    seen = json.loads(saved(page, "json"))["faces"]
    faces = reconstructor(pixels)
    assert len(seen) == len(faces) == (3 if name == "three" else 1)
    for face, own in zip(faces, seen, strict=True):
        np.testing.assert_allclose(own["landmarks68"], face.landmarks68, atol=PIXELS)
        np.testing.assert_allclose(own["box"], face.box, atol=PIXELS)
        assert own["score"] == pytest.approx(face.score, abs=SCORE)
        assert own["detection_score"] == pytest.approx(face.detection_score, abs=SCORE)
        assert own["pose"]["yaw"] == pytest.approx(face.pose.yaw, abs=0.5)
        assert own["expression"] == pytest.approx(face.expression, abs=WEIGHT)


def test_a_profile_s_skin_is_pythons(page: Any, reconstructor: Reconstructor) -> None:
    """Half of it is hidden, and its outline lies elsewhere in the map than in the photo."""
    (front,) = reconstructor(HEAD)
    photo = render_head(symmetric_skin(front), 70, head_layout()).face.image
    (face,) = reconstructor(photo)
    assert np.abs(face.photo_map - face.position_map).max() > 2  # pixels
    show(page, "profile.png", encode(photo))
    glb = trimesh.load(io.BytesIO(saved(page, "glb")), "glb", force="mesh", process=False)
    texture = np.asarray(glb.visual.material.baseColorTexture.convert("RGB"))
    assert differ(*on_skin(face, texture, face.mesh().texture)) < 2


@pytest.fixture(scope="module")
def portrait_face(page: Any, reconstructor: Reconstructor) -> Face:
    """Shows the astronaut's head; Python's face of it."""
    show(page, "a head.png", encode(HEAD))
    (face,) = reconstructor(HEAD)
    return face


def test_the_head_turns(page: Any, portrait_face: Face) -> None:
    start = canvas(page)
    assert start.std() > 20  # not blank
    page.focus("#head")
    page.keyboard.press("ArrowRight")
    by_key = canvas(page)
    assert differ(start, by_key) > 2
    page.keyboard.press("0")
    assert differ(start, canvas(page)) < 0.5
    box = page.locator("#head").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=3)
    page.mouse.up()
    assert differ(start, canvas(page)) > 2
    page.focus("#head")
    page.keyboard.press("0")
    page.locator("#frontal").fill("100")
    assert differ(start, canvas(page)) > 0.5
    page.locator("#frontal").fill("0")


def test_shadings_differ(page: Any, portrait_face: Face) -> None:
    pictures = []
    for shading in ("texture", "shaded", "wireframe", "pncc"):
        page.check(f"#shading input[value={shading}]")
        pictures.append(canvas(page))
    page.check("#shading input[value=texture]")
    for i, one in enumerate(pictures):
        assert all(differ(one, other) > 2 for other in pictures[:i])
    assert differ(pictures[0], canvas(page)) < 0.5


def test_overlays_are_switched(page: Any, portrait_face: Face) -> None:
    before = saved(page, "png")
    pictures = {}
    for name in ("landmarks", "wireframe", "depth", "pose", "box"):
        page.locator(f"#overlays input[name={name}]").click()
        page.wait_for_timeout(300)
        pictures[name] = saved(page, "png")
        page.locator(f"#overlays input[name={name}]").click()
    assert len({before, *pictures.values()}) == 6
    assert cv2.imdecode(np.frombuffer(before, np.uint8), 1).shape == (240, 240, 3)


def test_downloads_are_pythons(page: Any, portrait_face: Face, repository: Path) -> None:
    expected = portrait_face.mesh()
    glb = trimesh.load(io.BytesIO(saved(page, "glb")), "glb", force="mesh", process=False)
    np.testing.assert_array_equal(glb.faces, expected.triangles)
    np.testing.assert_allclose(glb.vertices, expected.vertices, atol=1e-4)
    assert differ(glb.vertex_normals, expected.normals) < 0.01
    texture = np.asarray(glb.visual.material.baseColorTexture.convert("RGB")).astype(int)
    assert texture.shape == expected.texture.shape
    assert differ(*on_skin(portrait_face, texture, expected.texture)) < 2
    ply = trimesh.load(io.BytesIO(saved(page, "ply")), "ply", process=False)
    np.testing.assert_allclose(ply.vertices, expected.vertices, atol=1e-4)
    assert ply.visual.vertex_colors.shape == (len(expected.vertices), 4)
    with zipfile.ZipFile(io.BytesIO(saved(page, "obj"))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a_head.obj", "a_head.mtl", "a_head_obj.png"]
        obj = archive.read("a_head.obj").decode()
    assert obj.startswith("mtllib a_head.mtl\nusemtl a_head_obj\n")
    assert obj.count("\nv ") == len(expected.vertices)
    record = json.loads(saved(page, "json"))
    schema = json.loads((repository / "src/prnet/assets/faces.schema.json").read_text())
    jsonschema.validate(record, schema)
    assert record["file"] == "a head.png"


@pytest.fixture
def head_shown(page: Any, portrait_face: Face) -> Iterator[None]:
    """The portrait's head in place of its face."""
    page.check("#shape-head")
    page.wait_for_selector("body[data-shape=head]", timeout=60_000)
    yield
    page.check("#shape-face")
    page.wait_for_selector("body[data-shape=face]")


def test_sliders_move_the_head(page: Any, portrait_face: Face, head_shown: None) -> None:
    assert page.locator("#sliders input[type=range]").count() == len(portrait_face.expression) == 51
    for name, weight in portrait_face.expression.items():
        shown = float(page.input_value(f"[data-name={name}]"))
        assert shown == pytest.approx(weight, abs=WEIGHT)
    in_photo = canvas(page)
    page.click("#neutral")
    neutral = canvas(page)
    assert differ(in_photo, neutral) > 0.3
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        page.focus(f"[data-name={name}]")
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        assert page.get_attribute(f"[data-name={name}]", "aria-valuetext") == "100 %"
        assert differ(neutral, canvas(page)) > 0.03
        page.click("#neutral")
        assert differ(neutral, canvas(page)) < 0.01
    page.click("#as-photo")
    assert differ(in_photo, canvas(page)) < 0.01


def picture(file: Any) -> np.ndarray:
    """The first texture of a GLB: RGB."""
    place = file.bufferViews[file.images[0].bufferView]
    content = file.blob[place.byteOffset : place.byteOffset + place.byteLength]
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_the_heads_file_is_pythons(page: Any, portrait_face: Face, head_shown: None) -> None:
    own, expected = read(saved(page, "head")), read(encode_heads([portrait_face.head()]))
    (mesh,), (python,) = own.meshes, expected.meshes
    assert mesh.extras.targetNames == python.extras.targetNames
    np.testing.assert_allclose(mesh.weights, python.weights, atol=WEIGHT)
    skins = on_skin(portrait_face, *(picture(file) for file in (own, expected)))
    assert differ(*skins) < 3
    for ours, theirs in zip(mesh.primitives, python.primitives, strict=True):
        name = expected.materials[theirs.material].name
        assert own.materials[ours.material].name == name
        for key, most in (("POSITION", METRES), ("NORMAL", 0.1), ("TEXCOORD_0", 1e-4)):
            if hasattr(theirs.attributes, key):
                found = accessor(own, getattr(ours.attributes, key))
                there = accessor(expected, getattr(theirs.attributes, key))
                np.testing.assert_allclose(found, there, atol=most, err_msg=f"{name} {key}")
        for moved, target in zip(ours.targets, theirs.targets, strict=True):
            found, there = accessor(own, moved.POSITION), accessor(expected, target.POSITION)
            np.testing.assert_allclose(found, there, atol=METRES, err_msg=name)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"hello", "notes.txt is not a photo that this browser can read"),
        ("empty.png", b"", "empty.png is empty"),
        ("wall.png", encode(np.full((90, 90, 3), 99, np.uint8)), "No face was found in wall.png"),
    ],
)
def test_what_goes_wrong_is_said(page: Any, name: str, content: bytes, words: str) -> None:
    show(page, name, content)
    assert words in page.inner_text("#error")


def test_keys_alone_lead_to_a_head(page: Any) -> None:
    page.evaluate("delete document.body.dataset.shown; document.activeElement.blur()")
    page.focus("#pick")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the sample
    page.wait_for_selector(SHOWN, timeout=30_000)
    assert page.inner_text("#status").startswith("astronaut.jpg: 1 face in ")
    show(page, "three.png", encode(crowd()))
    page.focus("#tab-0")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-1", "aria-selected") == "true"
    assert page.evaluate("document.activeElement.id") == "tab-1"
    page.wait_for_selector("body[data-shown$=':1']")


def test_it_fits_a_phone_and_the_dark(page: Any, head_shown: None) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1200, "height": 1000})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    page: Any, head_shown: None, repository: Path, scheme: str
) -> None:
    axe = repository / "web/node_modules/axe-core/axe.min.js"
    if not axe.is_file():
        pytest.skip("axe is not installed: npm ci in web/")
    page.emulate_media(color_scheme=scheme)
    page.evaluate(axe.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(result => result.violations)")
    page.emulate_media(color_scheme="light")
    assert [f"{each['id']}: {each['help']}" for each in found] == []


def test_the_camera_is_tracked(page: Any) -> None:
    page.click("#camera")
    deadline = time.monotonic() + 30
    while "frames a second" not in page.inner_text("#status"):
        assert time.monotonic() < deadline, page.inner_text("#error")
        page.wait_for_timeout(100)
    assert canvas(page).std() > 20
    page.click("#camera")
    assert page.inner_text("#status") == "Ready."


def test_a_plain_web_server_will_do(browser: Any, host: Callable[[bool], str]) -> None:
    """Without isolation there is one thread; and the address may be any."""
    page = browser.new_page()
    page.goto(host(False))
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    assert page.get_attribute("body", "data-threads") == "1"
    show(page, "head.png", encode(HEAD))
    assert page.inner_text("#status").startswith("head.png: 1 face")
    page.close()


def test_a_missing_head_is_said(browser: Any, host: Callable[[bool], str]) -> None:
    page = browser.new_page()
    page.route("**/head.bin.gz", lambda route: route.fulfill(status=404))
    page.goto(host(False))
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    show(page, "head.png", encode(HEAD))
    page.click("#shape-head")  # which doesn't stay checked
    page.wait_for_selector(PROBLEM, timeout=60_000)
    assert page.inner_text("#error") == "head.bin.gz could not be fetched: 404."
    assert page.is_checked("#shape-face")
    assert json.loads(saved(page, "json"))["faces"][0]["expression"] is None
    assert "without expressions" in page.inner_text("#error")
    page.close()


def test_a_missing_file_is_said(browser: Any, host: Callable[[bool], str]) -> None:
    page = browser.new_page()
    page.route("**/network.onnx", lambda route: route.fulfill(status=404))
    page.goto(host(False))
    page.wait_for_selector(PROBLEM, timeout=60_000)
    assert page.inner_text("#error") == "network.onnx could not be fetched: 404."
    page.close()
