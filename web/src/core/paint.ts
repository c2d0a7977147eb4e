// Colors of what no photo shows: scalp and neck, the linings, eyes and lashes: src/prnet/head/paint.py.

import { rasterizeChart, spread } from "./chart";
import { Ball } from "./eyes";
import type { Eye, HeadModel, Surface } from "./headModel";
import { clip, median, quantile } from "./linear";
import { emptyPicture, type Picture, rounded } from "./picture";
import { diffuse } from "./rig";
import { dot, type Pose, project, type Vector3 } from "./similarity";
import { vertexNormals } from "./surface";

type Color = [number, number, number];

const SIZE = 512; // texels a side
const TONE_CM = 1.5;
const SAMPLE_FACING = 0.5;
const SCALP_CM = -3;
const SCALP_BLEND_CM = 2;
const MOUTH_COLOR: Color = [96, 38, 36];
const SOCKET_COLOR: Color = [168, 110, 98];
const IRIS_DEG = 26;
const PUPIL_DEG = 9;
const EDGE_DEG = 2;
const FIBERS = [7, 13, 23, 37, 53]; // waves around an iris
const SCLERA: Color = [232, 226, 220];
const IRIS: Color = [96, 72, 52];
const LEAST_EYE_PX = 14;
const LASHES_PER_LID = 40;
const LASH_SHADE = 0.35; // of the hair's color
const GRAIN = 0.06;

const at = (points: ArrayLike<number>, v: number): Vector3 => [points[3 * v], points[3 * v + 1], points[3 * v + 2]];
const each = <T>(make: (channel: number) => T): [T, T, T] => [make(0), make(1), make(2)];
const medianOf = (colors: Color[]): Color => each((c) => median(colors.map((color) => color[c])));
const surfaceOf = (model: HeadModel, name: string): Surface => model.surfaces.find((s) => s.name === name)!;

/** A picture between its pixels; beyond it, its edge. */
function read({ data, width, height, channels }: Picture, x: number, y: number): Color {
  const [cx, cy] = [clip(x, 0, width - 1), clip(y, 0, height - 1)];
  const [x0, y0] = [Math.min(Math.floor(cx), Math.max(width - 2, 0)), Math.min(Math.floor(cy), Math.max(height - 2, 0))];
  const [x1, y1] = [Math.min(x0 + 1, width - 1), Math.min(y0 + 1, height - 1)];
  return each((c) => {
    const pixel = (row: number, column: number) => data[(row * width + column) * channels + c];
    const top = pixel(y0, x0) + (pixel(y0, x1) - pixel(y0, x0)) * (cx - x0);
    const bottom = pixel(y1, x0) + (pixel(y1, x1) - pixel(y1, x0)) * (cx - x0);
    return top + (bottom - top) * (cy - y0);
  });
}

/** Continue a face's skin over neck and linings, and its hair over the skull. */
export function paintBack(
  shown: Float64Array, texture: Picture, photo: Picture, pose: Pose, model: HeadModel,
): Picture {
  const { chart, skin, areas } = model;
  const colors = new Float64Array(3 * skin);
  for (let v = 0; v < chart; v++) {
    const [x, y] = [0, 1].map((k) => model.chartUv[2 * v + k] * texture.width - 0.5);
    colors.set(read(texture, x, y), 3 * v);
  }
  const border = [...model.back].filter((v) => v < chart);
  const skinTone = medianOf(border.filter((v) => shown[3 * v + 1] < SCALP_CM).map((v) => at(colors, v)));
  const hairTone = hairColor(shown, photo, pose, model) ?? medianOf(border.map((v) => at(colors, v)));
  const hold = Float64Array.from(areas, (area) => area / TONE_CM ** 2);
  const tone = new Float64Array(3 * skin);
  const hairiness = new Float64Array(skin);
  for (let v = 0; v < skin; v++) {
    const height = clip((shown[3 * v + 1] - SCALP_CM) / SCALP_BLEND_CM + 0.5, 0, 1);
    const share = height * height * (3 - 2 * height);
    hairiness[v] = height;
    tone.set(each((c) => skinTone[c] + (hairTone[c] - skinTone[c]) * share), 3 * v);
  }
  for (const v of model.mouth) tone.set(MOUTH_COLOR, 3 * v);
  for (const v of model.sockets) tone.set(each((c) => (SOCKET_COLOR[c] + skinTone[c]) / 2), 3 * v);
  for (const v of new Set([...model.mouth, ...model.sockets])) hold[v] *= 100;
  const pull = tone.map((value, i) => value * hold[Math.floor(i / 3)]);
  const found = diffuse(pull, hold, model, colors, (v) => v >= chart);
  for (let v = chart; v < skin; v++) {
    const grain = 1 + GRAIN * noise(v) * hairiness[v];
    for (let c = 3 * v; c < 3 * v + 3; c++) found[c] *= grain;
  }
  const { uv, vertices, triangles } = surfaceOf(model, "back");
  return picture(spread(rasterizeChart(uv, vertices, triangles, SIZE), found, 3));
}

const picture = (values: Float32Array): Picture => ({ width: SIZE, height: SIZE, channels: 3, data: rounded(values) });

/** About a standard normal number for each whole one: twelve even ones less six. */
function noise(seed: number): number {
  let state = (seed + 1) * 2654435761;
  let sum = -6;
  for (let k = 0; k < 12; k++) {
    state = Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9;
    sum += (state >>> 0) / 2 ** 32;
  }
  return sum;
}

/** The color above the forehead, where the photo shows the skull's front. */
function hairColor(shown: Float64Array, photo: Picture, pose: Pose, model: HeadModel): Color | null {
  const normals = vertexNormals(shown, model.skinTriangles, true);
  let brow = -Infinity;
  for (let v = 0; v < model.chart; v++) brow = Math.max(brow, shown[3 * v + 1]);
  const seen: Color[] = [];
  for (const v of model.back) {
    if (shown[3 * v + 1] <= brow - 3 || dot(pose.rotation[2], at(normals, v)) <= SAMPLE_FACING) continue;
    const [x, y] = project(pose, at(shown, v));
    if (x >= 0 && y >= 0 && x <= photo.width - 1 && y <= photo.height - 1) seen.push(read(photo, x, y));
  }
  return seen.length >= 3 ? medianOf(seen) : null;
}

/** Draw an eyeball's texture: sclera, iris with its fibers, pupil. */
export function paintEye(eye: Eye, name: string, shown: Float64Array, photo: Picture, pose: Pose, model: HeadModel): Picture {
  const { sclera, iris } = eyeColors(eye, shown, photo, pose);
  const ball = new Ball(model.vertices, eye.ball, eye.axis);
  const { uv, vertices, triangles } = surfaceOf(model, name);
  const points = spread(rasterizeChart(uv, vertices, triangles, SIZE), model.vertices, 3);
  const [ax, ay, az] = ball.axis;
  const length = Math.hypot(ax, az);
  const across: Vector3 = [az / length, 0, -ax / length]; // up × axis
  const upward: Vector3 = [ay * across[2], az * across[0] - ax * across[2], -ay * across[0]]; // axis × across
  const values = new Float32Array(points.length);
  for (let i = 0; i < SIZE * SIZE; i++) {
    const { direction, angle } = ball.gap(at(points, i));
    const around = Math.atan2(dot(direction, upward), dot(direction, across));
    let fibers = 0;
    if (angle < IRIS_DEG + EDGE_DEG) for (const k of FIBERS) fibers += Math.cos(k * around + k * k) / FIBERS.length;
    const radial = clip((angle - PUPIL_DEG) / (IRIS_DEG - PUPIL_DEG), 0, 1);
    const shade = 1.15 - 0.25 * radial + 0.22 * fibers - 0.55 * clip((radial - 0.82) / 0.18, 0, 1);
    const pupil = clip((angle - PUPIL_DEG) / EDGE_DEG + 0.5, 0, 1);
    const white = clip((angle - IRIS_DEG) / EDGE_DEG + 0.5, 0, 1);
    const dimmed = 1 - 0.25 * clip((angle - 50) / 60, 0, 1);
    for (let c = 0; c < 3; c++) {
      const inner = 8 + (iris[c] * shade - 8) * pupil;
      values[3 * i + c] = inner + (sclera[c] * dimmed - inner) * white;
    }
  }
  return picture(values);
}

/** Sclera and iris as in the photo; usual ones where it is too coarse, or the eye closed or turned away. */
function eyeColors(eye: Eye, shown: Float64Array, photo: Picture, pose: Pose): { sclera: Color; iris: Color } {
  const onPhoto = (v: number) => project(pose, at(shown, v));
  const outline = [
    ...Array.from(eye.upper, onPhoto).sort((a, b) => a[0] - b[0]),
    ...Array.from(eye.lower, onPhoto).sort((a, b) => b[0] - a[0]),
  ];
  const low = [0, 1].map((k) => Math.floor(Math.min(...outline.map((p) => p[k]))));
  const high = [0, 1].map((k) => Math.ceil(Math.max(...outline.map((p) => p[k]))));
  const width = Math.max(...outline.map((p) => p[0])) - Math.min(...outline.map((p) => p[0]));
  const usual = { sclera: SCLERA, iris: IRIS };
  if (width < LEAST_EYE_PX || Math.min(...low) < 0 || high[0] >= photo.width || high[1] >= photo.height) return usual;
  const ball = new Ball(shown, eye.ball, eye.axis);
  const front = project(pose, each((c) => ball.centre[c] + ball.axis[c] * ball.radii[0]));
  const irisPx = Math.sin((IRIS_DEG * Math.PI) / 180) * ball.radii[4] * pose.scale;
  const near: Color[] = [];
  const far: Color[] = [];
  let count = 0;
  for (let y = low[1]; y <= high[1]; y++) {
    for (let x = low[0]; x <= high[0]; x++) {
      if (!isInside(outline, x, y)) continue;
      count++;
      const apart = Math.hypot(x - front[0], y - front[1]);
      if (apart < 0.9 * irisPx) near.push(read(photo, x, y));
      if (apart > 1.15 * irisPx) far.push(read(photo, x, y));
    }
  }
  if (count < LEAST_EYE_PX) return usual;
  const between = (colors: Color[], lowest: number, highest: number): Color => {
    const light = colors.map(([r, g, b]) => (r + g + b) / 3);
    const [from, to] = [quantile(light, lowest), quantile(light, highest)];
    return medianOf(colors.filter((_, i) => light[i] >= from && light[i] <= to));
  };
  const bright = far.length >= 8 ? between(far, 0.6, 1) : null;
  return {
    sclera: bright ? each((c) => (SCLERA[c] + 2 * bright[c]) / 3) : SCLERA,
    // without the darkest, pupil and lashes, and the brightest, what the eye mirrors
    iris: near.length >= 8 ? between(near, 0.25, 0.7) : IRIS,
  };
}

/** Whether a pixel lies in an outline or on it, as polygons are filled: its corners are pixels. */
function isInside(outline: [number, number][], x: number, y: number): boolean {
  let inside = false;
  for (let i = 0; i < outline.length; i++) {
    const [ax, ay] = outline[i].map(Math.round);
    const [bx, by] = outline[(i + 1) % outline.length].map(Math.round);
    const square = (bx - ax) ** 2 + (by - ay) ** 2;
    const along = square ? clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / square, 0, 1) : 0;
    if (Math.hypot(ax + along * (bx - ax) - x, ay + along * (by - ay) - y) <= 0.5) return true;
    if (ay > y !== by > y && x < ax + ((bx - ax) * (y - ay)) / (by - ay)) inside = !inside;
  }
  return inside;
}

/** Draw lashes on their strips, six bands from root to tip: RGBA, darker than the hair on `back`. */
export function paintLashes(back: Picture): Picture {
  const color = each((c) => Math.round(LASH_SHADE * median(back.data.filter((_, i) => i % 3 === c))));
  const lashes = emptyPicture(SIZE, SIZE, 4);
  for (let y = 0; y < SIZE; y++) {
    const v = (y + 0.5) / SIZE;
    const band = Math.floor(6 * v);
    const height = clip((6 * v - band - 0.07) / 0.84, 0, 1);
    const isUpper = band < 3; // the lower lids' strips come last
    for (let x = 0; x < SIZE; x++) {
      const u = (x + 0.5) / SIZE;
      const place = u * 2 * LASHES_PER_LID + 0.8 * height ** 2 * Math.sin(9 * u + band) + 0.37 * band;
      const number = Math.floor(place);
      const length = (0.35 + 0.3 * Math.abs(Math.sin(12.9898 * number + 4.1 * band))) * (isUpper ? 1 : 0.6);
      const halfWidth = 0.22 * clip(1 - height / length, 0, 1);
      const alpha = clip((halfWidth - Math.abs(place - number - 0.5)) * 8 + 0.5, 0, 1);
      const strength = halfWidth > 0 ? (isUpper ? 0.7 : 0.2) : 0;
      const to = 4 * (y * SIZE + x);
      for (let c = 0; c < 3; c++) lashes.data[to + c] = color[c];
      lashes.data[to + 3] = Math.round(255 * alpha * strength);
    }
  }
  return lashes;
}
