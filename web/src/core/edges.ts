// How near an outline a photo shows a face's points: distance_from_edges of src/prnet/uv/visibility.py.

import { drawDepth } from "./surface";

export const EDGE_DISTANCE: [number, number] = [0.004, 0.01]; // shares of the face's size
const BLURRED_PX = 2.5;
const OPENING_FACTOR = 2.5;
const BUFFER_SIZE = 512;
const DEPTH_STEP = 0.02; // of the face's longer side

/** A face drawn so large that it fills a picture: its vertices there, and how near it is, −∞ beside it. */
export interface Silhouette {
  low: number[];
  size: number; // longer side, in pixels of the photo
  points: Float32Array;
  depth: Float32Array;
}

const SIDE = BUFFER_SIZE + 2; // a rim of background all around

export function drawSilhouette(vertices: Float32Array, triangles: Uint32Array): Silhouette {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  for (let i = 0; i < vertices.length; i++) {
    const axis = i % 3;
    low[axis] = Math.min(low[axis], vertices[i]);
    if (axis < 2) high[axis] = Math.max(high[axis], vertices[i]);
  }
  const size = Math.max(high[0] - low[0], high[1] - low[1], 1e-9);
  const points = vertices.map((value, i) => ((value - low[i % 3]) * (BUFFER_SIZE - 1)) / size + 1);
  return { low, size, points, depth: drawDepth(points, triangles, SIDE, SIDE) };
}

/** How far from an outline the viewer sees the vertices, (V,), in shares of the face's size; less in small photos.
 * Where openings are going to move their rims are outlines, of less weight. */
export function distanceFromEdges(silhouette: Silhouette, willMove = false): Float32Array {
  const { size, points, depth } = silhouette;
  const isEdge = new Uint8Array(SIDE * SIDE);
  for (let at = 0; at + SIDE < depth.length; at++) {
    const here = depth[at];
    if (here === -Infinity) continue;
    for (let next = at + 1; next <= at + SIDE; next += SIDE - 1) {
      if (depth[next] > -Infinity && Math.abs(depth[next] - here) > DEPTH_STEP * BUFFER_SIZE) isEdge[at] = 1;
    }
  }
  const beside = besideFace(depth);
  const outer = distanceTransform(isEdge.map((value, i) => value | beside[i]), SIDE).distance;
  const inner = willMove ? distanceTransform(isEdge.map((value, i) => value | +(depth[i] === -Infinity)), SIDE).distance : null;
  const share = Math.min((size * EDGE_DISTANCE[1]) / BLURRED_PX, 1);
  const found = new Float32Array(points.length / 3);
  for (let v = 0; v < found.length; v++) {
    const at = Math.round(points[3 * v + 1]) * SIDE + Math.round(points[3 * v]);
    found[v] = Math.min(outer[at] * share, inner ? inner[at] / OPENING_FACTOR : Infinity) / BUFFER_SIZE;
  }
  return found;
}

/** 1 where there is no face and nothing of it all around. */
function besideFace(depth: Float32Array): Uint8Array {
  const isBeside = new Uint8Array(depth.length);
  const waiting = [0];
  isBeside[0] = 1;
  const visit = (at: number) => {
    if (at < 0 || at >= depth.length || isBeside[at] || depth[at] > -Infinity) return;
    isBeside[at] = 1;
    waiting.push(at);
  };
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const column = at % SIDE;
    visit(at - SIDE);
    visit(at + SIDE);
    if (column > 0) visit(at - 1);
    if (column + 1 < SIDE) visit(at + 1);
  }
  return isBeside;
}

/** Each pixel's distance from the nearest that is set, by OpenCV's 5 × 5 mask, and its index, −1 without any. */
export function distanceTransform(
  isSet: Uint8Array, width: number,
): { distance: Float32Array; nearest: Int32Array } {
  const distance = new Float32Array(isSet.length).fill(Infinity);
  const nearest = new Int32Array(isSet.length).fill(-1);
  for (let i = 0; i < isSet.length; i++) {
    if (isSet[i]) distance[i] = 0;
    if (isSet[i]) nearest[i] = i;
  }
  const down = [-2, -2, -1, -1, -1, -1, -1, 0];
  const right = [-1, 1, -2, -1, 0, 1, 2, -1];
  const length = [2.1969, 2.1969, 2.1969, 1.4, 1, 1.4, 2.1969, 1];
  for (const sign of [1, -1]) {
    for (let n = 0; n < isSet.length; n++) {
      const i = sign > 0 ? n : isSet.length - 1 - n;
      if (isSet[i]) continue;
      const column = i % width;
      for (let k = 0; k < 8; k++) {
        const x = column + sign * right[k];
        const from = i + sign * (down[k] * width + right[k]);
        if (x < 0 || x >= width || from < 0 || from >= isSet.length) continue;
        if (distance[from] + length[k] < distance[i]) {
          distance[i] = distance[from] + length[k];
          nearest[i] = nearest[from];
        }
      }
    }
  }
  return { distance, nearest };
}

/** Whether the face covers a place of the photo. */
export function isCovered({ low, size, depth }: Silhouette, x: number, y: number): boolean {
  const scale = (BUFFER_SIZE - 1) / size;
  const [column, row] = [Math.round((x - low[0]) * scale) + 1, Math.round((y - low[1]) * scale) + 1];
  return column >= 0 && row >= 0 && column < SIDE && row < SIDE && depth[row * SIDE + column] > -Infinity;
}
