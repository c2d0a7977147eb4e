// A face without its pose → ARKit's expression weights: src/prnet/morphable/blendshapes.py.

import type { HeadModel } from "./headModel";
import { clip, sampleMap, solve } from "./linear";
import type { Pose } from "./similarity";

const RIGID_UNIT = 0.1; // of a turn and of the size: keeps the columns alike
const RIGID = 7;

export interface Coefficients {
  expression: Float64Array; // in [0, 1], by the model's names
  identity: Float64Array;
  rigid: Float64Array;
}

/** A face's position map, photo frame → the canonical frame, cm. */
export function removePose(map: Float32Array, { scale, rotation: r, translation: t }: Pose): Float64Array {
  const out = new Float64Array(map.length);
  for (let i = 0; i < map.length; i += 3) {
    const x = (map[i] - t[0]) / scale;
    const y = (-map[i + 1] - t[1]) / scale;
    const z = (map[i + 2] - t[2]) / scale;
    for (let c = 0; c < 3; c++) out[i + c] = r[0][c] * x + r[1][c] * y + r[2][c] * z;
  }
  return out;
}

/** The head model's first vertices, read off a map. */
export function sampleChart(map: Float64Array, model: HeadModel, count: number): Float64Array {
  return sampleMap(map, Math.sqrt(map.length / 3), model.chartUv, new Float64Array(3 * count));
}

/** Fit the head model to a face: bounded, regularized least squares. */
export function fitBlendshapes(map: Float64Array, model: HeadModel): Coefficients {
  const { weight, inverse, cross, quadratic, sparsity } = model.fit;
  const count = weight.length;
  const residual = sampleChart(map, model, count);
  // both sides of the scalar products have the weight
  for (let i = 0; i < residual.length; i++) {
    residual[i] = (residual[i] - model.vertices[i]) * weight[Math.floor(i / 3)] ** 2;
  }
  const others = RIGID + model.identitySteps.length;
  const a = new Float64Array(others);
  for (let v = 0; v < count; v++) {
    rigidMotions(model.vertices, v).forEach((move, k) => {
      for (let c = 0; c < 3; c++) a[k] += move[c] * residual[3 * v + c];
    });
  }
  for (let k = RIGID; k < others; k++) {
    for (let c = 0; c < 3; c++) {
      const first = (3 * (k - RIGID) + c) * model.count;
      for (let v = 0; v < count; v++) a[k] += model.identity[first + v] * residual[3 * v + c];
    }
    a[k] *= model.identitySteps[k - RIGID];
  }
  const b = model.expression.map(({ rows, moves }) => {
    let sum = 0;
    for (let i = 0; i < rows.length; i++) {
      if (rows[i] >= count) continue;
      for (let c = 0; c < 3; c++) sum += moves[3 * i + c] * residual[3 * rows[i] + c];
    }
    return sum;
  });
  const first = multiply(inverse, a);
  const linear = multiply(cross, first).map((value, e) => b[e] - value - sparsity[e]);
  const expression = solveBounded(quadratic, linear);
  const rest = a.map((value, k) => {
    for (let e = 0; e < expression.length; e++) value -= cross[e * others + k] * expression[e];
    return value;
  });
  const found = multiply(inverse, rest);
  return { expression, identity: found.slice(RIGID), rigid: found.slice(0, RIGID) };
}

/** The neutral head of a person: (V, 3) cm. */
export function shapeOf(model: HeadModel, { identity, rigid }: Coefficients): Float64Array {
  const { count } = model;
  const points = Float64Array.from(model.vertices);
  for (let v = 0; v < count; v++) {
    rigidMotions(model.vertices, v).forEach((move, k) => {
      for (let c = 0; c < 3; c++) points[3 * v + c] += rigid[k] * move[c];
    });
  }
  identity.forEach((value, k) => {
    for (let c = 0; c < 3; c++) {
      const first = (3 * k + c) * count;
      const step = value * model.identitySteps[k];
      for (let v = 0; v < count; v++) points[3 * v + c] += step * model.identity[first + v];
    }
  });
  return points;
}

/** How a point moves when all move along an axis, turn about one, or grow. */
function rigidMotions(points: Float32Array, v: number): number[][] {
  const [x, y, z] = [points[3 * v], points[3 * v + 1], points[3 * v + 2]].map((each) => RIGID_UNIT * each);
  return [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -z, y], [z, 0, -x], [-y, x, 0], [x, y, z]];
}

function multiply(matrix: Float64Array, vector: Float64Array): Float64Array {
  const n = vector.length;
  return Float64Array.from({ length: matrix.length / n }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += matrix[i * n + j] * vector[j];
    return sum;
  });
}

/** Minimize ½ wᵀQw − cᵀw over 0 ≤ w ≤ 1 by block principal pivoting: Júdice and Pires 1994. */
export function solveBounded(quadratic: Float64Array, linear: Float64Array): Float64Array {
  const n = linear.length;
  const tolerance = 1e-9 * (1 + Math.max(...linear.map(Math.abs)));
  const state = new Int8Array(n).fill(-1); // −1 at 0, 1 at 1, 0 between
  let fewest = n + 1;
  let patience = 3;
  for (;;) {
    const free = [...state.keys()].filter((i) => !state[i]);
    const w = Float64Array.from(state, (each) => (each > 0 ? 1 : 0));
    const fixed = multiply(quadratic, w);
    const within = free.flatMap((i) => free.map((j) => quadratic[i * n + j]));
    solve(within, free.map((i) => linear[i] - fixed[i])).forEach((value, k) => (w[free[k]] = value));
    const gradient = multiply(quadratic, w).map((value, i) => value - linear[i]);
    const next = state.map((each, i) => {
      if (each) return (each < 0 ? -gradient[i] : gradient[i]) > tolerance ? 0 : each;
      return w[i] < -tolerance ? -1 : w[i] > 1 + tolerance ? 1 : 0;
    });
    const wrong = [...state.keys()].filter((i) => next[i] !== state[i]);
    if (!wrong.length) return w.map((value) => clip(value, 0, 1));
    if (wrong.length < fewest) {
      fewest = wrong.length;
      patience = 3;
    } else if (patience) patience--;
    else wrong.splice(0, wrong.length - 1); // one by one it ends for certain
    for (const i of wrong) state[i] = next[i];
  }
}
