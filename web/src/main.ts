// The page: a photo in, what was found in it out.

import { Camera } from "./camera";
import { Client } from "./client";
import type { Contract } from "./core/contract";
import type { Box } from "./core/crop";
import { download, glb, type Mesh, meshVertices, objZip, ply, record } from "./files";
import { type Photo, readPhoto } from "./photo";
import { HeadView, type Shading } from "./view/head";
import { type Depth, drawBoxes, drawDepth, drawOverlay, type Switches } from "./view/overlay";
import type { SeenFace } from "./worker";

const SAMPLE = "astronaut.jpg";
const MOST_THREADS = 4;
const EXPECTED_BYTES = 10e6; // of the progress bar, until the sizes are known

const find = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const status = find("status");
const problem = find("error");
const progress = find<HTMLProgressElement>("progress");
const photoCanvas = find<HTMLCanvasElement>("photo");
const frontal = find<HTMLInputElement>("frontal");
const camera = new Camera();
const settings = new URLSearchParams(location.search);
const client = new Client((bytes) => {
  progress.value = Math.min(bytes / EXPECTED_BYTES, 0.99);
  status.textContent = `Loading: ${(bytes / 1e6).toFixed(1)} MB`;
});

let contract: Contract;
let triangles: Uint32Array;
let vertexOf: Int32Array; // map pixel → vertex, −1 outside
let uv: Float32Array;
let head: HeadView | null = null;
let photo: Photo | null = null;
let faces: SeenFace[] = [];
let chosen = 0;
let depth: Depth | null = null;
let textures = new Map<number, { size: number; data: Uint8Array }>();
let turn = 0; // of what is shown, so that what comes late is dropped

const opened = openAll();
opened.catch(fail);

async function openAll(): Promise<void> {
  const start = performance.now();
  progress.hidden = false;
  status.textContent = "Loading…";
  const most = Number(settings.get("threads")) || Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS);
  const result = await client.call("open", new URL(".", location.href).href, most);
  ({ contract, triangles } = result);
  const { vertexIndex, canonical, threads } = result;
  const { size } = contract.atlas;
  vertexOf = new Int32Array(size * size).fill(-1);
  uv = new Float32Array(2 * vertexIndex.length);
  vertexIndex.forEach((pixel, v) => {
    vertexOf[pixel] = v;
    uv[2 * v] = ((pixel % size) + 0.5) / size;
    uv[2 * v + 1] = (Math.floor(pixel / size) + 0.5) / size;
  });
  try {
    head = new HeadView(find<HTMLCanvasElement>("head"), { triangles, vertexIndex, canonical, size });
  } catch {
    fail(new Error("This browser can't draw in 3D: WebGL is off. The photo and the downloads still work."));
  }
  const ms = Math.round(performance.now() - start);
  document.body.dataset.ready = String(ms);
  document.body.dataset.threads = String(threads);
  const where = `${threads} thread${threads > 1 ? "s" : ""}`;
  find("about").textContent = `${contract.record.generator}, network ${contract.spec.name} on ${where}. Weights: ${contract.spec.licence}.`;
  progress.hidden = true;
  status.textContent = "Ready.";
}

/** Do something that may fail, and say so in words if it does. */
async function attempt(task: () => Promise<void>): Promise<void> {
  problem.hidden = true;
  try {
    await task();
  } catch (error) {
    fail(error as Error);
  }
}

function fail(error: Error): void {
  progress.hidden = true;
  status.textContent = "";
  problem.textContent = error.message;
  problem.hidden = false;
}

async function show(file: Blob, name: string): Promise<void> {
  stopCamera();
  const own = ++turn;
  status.textContent = `Reading ${name}…`;
  document.body.dataset.busy = "true";
  try {
    const read = await readPhoto(file, name);
    await opened;
    if (own !== turn) return;
    status.textContent = "Looking for faces…";
    progress.removeAttribute("value");
    progress.hidden = false;
    const { faces: found, times } = await client.call("reconstruct", read.pixels);
    if (own !== turn) return;
    progress.hidden = true;
    if (!found.length) {
      find("result").hidden = true;
      throw new Error(`No face was found in ${name}. A face should be at least 24 pixels wide.`);
    }
    photo = read;
    faces = found;
    depth = null;
    textures = new Map();
    find("result").hidden = false;
    const count = faces.length === 1 ? "1 face" : `${faces.length} faces`;
    status.textContent = `${name}: ${count} in ${Math.round(times.detect + times.reconstruct)} ms.`;
    document.body.dataset.times = JSON.stringify(times);
    makeTabs();
    await choose(0);
  } finally {
    if (own === turn) delete document.body.dataset.busy;
  }
}

function makeTabs(): void {
  const tabs = faces.map((face, i) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `tab-${i}`;
    tab.role = "tab";
    tab.setAttribute("aria-controls", "panes");
    tab.append(thumbnail(face), `Face ${i + 1}`);
    tab.addEventListener("click", () => attempt(() => choose(i)));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (i + step + faces.length) % faces.length;
      attempt(() => choose(next));
      find(`tab-${next}`).focus();
    });
    return tab;
  });
  find("tabs").replaceChildren(...tabs);
}

function thumbnail({ box: [x0, y0, x1, y1] }: SeenFace): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  canvas.setAttribute("aria-hidden", "true");
  const side = 1.5 * Math.max(x1 - x0, y1 - y0);
  const source = canvasOf(photo!.pixels);
  canvas.getContext("2d")!.drawImage(
    source, (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, side, 0, 0, 64, 64,
  );
  return canvas;
}

const pictures = new WeakMap<ImageData, OffscreenCanvas>();

function canvasOf(pixels: ImageData): OffscreenCanvas {
  let canvas = pictures.get(pixels);
  if (!canvas) {
    canvas = new OffscreenCanvas(pixels.width, pixels.height);
    canvas.getContext("2d")!.putImageData(pixels, 0, 0);
    pictures.set(pixels, canvas);
  }
  return canvas;
}

async function choose(index: number): Promise<void> {
  chosen = index;
  const own = turn;
  faces.forEach((_, i) => {
    const tab = find(`tab-${i}`);
    tab.setAttribute("aria-selected", String(i === index));
    tab.tabIndex = i === index ? 0 : -1;
  });
  find("panes").setAttribute("aria-labelledby", `tab-${index}`);
  drawPhoto();
  tellFacts(faces[index]);
  const texture = await textureOf(index);
  if (own !== turn || chosen !== index || !head) return;
  head.setShape(meshVertices(faces[index]), faces[index].normals, faces[index].pose.rotation);
  head.setTexture(texture.size, texture.data);
  head.setFrontal(Number(frontal.value) / 100);
  document.body.dataset.shown = `${own}:${index}`;
}

async function textureOf(index: number) {
  const texture = textures.get(index) ?? (await client.call("texture", index));
  textures.set(index, texture);
  return texture;
}

function tellFacts({ pose, score }: SeenFace, more: [string, string][] = []): void {
  const degrees = (value: number) => `${value.toFixed(1)}°`;
  const facts: [string, string][] = [
    ["Yaw", degrees(pose.yaw)], ["Pitch", degrees(pose.pitch)], ["Roll", degrees(pose.roll)],
    ["Score", score.toFixed(2)], ...more,
  ];
  find("facts").replaceChildren(
    ...facts.map(([name, value]) => {
      const pair = document.createElement("div");
      pair.append(Object.assign(document.createElement("dt"), { textContent: name }));
      pair.append(Object.assign(document.createElement("dd"), { textContent: value }));
      return pair;
    }),
  );
}

const switches = (): Switches => {
  const boxes = document.querySelectorAll<HTMLInputElement>("#overlays input");
  return Object.fromEntries([...boxes].map((box) => [box.name, box.checked])) as Switches;
};

function drawPhoto(): void {
  if (!photo) return;
  const wanted = switches();
  const { pixels } = photo;
  photoCanvas.width = pixels.width;
  photoCanvas.height = pixels.height;
  const context = photoCanvas.getContext("2d")!;
  context.drawImage(canvasOf(pixels), 0, 0);
  if (wanted.depth && depth) drawDepth(context, depth);
  if (wanted.box) drawBoxes(context, faces, chosen);
  drawOverlay(context, faces[chosen], contract, vertexOf, wanted);
}

async function switchOverlay(): Promise<void> {
  const own = turn;
  if (switches().depth && !depth && !camera.isOn) {
    const drawn = await client.call("depth");
    if (own === turn) depth = drawn;
  }
  drawPhoto();
}

async function save(format: string): Promise<void> {
  if (!photo) return;
  const stem = photo.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._-]+/g, "_") || "photo";
  const { width, height } = photo.pixels;
  if (format === "json") {
    return download(record(contract, stem, photo.name, width, height, faces), `${stem}.json`);
  }
  const name = chosen ? `${stem}_face${chosen + 1}` : stem;
  if (format === "png") {
    const blob = await new Promise<Blob | null>((done) => photoCanvas.toBlob(done));
    if (!blob) throw new Error("There is not enough memory for this picture.");
    return download(blob, `${name}_overlay.png`);
  }
  const face = faces[chosen];
  const texture = await textureOf(chosen);
  const { normals } = face;
  const mesh: Mesh = {
    vertices: meshVertices(face), normals, triangles, uv, size: texture.size, rgb: texture.data,
  };
  if (format === "glb") download(await glb(mesh), `${name}.glb`);
  if (format === "obj") download(await objZip(mesh, name), `${name}.zip`);
  if (format === "ply") download(ply(mesh), `${name}.ply`);
}

async function toggleCamera(): Promise<void> {
  if (camera.isOn) return stopCamera();
  await opened;
  await camera.start();
  const own = ++turn;
  document.body.dataset.camera = "0";
  const button = find("camera");
  button.textContent = "Stop the camera";
  button.setAttribute("aria-pressed", "true");
  find("downloads").hidden = true;
  find("tabs").replaceChildren();
  find("result").hidden = false;
  let box: Box | null = null;
  let times: number[] = [];
  while (camera.isOn && own === turn) {
    const frame = camera.frame();
    const followed: { face: SeenFace; next: Box } | null = await client.call("follow", frame, box);
    if (own !== turn) return;
    box = followed?.next ?? null;
    times = [...times, performance.now()].slice(-20);
    const rate = times.length > 1 ? ((times.length - 1) * 1000) / (times.at(-1)! - times[0]) : 0;
    document.body.dataset.camera = rate.toFixed(1);
    status.textContent = followed ? `${rate.toFixed(1)} frames a second` : "No face in sight.";
    photo = { name: "camera.png", pixels: frame };
    faces = followed ? [followed.face] : [];
    chosen = 0;
    depth = null;
    showFrame(frame);
    await new Promise(requestAnimationFrame);
  }
}

function showFrame(frame: ImageData): void {
  photoCanvas.width = frame.width;
  photoCanvas.height = frame.height;
  const context = photoCanvas.getContext("2d")!;
  context.putImageData(frame, 0, 0);
  const [face] = faces;
  if (!face) return;
  tellFacts(face);
  head?.setShape(meshVertices(face), face.normals, face.pose.rotation);
  head?.setPicture(plainFrame(frame), face.vertices);
  head?.setFrontal(Number(frontal.value) / 100);
  drawOverlay(context, face, contract, vertexOf, switches());
}

const frameCanvas = document.createElement("canvas"); // the frame without what is drawn on it

function plainFrame(frame: ImageData): HTMLCanvasElement {
  if (frameCanvas.width !== frame.width) frameCanvas.width = frame.width;
  if (frameCanvas.height !== frame.height) frameCanvas.height = frame.height;
  frameCanvas.getContext("2d")!.putImageData(frame, 0, 0);
  return frameCanvas;
}

function stopCamera(): void {
  if (!camera.isOn) return;
  camera.stop();
  turn++;
  delete document.body.dataset.camera;
  const button = find("camera");
  button.textContent = "Use the camera";
  button.setAttribute("aria-pressed", "false");
  find("downloads").hidden = false;
  find("result").hidden = true;
  photo = null;
  faces = [];
  status.textContent = "Ready.";
}

const fileInput = find<HTMLInputElement>("file");
find("pick").addEventListener("click", () => fileInput.click());
fileInput.addEventListener("change", () => {
  const [file] = fileInput.files ?? [];
  fileInput.value = "";
  if (file) attempt(() => show(file, file.name));
});
// fetched with the rest, so that it is there without a network, too
const sample = fetch(SAMPLE).then((response) => (response.ok ? response.blob() : null)).catch(() => null);
find("sample").addEventListener("click", () =>
  attempt(async () => {
    const blob = await sample;
    if (!blob) throw new Error("The sample photo could not be fetched.");
    await show(blob, SAMPLE);
  }),
);
find("camera").addEventListener("click", () => attempt(toggleCamera));
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    find("choose").classList.toggle("over", type === "dragover");
  });
}
document.addEventListener("drop", (event) => take(event.dataTransfer, "What was dropped"));
document.addEventListener("paste", (event) => take(event.clipboardData, "What was pasted"));

function take(data: DataTransfer | null, what: string): void {
  const [file] = data?.files ?? [];
  if (file) attempt(() => show(file, file.name));
  else fail(new Error(`${what} is not a file. Take a photo as a file.`));
}

find("overlays").addEventListener("change", () => attempt(switchOverlay));
find("shading").addEventListener("change", (event) => {
  head?.setShading((event.target as HTMLInputElement).value as Shading);
});
frontal.addEventListener("input", () => head?.setFrontal(Number(frontal.value) / 100));
find("downloads").addEventListener("click", (event) => {
  const { format } = (event.target as HTMLElement).dataset;
  if (format) attempt(() => save(format));
});
