// A position map moved so that a profile's outline meets the photo's: src/prnet/uv/outline.py.

import { cutOut, type Picture, shrinkArea } from "./picture";
import type { Atlas } from "./contract";
import { isCovered, type Silhouette } from "./edges";
import type { Matrix3 } from "./similarity";

const MIN_TURN = 0.5;
const REACH = 15; // in steps
const STEP = 0.003; // of the face's size
const SKIN_ZONE: [number, number] = [-0.11, -0.03];
const BACKGROUND_ZONE: [number, number] = [0.05, 0.11];
const BEYOND = 0.012;
const MIN_ACROSS = 0.7;
const HOLE_REACH: [number, number] = [8, 2]; // rows and columns
const NORMAL_KERNEL = gaussian(2.5, 8);
const MOVED_KERNEL = gaussian(4, 12);
const LEARNED_ROWS = 10;
const LEAST_ROWS = 20;
const LUMA_SHARE = 0.3;
const CONTRAST = 25;
const BORDER_SHARE = 0.35;
const STRAIGHTNESS = 0.1;
const NEARNESS = 0.6;
const MIDLINE: [number, number] = [0.1, 0.2];
const GAP_ROWS: [number, number] = [8, 24];
const RADIUS = 0.15;

/** A Gaussian's weights from −half to half, their sum 1. */
export function gaussian(sigma: number, half: number): number[] {
  const weights = Array.from({ length: 2 * half + 1 }, (_, i) => Math.exp(-((i - half) ** 2) / (2 * sigma ** 2)));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

interface Outline {
  rows: number[];
  columns: number[];
  points: [number, number][];
  normals: [number, number][];
}

/** The position map moved across the photo so that a profile's outline meets the photo's; itself if there is none. */
export function meetOutline(
  photo: Picture, map: Float32Array, normals: Float32Array, atlas: Atlas, rotation: Matrix3, silhouette: Silhouette,
): Float32Array {
  const ahead = [rotation[0][2], -rotation[1][2]];
  if (Math.hypot(...ahead) < MIN_TURN) return map;
  const side = atlas.size;
  const { size } = silhouette;
  const outline = findOutline(map, normals, atlas, ahead, silhouette);
  if (!outline) return map;
  const { rows, columns, points } = outline;
  const offsets = placeBorder(readProfiles(photo, outline, size), points, size);
  const moves = spreadRows(outline.normals.map((normal, k) => scaled(normal, offsets[k] * size)), rows, columns, side);
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const moved = map.slice();
  for (let row = 0; row < side; row++) {
    if (!moves[row][0] && !moves[row][1]) continue;
    const [x, y] = [interpolate(row, rows, xs), interpolate(row, rows, ys)];
    for (let i = 3 * row * side; i < 3 * (row + 1) * side; i += 3) {
      const share = Math.max(1 - Math.hypot(map[i] - x, map[i + 1] - y) / size / RADIUS, 0);
      const smooth = share * share * (3 - 2 * share);
      moved[i] += moves[row][0] * smooth;
      moved[i + 1] += moves[row][1] * smooth;
    }
  }
  return moved;
}

function findOutline(
  map: Float32Array, vertexNormals: Float32Array, atlas: Atlas, ahead: number[], silhouette: Silhouette,
): Outline | null {
  const side = atlas.size;
  const vertexOf = new Int32Array(side * side).fill(-1);
  atlas.vertexIndex.forEach((pixel, v) => (vertexOf[pixel] = v));
  const furthest: { row: number; column: number; across: [number, number]; isOutline: boolean }[] = [];
  for (let row = 0; row < side; row++) {
    let [column, reach] = [-1, -Infinity];
    for (let x = 0; x < side; x++) {
      const i = row * side + x;
      const here = map[3 * i] * ahead[0] + map[3 * i + 1] * ahead[1];
      if (vertexOf[i] >= 0 && here > reach) [column, reach] = [x, here];
    }
    if (column < 0) continue;
    const v = 3 * vertexOf[row * side + column];
    const across: [number, number] = [vertexNormals[v], -vertexNormals[v + 1]];
    const isOutline = Math.hypot(...across) > MIN_ACROSS && !isNearHole(vertexOf, side, row, column);
    furthest.push({ row, column, across, isOutline });
  }
  const normals = blurRows(furthest.map(({ across, isOutline }) => scaled(across, isOutline ? 1 : 0)), NORMAL_KERNEL);
  const outline: Outline = { rows: [], columns: [], points: [], normals: [] };
  furthest.forEach(({ row, column, isOutline }, k) => {
    const i = 3 * (row * side + column);
    const normal = scaled(normals[k], 1 / Math.max(Math.hypot(...normals[k]), 1e-6));
    const [dx, dy] = scaled(normal, BEYOND * silhouette.size);
    if (!isOutline || isCovered(silhouette, map[i] + dx, map[i + 1] + dy)) return;
    outline.rows.push(row);
    outline.columns.push(column);
    outline.points.push([map[i], map[i + 1]]);
    outline.normals.push(normal);
  });
  return outline.rows.length < LEAST_ROWS ? null : outline;
}

function isNearHole(vertexOf: Int32Array, side: number, row: number, column: number): boolean {
  for (let y = Math.max(row - HOLE_REACH[0], 0); y <= Math.min(row + HOLE_REACH[0], side - 1); y++) {
    for (let x = Math.max(column - HOLE_REACH[1], 0); x <= Math.min(column + HOLE_REACH[1], side - 1); x++) {
      if (vertexOf[y * side + x] < 0) return true;
    }
  }
  return false;
}

/** How much of the background the photo shows along the normals, outward: negative for skin. */
function readProfiles(photo: Picture, { points, normals }: Outline, size: number): Float64Array[] {
  const count = Math.round(BACKGROUND_ZONE[1] / STEP);
  const offsets = Array.from({ length: 2 * count }, (_, i) => (i - count + 0.5) * STEP);
  const places = points.map(([x, y], k) =>
    offsets.map((offset): [number, number] => [x + normals[k][0] * offset * size, y + normals[k][1] * offset * size]),
  );
  const colors = readColors(photo, places, STEP * size);
  const zone = ([from, to]: [number, number]) => offsets.flatMap((offset, i) => (offset > from && offset < to ? [i] : []));
  const skin = learn(colors, zone(SKIN_ZONE));
  const background = learn(colors, zone(BACKGROUND_ZONE));
  return colors.map((line, k) => {
    const profile = new Float64Array(2 * REACH);
    if (Number.isNaN(skin[k][0] + background[k][0])) return profile;
    const apart = background[k].map((value, c) => value - skin[k][c]);
    const contrast = Math.hypot(...apart);
    return profile.map((_, i) => {
      const color = line[count - REACH + i];
      if (!color) return 0;
      const along = color.reduce((sum, value, c) => sum + (value - skin[k][c]) * apart[c], 0);
      const share = along / Math.max(contrast ** 2, 1e-6) - BORDER_SHARE;
      return Math.min(Math.max(share, -0.5), 0.5) * Math.min(contrast / CONTRAST, 1);
    });
  });
}

/** Luma, less weighted, and chroma at places of the photo; null beyond its edges. */
function readColors(photo: Picture, places: [number, number][][], stepPx: number): (number[] | null)[][] {
  const [xs, ys] = [0, 1].map((axis) => places.flatMap((line) => line.map((place) => place[axis])));
  const bound = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  const left = bound(Math.floor(xs.reduce((a, b) => Math.min(a, b))), photo.width);
  const top = bound(Math.floor(ys.reduce((a, b) => Math.min(a, b))), photo.height);
  const right = bound(Math.ceil(xs.reduce((a, b) => Math.max(a, b))) + 1, photo.width);
  const bottom = bound(Math.ceil(ys.reduce((a, b) => Math.max(a, b))) + 1, photo.height);
  if (right <= left || bottom <= top) return places.map((line) => line.map(() => null));
  const whole = cutOut(photo, left, top, right, bottom);
  const shrunk = (length: number) => (stepPx > 1.5 ? Math.max(Math.round(length / stepPx), 1) : length);
  const [width, height] = [shrunk(whole.width), shrunk(whole.height)];
  const { data } = width < whole.width || height < whole.height ? shrinkArea(whole, width, height) : whole;
  return places.map((line) =>
    line.map(([px, py]) => {
      if (!(px - left > -0.5 && px < right - 0.5 && py - top > -0.5 && py < bottom - 0.5)) return null;
      const x = bound((px - left + 0.5) * (width / whole.width) - 0.5, width - 1);
      const y = bound((py - top + 0.5) * (height / whole.height) - 0.5, height - 1);
      const [x0, y0] = [Math.floor(x), Math.floor(y)];
      const [x1, y1] = [Math.min(x0 + 1, width - 1), Math.min(y0 + 1, height - 1)];
      const [r, g, b] = [0, 1, 2].map((c) => {
        const at = (row: number, column: number) => data[(row * width + column) * 3 + c];
        const upper = at(y0, x0) + (at(y0, x1) - at(y0, x0)) * (x - x0);
        return upper + (at(y1, x0) + (at(y1, x1) - at(y1, x0)) * (x - x0) - upper) * (y - y0);
      });
      const luma = 0.299 * r + 0.587 * g + 0.114 * b;
      return [luma * LUMA_SHARE, (r - luma) * 0.713, (b - luma) * 0.564];
    }),
  );
}

/** Usual colors of some steps around each row; NaN where none is known. */
function learn(colors: (number[] | null)[][], steps: number[]): number[][] {
  const known = colors.map((line) => steps.flatMap((step) => line[step] ?? []));
  return colors.map((_, row) => {
    const near = known.slice(Math.max(row - LEARNED_ROWS, 0), row + LEARNED_ROWS + 1);
    const count = near.reduce((sum, line) => sum + line.length / 3, 0);
    return [0, 1, 2].map((c) => {
      const values = new Float64Array(count);
      let to = 0;
      for (const line of near) for (let i = c; i < line.length; i += 3) values[to++] = line[i];
      values.sort();
      return (values[(count - 1) >> 1] + values[count >> 1]) / 2;
    });
  });
}

/** Where on each normal skin ends, in shares of the face's size, positive outward. */
function placeBorder(profiles: Float64Array[], points: [number, number][], size: number): number[] {
  const states = 2 * REACH + 1;
  const origins: Int32Array[] = [];
  let total = new Float64Array(states);
  profiles.forEach((profile, k) => {
    const cost = new Float64Array(states);
    const sum = profile.reduce((a, b) => a + b);
    for (let state = 0, inner = 0; state < states; inner += profile[state++]) {
      cost[state] = 2 * inner - sum + NEARNESS * ((state - REACH) / REACH) ** 2;
    }
    if (!k) {
      total = cost;
      return;
    }
    const step = Math.hypot(points[k][0] - points[k - 1][0], points[k][1] - points[k - 1][1]) / (STEP * size);
    const bend = STRAIGHTNESS / Math.max(step, 0.7);
    const origin = new Int32Array(states);
    for (let to = 0; to < states; to++) {
      let least = Infinity;
      for (let from = 0; from < states; from++) {
        const way = total[from] + bend * (from - to) ** 2;
        if (way < least) [least, origin[to]] = [way, from];
      }
      cost[to] += least;
    }
    origins.push(origin);
    total = cost;
  });
  const path = [total.indexOf(Math.min(...total))];
  for (const origin of origins.reverse()) path.push(origin[path[path.length - 1]]);
  return path.reverse().map((state) => (state - REACH) * STEP);
}

/** The outline's moves for all rows of the map, where it is the midline's. */
function spreadRows(
  moves: [number, number][], rows: number[], columns: number[], side: number,
): [number, number][] {
  const fade = (value: number, [low, high]: [number, number]) => Math.min(Math.max((high - value) / (high - low), 0), 1);
  const [xs, ys] = [0, 1].map((axis) => moves.map((move) => move[axis]));
  const spread = Array.from({ length: side }, (_, row) => {
    const off = Math.abs((interpolate(row, rows, columns) + 0.5) / side - 0.5);
    const gap = rows.reduce((least, known) => Math.min(least, Math.abs(known - row)), Infinity);
    const share = fade(off, MIDLINE) * fade(gap, GAP_ROWS);
    return scaled([interpolate(row, rows, xs), interpolate(row, rows, ys)], share);
  });
  return blurRows(spread, MOVED_KERNEL);
}

/** Linear between known places, rising; constant beyond them. */
function interpolate(place: number, places: number[], values: number[]): number {
  const next = places.findIndex((known) => known >= place);
  if (next < 0) return values[values.length - 1];
  if (next === 0) return values[0];
  const share = (place - places[next - 1]) / (places[next] - places[next - 1]);
  return values[next - 1] + (values[next] - values[next - 1]) * share;
}

function blurRows(values: [number, number][], kernel: number[]): [number, number][] {
  const half = kernel.length >> 1;
  return values.map((_, row) => {
    const sum: [number, number] = [0, 0];
    kernel.forEach((weight, k) => {
      const from = values[Math.min(Math.max(row + k - half, 0), values.length - 1)];
      sum[0] += weight * from[0];
      sum[1] += weight * from[1];
    });
    return sum;
  });
}

const scaled = ([x, y]: [number, number], factor: number): [number, number] => [x * factor, y * factor];
