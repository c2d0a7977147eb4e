// Eyeballs, seated behind the lids and turning under them, and lids that close: src/prnet/head/eyes.py.

import type { Eye, HeadModel } from "./headModel";
import { clip, interpolate, solve } from "./linear";
import type { Vector3 } from "./similarity";

const TURN_DEG = 30;
const PROFILE_DEG = 6;
const PROFILE = Float64Array.from({ length: 31 }, (_, k) => k);
const LID_DEG = 70;
const LID_GAP_CM = 0.3;
const SEAT_STEPS = 4;
const SEAT_STIFFNESS = 0.2;
const LINING_CM = 0.3;
const CLEARANCE_CM = 0.03;
const CLEARED_AT = [0.5, 0.75, 1];
const CLOSING_WIDTH_CM = 0.25;
const PUSH_WIDTH_CM = 0.3;
const OVERLAP_CM = 0.05;
const LOOKS: [string, number, number][] = [
  ["eyeLookUp", 0, 1], ["eyeLookDown", 0, -1], ["eyeLookIn", 1, 0], ["eyeLookOut", -1, 0],
];
const RADIANS = Math.PI / 180;

type Points = ArrayLike<number>;

const at = (points: Points, v: number): Vector3 => [points[3 * v], points[3 * v + 1], points[3 * v + 2]];
const minus = (a: Vector3, b: Vector3): Vector3 => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];

/** An eyeball, symmetric about its axis: longer where the cornea bulges. */
export class Ball {
  readonly centre: Vector3;
  readonly radii: Float64Array; // at steps of PROFILE_DEG from the axis

  /** The ball whose surface these vertices are. */
  constructor(points: Points, vertices: ArrayLike<number>, readonly axis: Vector3) {
    // |p|² = 2 c·p + (r² − |c|²), about the points' mean, where it is well conditioned
    const mean: Vector3 = [0, 0, 0];
    const count = vertices.length;
    const own = Array.from(vertices, (v) => at(points, v));
    for (const p of own) for (let c = 0; c < 3; c++) mean[c] += p[c] / count;
    const matrix = new Float64Array(16);
    const right = new Float64Array(4);
    for (const p of own) {
      const [x, y, z] = minus(p, mean);
      const row = [2 * x, 2 * y, 2 * z, 1];
      const square = x * x + y * y + z * z;
      for (let i = 0; i < 4; i++) {
        right[i] += row[i] * square;
        for (let j = 0; j < 4; j++) matrix[4 * i + j] += row[i] * row[j];
      }
    }
    const found = solve(matrix, right);
    this.centre = [mean[0] + found[0], mean[1] + found[1], mean[2] + found[2]];
    const total = new Float64Array(31);
    const number = new Float64Array(31);
    for (const p of own) {
      const { distance, angle } = this.towards(p);
      const step = Math.round(angle / PROFILE_DEG);
      total[step] += distance;
      number[step]++;
    }
    const known = [...number.keys()].filter((k) => number[k]);
    const radii = known.map((k) => total[k] / number[k]);
    this.radii = PROFILE.map((k) => interpolate(k, known, radii));
  }

  /** How far a point lies in front of the surface, its direction, and degrees from the axis. */
  gap(point: Vector3): { gap: number; direction: Vector3; angle: number } {
    const { distance, direction, angle } = this.towards(point);
    return { gap: distance - interpolate(angle / PROFILE_DEG, PROFILE, this.radii), direction, angle };
  }

  private towards(point: Vector3): { distance: number; direction: Vector3; angle: number } {
    const [x, y, z] = minus(point, this.centre);
    const distance = Math.max(Math.hypot(x, y, z), 1e-9);
    const direction: Vector3 = [x / distance, y / distance, z / distance];
    const cosine = direction[0] * this.axis[0] + direction[1] * this.axis[1] + direction[2] * this.axis[2];
    return { distance, direction, angle: Math.acos(clip(cosine, -1, 1)) / RADIANS };
  }
}

/** Move an eyeball, in place, so that the lids lie on it as they do on the mean head. */
export function seatEye(neutral: Float64Array, eye: Eye, model: HeadModel, offset: Float64Array): void {
  const mean = model.vertices;
  const ball = new Ball(mean, eye.ball, eye.axis);
  const lids: { v: number; expected: number }[] = [];
  for (let v = 0; v < model.chart; v++) {
    const { gap, angle } = ball.gap(at(mean, v));
    if (angle < LID_DEG && gap < LID_GAP_CM) lids.push({ v, expected: gap });
  }
  const own = new Ball(neutral, eye.ball, eye.axis);
  const rim = [...eye.upper, ...eye.lower];
  const first = [0, 1, 2].map((c) => rim.reduce((sum, v) => sum + offset[3 * v + c], 0) / rim.length) as Vector3;
  const moved: Vector3 = [...first];
  const stiffness = (SEAT_STIFFNESS * lids.length) / 3;
  for (let step = 0; step < SEAT_STEPS; step++) {
    const normal = Float64Array.from({ length: 9 }, (_, k) => (k % 4 ? 0 : stiffness));
    const right = Float64Array.from(moved, (value, c) => stiffness * (first[c] - value));
    for (const { v, expected } of lids) {
      const { gap, direction } = own.gap(minus(at(neutral, v), moved));
      for (let i = 0; i < 3; i++) {
        right[i] += direction[i] * (gap - expected);
        for (let j = 0; j < 3; j++) normal[3 * i + j] += direction[i] * direction[j];
      }
    }
    solve(normal, right).forEach((value, c) => (moved[c] += value));
  }
  for (const v of eye.ball) for (let c = 0; c < 3; c++) neutral[3 * v + c] += moved[c];
  for (const v of eye.lining) {
    let nearest = Infinity;
    let carrier = rim[0];
    for (const r of rim) {
      const apart = Math.hypot(...minus(at(mean, v), at(mean, r)));
      if (apart < nearest) [nearest, carrier] = [apart, r];
    }
    const share = Math.exp(-nearest / LINING_CM);
    for (let c = 0; c < 3; c++) {
      neutral[3 * v + c] += share * offset[3 * carrier + c] + (1 - share) * moved[c] - offset[3 * v + c];
    }
  }
}

/** Add an eyeball's turns to eyeLook…, in place: iris and pupil slide over a ball that stays. */
export function turnEye(neutral: Float64Array, eye: Eye, model: HeadModel, targets: Float32Array[]): void {
  const ball = new Ball(neutral, eye.ball, eye.axis);
  const side = eye.side === "Left" ? 1 : -1;
  for (const [name, yaw, pitch] of LOOKS) {
    const target = targets[model.names.indexOf(name + eye.side)];
    const [sy, cy] = [Math.sin(side * yaw * TURN_DEG * RADIANS), Math.cos(side * yaw * TURN_DEG * RADIANS)];
    const [sx, cx] = [Math.sin(pitch * TURN_DEG * RADIANS), Math.cos(pitch * TURN_DEG * RADIANS)];
    for (const v of eye.ball) {
      const [x, y, z] = minus(at(neutral, v), ball.centre);
      const [tx, tz] = [cy * x - sy * z, sy * x + cy * z]; // Ry, then Rx
      const turned: Vector3 = [tx + ball.centre[0], cx * y + sx * tz + ball.centre[1], cx * tz - sx * y + ball.centre[2]];
      const { gap, direction } = ball.gap(turned);
      for (let c = 0; c < 3; c++) target[3 * v + c] += turned[c] - gap * direction[c] - neutral[3 * v + c];
    }
  }
}

/** Correct eyeBlink…, in place: lids that meet, in front of the ball. */
export function closeLids(neutral: Float64Array, eye: Eye, model: HeadModel, targets: Float32Array[]): void {
  const index = model.names.indexOf(`eyeBlink${eye.side}`);
  const ball = new Ball(neutral, eye.ball, eye.axis);
  const target = targets[index];
  const share = new Float64Array(model.count);
  const { rows, moves } = model.expression[index];
  rows.forEach((v, i) => (share[v] = Math.hypot(...at(moves, i))));
  const largest = eye.upper.reduce((most, v) => Math.max(most, share[v]), 0);
  // the upper rim comes down to the lower one, at the same place along the eye
  const closed = (v: number) => [0, 1, 2].map((c) => neutral[3 * v + c] + target[3 * v + c]) as Vector3;
  const lower = Array.from(eye.lower, closed).sort((a, b) => a[0] - b[0]);
  const along = lower.map(([x]) => x);
  const missing = Array.from(eye.upper, (v): Vector3 => {
    const [x, y, z] = closed(v);
    const meet = (c: number) => interpolate(x, along, lower.map((each) => each[c]));
    return [0, meet(1) - y - OVERLAP_CM, meet(2) - z];
  });
  const lids = [...share.keys()].filter((v) => v < model.skin && share[v] / largest > 0.05);
  const change = new Float64Array(3 * model.skin);
  for (const v of lids) {
    const kernel = Array.from(eye.upper, (u) => Math.exp(-(((neutral[3 * v] - neutral[3 * u]) / CLOSING_WIDTH_CM) ** 2)));
    const total = kernel.reduce((a, b) => a + b);
    const most = Math.min(share[v] / largest, 1);
    for (let c = 0; c < 3; c++) {
      change[3 * v + c] = (most * kernel.reduce((sum, weight, u) => sum + weight * missing[u][c], 0)) / total;
    }
  }
  // then the lids' outer skin clears the ball on its way; the rims stay buried in it as they are
  const rim = new Set([...eye.upper, ...eye.lower]);
  const skin = lids.filter((v) => v < model.chart);
  const needed = skin.map((v) => {
    const before = Math.min(ball.gap(at(neutral, v)).gap, CLEARANCE_CM);
    const after = rim.has(v) ? before : CLEARANCE_CM;
    let most = 0;
    let outward: Vector3 = [0, 0, 0];
    for (const weight of CLEARED_AT) {
      const on = [0, 1, 2].map(
        (c) => neutral[3 * v + c] + weight * (target[3 * v + c] + change[3 * v + c]),
      ) as Vector3;
      const { gap, direction, angle } = ball.gap(on);
      outward = direction;
      if (angle < LID_DEG) most = Math.max(most, (before + weight * (after - before) - gap) / weight);
    }
    return { most, outward };
  });
  // what one vertex needs its neighbors get, too: the lid keeps its layers in order
  const pushes = skin.map((v, i) => {
    if (rim.has(v)) return needed[i].most;
    let push = 0;
    skin.forEach((other, j) => {
      if (needed[j].most <= push) return;
      const [x, y, z] = minus(at(neutral, v), at(neutral, other));
      push = Math.max(push, needed[j].most * Math.exp(-(x * x + y * y + z * z) / PUSH_WIDTH_CM ** 2));
    });
    return push;
  });
  skin.forEach((v, i) => {
    for (let c = 0; c < 3; c++) change[3 * v + c] += pushes[i] * needed[i].outward[c];
  });
  for (const v of lids) for (let c = 3 * v; c < 3 * v + 3; c++) target[c] += change[c];
  // lashes are carried by the lid that they grow from
  const each = eye.carriers.length / eye.lashes.length;
  eye.lashes.forEach((v, n) => {
    for (let k = n * each; k < (n + 1) * each; k++) {
      for (let c = 0; c < 3; c++) target[3 * v + c] += eye.carrierWeights[k] * change[3 * eye.carriers[k] + c];
    }
  });
}
