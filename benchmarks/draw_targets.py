"""A head's GLB in three.js: a picture of every expression and of the head from all sides.

    NODE_PATH=…/node_modules python benchmarks/draw_targets.py head.glb targets.png

Needs the npm package three on NODE_PATH and Chromium (CHROMIUM names another browser of its kind);
draws without a GPU.
"""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

TILE, COLUMNS, ROWS = 240, 10, 7  # pixels; enough for 51 expressions and 13 views
SECONDS = 120
FLAGS = (
    *("--headless=new", "--no-sandbox", "--hide-scrollbars", "--use-gl=angle"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--virtual-time-budget=60000"),
)
PAGE = """<!doctype html><body style="margin:0"><canvas id=sheet></canvas>
<script type=importmap>{"imports":{"three":"/three/build/three.module.js"}}</script>
<script type=module>
import * as THREE from 'three';
import {GLTFLoader} from '/three/examples/jsm/loaders/GLTFLoader.js';
const size = TILE, columns = COLUMNS;
const renderer = new THREE.WebGLRenderer({antialias: true, preserveDrawingBuffer: true});
renderer.setSize(size, size);
const file = await new GLTFLoader().loadAsync('/head.glb');
const scene = new THREE.Scene();
scene.background = new THREE.Color('#445566');
const light = new THREE.DirectionalLight(0xffffff, 1.6);
scene.add(file.scene, new THREE.AmbientLight(0xffffff, 1.6), light);
const meshes = [];
file.scene.traverse(each => { if (each.morphTargetInfluences) meshes.push(each); });
const names = Object.keys(meshes[0].morphTargetDictionary);
const photo = [...meshes[0].morphTargetInfluences];
const camera = new THREE.OrthographicCamera(-1, 1, 1, -1, .01, 3);
function view(yaw, pitch, reach, height) {
  Object.assign(camera, {left: -reach, right: reach, top: reach, bottom: -reach});
  camera.updateProjectionMatrix();
  const [y, p] = [yaw, pitch].map(THREE.MathUtils.degToRad), out = Math.cos(p);
  camera.position.set(Math.sin(y) * out, height + Math.sin(p), Math.cos(y) * out + .02);
  camera.lookAt(0, height, .02);
  light.position.copy(camera.position).add(new THREE.Vector3(.5, .8, .3));
}
function express(weights) {
  for (const mesh of meshes) names.forEach((name, k) => {
    mesh.morphTargetInfluences[k] = weights[name] ?? 0; });
}
const sides = [[-90, 0], [-45, 0], [0, 0], [45, 0], [90, 0], [0, -50], [0, 50]];
const closed = {eyeBlinkLeft: 1, eyeBlinkRight: 1};
const tiles = [
  ...names.map(name => [name, () => {
    express({[name]: 1, ...(name == 'mouthClose' ? {jawOpen: 1} : {})});
    view(20, 0, .11, -.01); }]),
  ...sides.map(side => [`photo ${side}`, () => {
    express(Object.fromEntries(names.map((name, k) => [name, photo[k]])));
    view(...side, .17, -.02); }]),
  ...sides.slice(1, 7).map(side => [`closed ${side}`, () => {
    express(closed); view(...side, .17, -.02); }]),
];
const sheet = document.getElementById('sheet');
sheet.width = columns * size;
sheet.height = Math.ceil(tiles.length / columns) * size;
const pen = sheet.getContext('2d');
pen.fillStyle = 'white';
tiles.forEach(([name, prepare], k) => {
  prepare();
  renderer.render(scene, camera);
  const x = k % columns * size, y = Math.floor(k / columns) * size;
  pen.drawImage(renderer.domElement, x, y, size, size);
  pen.fillText(name, x + 4, y + 12);
});
</script>"""


def main() -> None:
    """Serve the file to a browser and keep what it draws."""
    head, out = Path(sys.argv[1]), Path(sys.argv[2])
    folders = os.environ.get("NODE_PATH", "").split(os.pathsep)
    three = next((Path(f, "three") for f in folders if f and Path(f, "three").is_dir()), None)
    browser = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if three is None or browser is None:
        sys.exit("needs three on NODE_PATH, and Chromium")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(head, Path(folder, "head.glb"))
        Path(folder, "three").symlink_to(three.resolve())
        page = PAGE.replace("TILE", str(TILE)).replace("COLUMNS", str(COLUMNS))
        Path(folder, "index.html").write_text(page)
        serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/index.html"
        window = f"--window-size={TILE * COLUMNS},{TILE * ROWS}"
        shot = f"--screenshot={out.resolve()}"
        command = [browser, *FLAGS, window, shot, address]
        subprocess.run(command, check=True, timeout=SECONDS, capture_output=True)
        server.shutdown()
    print(f"{out}: {TILE * COLUMNS}×{TILE * ROWS} pixels")


if __name__ == "__main__":
    main()
