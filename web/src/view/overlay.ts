// What is drawn on the photo: src/prnet/draw/overlay.py, on a canvas.

import type { Contract } from "../core/contract";
import { dot, type Vector3 } from "../core/similarity";
import type { SeenFace } from "../worker";

export type Switches = Record<"landmarks" | "wireframe" | "depth" | "pose" | "box", boolean>;
export type Depth = { data: Float32Array; width: number; height: number };

const AXES = ["#eb3c3c", "#3cc850", "#4678ff"]; // the head's x, y, z
const AXIS_CM = 5;
const NOSE_TIP = 30;
const WIRE_STEP = 8; // map pixels between wires
const WIRE_COLOR = "rgb(190 225 255 / 0.8)";
const LINE_SHARE = 1 / 140; // line width by face size

export function drawOverlay(
  context: CanvasRenderingContext2D, face: SeenFace, contract: Contract, vertexOf: Int32Array,
  switches: Switches,
): void {
  const [x0, y0, x1, y1] = face.box;
  const width = Math.max(Math.sqrt((x1 - x0) * (y1 - y0)) * LINE_SHARE, 1);
  context.save();
  context.translate(0.5, 0.5); // pixel centres at integers
  context.lineJoin = context.lineCap = "round";
  context.lineWidth = width;
  if (switches.wireframe) drawWires(context, face, contract.atlas.size, vertexOf);
  if (switches.pose) drawAxes(context, face, width);
  if (switches.landmarks) drawLandmarks(context, face, contract, width);
  context.restore();
}

/** The boxes of all faces, the chosen one's bold. */
export function drawBoxes(context: CanvasRenderingContext2D, faces: SeenFace[], chosen: number): void {
  faces.forEach(({ box: [x0, y0, x1, y1] }, i) => {
    context.lineWidth = Math.max((x1 - x0) / (i === chosen ? 50 : 100), 1);
    context.strokeStyle = i === chosen ? "#ffffff" : "rgb(255 255 255 / 0.7)";
    context.strokeRect(x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0);
  });
}

/** Near is bright; where there is no face the photo stays. */
export function drawDepth(context: CanvasRenderingContext2D, depth: Depth): void {
  let low = Infinity;
  let high = -Infinity;
  for (const z of depth.data) {
    if (z === -Infinity) continue;
    if (z < low) low = z;
    if (z > high) high = z;
  }
  const picture = new ImageData(depth.width, depth.height);
  depth.data.forEach((z, i) => {
    if (z === -Infinity) return;
    const level = 40 + (215 * (z - low)) / Math.max(high - low, 1e-6);
    picture.data.set([level, level, level, 255], 4 * i);
  });
  const canvas = new OffscreenCanvas(depth.width, depth.height);
  canvas.getContext("2d")!.putImageData(picture, 0, 0);
  context.drawImage(canvas, 0, 0);
}

function drawLandmarks(
  context: CanvasRenderingContext2D, face: SeenFace, contract: Contract, width: number,
): void {
  const at = (n: number): [number, number] => [face.landmarks[3 * n], face.landmarks[3 * n + 1]];
  for (const { points, is_closed, color } of contract.parts) {
    context.strokeStyle = context.fillStyle = color;
    context.beginPath();
    for (const n of points) context.lineTo(...at(n));
    if (is_closed) context.closePath();
    context.stroke();
    for (const n of points) {
      context.beginPath();
      context.arc(...at(n), 1.4 * width, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function drawAxes(context: CanvasRenderingContext2D, face: SeenFace, width: number): void {
  const { rotation, scale } = face.pose;
  const start = face.landmarks.subarray(3 * NOSE_TIP, 3 * NOSE_TIP + 3);
  const axes = [0, 1, 2].map((axis) => {
    const unit: Vector3 = [0, 0, 0];
    unit[axis] = AXIS_CM * scale;
    const [x, y, z] = rotation.map((row) => dot(row, unit));
    return { axis, x: start[0] + x, y: start[1] - y, z };
  });
  context.lineWidth = 1.3 * width;
  for (const { axis, x, y } of axes.sort((a, b) => a.z - b.z)) {
    context.strokeStyle = AXES[axis];
    const along = [(x - start[0]) * 0.18, (y - start[1]) * 0.18];
    const across = [along[1] / 2, -along[0] / 2];
    context.beginPath();
    context.moveTo(start[0], start[1]);
    context.lineTo(x, y);
    context.moveTo(x - along[0] + across[0], y - along[1] + across[1]);
    context.lineTo(x, y);
    context.lineTo(x - along[0] - across[0], y - along[1] - across[1]);
    context.stroke();
  }
}

function drawWires(
  context: CanvasRenderingContext2D, face: SeenFace, side: number, vertexOf: Int32Array,
): void {
  const { vertices, seen } = face;
  context.save();
  context.strokeStyle = WIRE_COLOR;
  context.lineWidth /= 2;
  context.beginPath();
  for (let line = 0; line < side; line += WIRE_STEP) {
    for (const [step, start] of [[1, line * side], [side, line]]) {
      let isDown = false;
      for (let i = 0, pixel = start; i < side; i++, pixel += step) {
        const v = 3 * vertexOf[pixel];
        if (!seen[pixel]) isDown = false;
        else if (isDown) context.lineTo(vertices[v], vertices[v + 1]);
        else {
          context.moveTo(vertices[v], vertices[v + 1]);
          isDown = true;
        }
      }
    }
  }
  context.stroke();
  context.restore();
}
