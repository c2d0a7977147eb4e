// The page: a photo in, what was found in it out.

import { Camera } from "./camera";
import { Client } from "./client";
import type { Contract } from "./core/contract";
import type { Box } from "./core/crop";
import type { Vector3 } from "./core/similarity";
import { download, glb, headGlb, type Mesh, meshVertices, objZip, ply, record } from "./files";
import { type Photo, readPhoto } from "./photo";
import { Sliders } from "./sliders";
import { FaceMesh } from "./view/face";
import { HeadMesh } from "./view/head";
import type { Shading } from "./view/looks";
import { Stage } from "./view/stage";
import { type Depth, drawBoxes, drawDepth, drawOverlay, type Switches } from "./view/overlay";
import type { SeenFace, SeenHead } from "./worker";

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
let stage: Stage | null = null;
let faceMesh: FaceMesh | null = null;
let headMesh: HeadMesh | null = null;
let sliders: Sliders | null = null;
let photo: Photo | null = null;
let faces: SeenFace[] = [];
let chosen = 0;
let depth: Depth | null = null;
let textures = new Map<number, { size: number; data: Uint8Array }>();
let heads = new Map<number, { seen: SeenHead; weights: ArrayLike<number> }>();
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
    stage = new Stage(find<HTMLCanvasElement>("head"));
    faceMesh = new FaceMesh({ triangles, vertexIndex, canonical, size });
    stage.show(faceMesh);
    find("shape").hidden = !contract.head;
  } catch {
    fail(new Error("This browser can't draw in 3D: WebGL is off. The photo and the downloads still work."));
  }
  document.querySelector<HTMLElement>("[data-format=head]")!.hidden = !contract.head;
  const ms = Math.round(performance.now() - start);
  document.body.dataset.ready = String(ms);
  document.body.dataset.threads = String(threads);
  tellAbout(`${threads} thread${threads > 1 ? "s" : ""}`);
  progress.hidden = true;
  status.textContent = "Ready.";
}

function tellAbout(where: string): void {
  const { record: own, spec } = contract;
  find("about").textContent = `${own.generator}, network ${spec.name} on ${where}. Weights: ${spec.licence}.`;
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
    heads = new Map();
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
  if (own !== turn || chosen !== index) return;
  faceMesh?.setShape(meshVertices(faces[index]), faces[index].normals, faces[index].pose.rotation);
  faceMesh?.setTexture(texture.size, texture.data);
  await showShape();
  if (own === turn && chosen === index) document.body.dataset.shown = `${own}:${index}`;
}

const isHeadWanted = (): boolean => find<HTMLInputElement>("shape-head").checked && !camera.isOn;

/** Show the face or the whole head, as is wanted. */
async function showShape(): Promise<void> {
  if (!stage || !faceMesh) return;
  const [own, index] = [turn, chosen];
  const head = isHeadWanted() ? await headOf(index) : null;
  if (own !== turn || chosen !== index || isHeadWanted() !== Boolean(head)) return;
  find("expressions").hidden = !head;
  const old = headMesh;
  headMesh = head && new HeadMesh(head.seen, faces[index].pose.rotation, centreOf(faces[index]));
  stage.show(headMesh ?? faceMesh);
  old?.dispose();
  if (head) setWeights(head.weights);
  document.body.dataset.shape = head ? "head" : "face";
}

async function switchShape(): Promise<void> {
  try {
    await showShape();
  } catch (error) {
    find<HTMLInputElement>("shape-face").checked = true;
    await showShape();
    throw error;
  }
}

async function headOf(index: number) {
  const known = heads.get(index);
  if (known) return known;
  const own = turn;
  const before = status.textContent;
  progress.hidden = false;
  progress.removeAttribute("value");
  try {
    const start = performance.now();
    const seen = await client.call("head", index);
    document.body.dataset.headTime = String(performance.now() - start);
    const head = { seen, weights: seen.weights };
    if (own === turn) heads.set(index, head);
    return head;
  } finally {
    progress.hidden = true;
    status.textContent = before;
  }
}

/** Move the head that is shown, and the sliders. */
function setWeights(weights: ArrayLike<number>): void {
  sliders ??= new Sliders(find("sliders"), contract.head!.names, moveHead);
  sliders.weights = weights;
  moveHead(weights);
}

function moveHead(weights: ArrayLike<number>): void {
  const head = heads.get(chosen);
  if (!head) return;
  head.weights = weights;
  headMesh?.express(weights);
  stage?.render();
}

/** Where a face's mesh has its origin, canonical frame, cm. */
function centreOf({ vertices, pose }: SeenFace): Vector3 {
  const mean = [0, 0, 0];
  vertices.forEach((value, i) => (mean[i % 3] += (3 * value) / vertices.length));
  const away = [mean[0], -mean[1], mean[2]].map((value, c) => (value - pose.translation[c]) / pose.scale);
  return [0, 1, 2].map((c) => pose.rotation.reduce((sum, row, r) => sum + row[c] * away[r], 0)) as Vector3;
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
    const expressions = contract.head && (await client.call("expressions").catch((error: Error) => {
      fail(new Error(`The file was saved without expressions. ${error.message}`));
      return null;
    }));
    return download(record(contract, stem, photo.name, width, height, faces, expressions), `${stem}.json`);
  }
  const name = chosen ? `${stem}_face${chosen + 1}` : stem;
  if (format === "png") {
    const blob = await new Promise<Blob | null>((done) => photoCanvas.toBlob(done));
    if (!blob) throw new Error("There is not enough memory for this picture.");
    return download(blob, `${name}_overlay.png`);
  }
  if (format === "head") {
    const { seen, weights } = await headOf(chosen);
    return download(await headGlb(seen, contract.head!.names, weights), `${name}_head.glb`);
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
  status.textContent = "Trying the graphics card…";
  if (await client.call("quicken")) tellAbout("the graphics card");
  await camera.start();
  const own = ++turn;
  document.body.dataset.camera = "0";
  const button = find("camera");
  button.textContent = "Stop the camera";
  button.setAttribute("aria-pressed", "true");
  find("downloads").hidden = true;
  find("shape").hidden = true;
  await showShape();
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
  faceMesh?.setShape(meshVertices(face), face.normals, face.pose.rotation);
  faceMesh?.setPicture(plainFrame(frame), face.vertices);
  stage?.setFrontal(Number(frontal.value) / 100);
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
  find("shape").hidden = !contract.head;
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
  stage?.setShading((event.target as HTMLInputElement).value as Shading);
});
find("shape").addEventListener("change", () => attempt(switchShape));
find("neutral").addEventListener("click", () => setWeights(contract.head!.names.map(() => 0)));
find("as-photo").addEventListener("click", () => setWeights(heads.get(chosen)!.seen.weights));
frontal.addEventListener("input", () => stage?.setFrontal(Number(frontal.value) / 100));
find("downloads").addEventListener("click", (event) => {
  const { format } = (event.target as HTMLElement).dataset;
  if (format) attempt(() => save(format));
});
