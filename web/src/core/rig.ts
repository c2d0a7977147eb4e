// A face without its pose → a whole head: src/prnet/head/rig.py.

import { type Coefficients, sampleChart, shapeOf } from "./blendshapes";
import { rasterizeChart } from "./chart";
import { closeLids, seatEye, turnEye } from "./eyes";
import { dense, type HeadModel, sparse, type Target } from "./headModel";

const CHART_STEPS = 6;
const REACH_CM = 4;
const FIRMNESS = 50;
const FOLD_CM = 0.6;
const NEUTRAL_CM = 0.5;
const SOLVER_STEPS = 200;
const SOLVER_TOLERANCE = 1e-4;

export interface Rig {
  neutral: Float64Array; // (V, 3) canonical frame, cm
  targets: Target[];
}

/** The neutral shape and the expressions: with the coefficients' weights they are the photo's face. */
export function buildRig(map: Float64Array, coefficients: Coefficients, model: HeadModel): Rig {
  const { chart, skin, count, trust } = model;
  const weights = coefficients.expression;
  const neutral = shapeOf(model, coefficients);
  const targets = model.expression.map((target) => dense(target, count));
  const active = [...weights.keys()].filter((e) => weights[e] > 0);
  const offset = new Float64Array(3 * skin);
  fitChart(map, model).forEach((value, i) => {
    offset[i] = active.reduce((rest, e) => rest - weights[e] * targets[e][i], value - neutral[i]);
  });
  // folds of an expression go to it, all else of what the model can't say to the neutral shape
  const coarse = smooth(offset, model);
  for (let v = 0; v < chart; v++) {
    const squares = active.map((e) => targets[e][3 * v] ** 2 + targets[e][3 * v + 1] ** 2 + targets[e][3 * v + 2] ** 2);
    const total = active.reduce((sum, e, k) => sum + weights[e] ** 2 * squares[k], NEUTRAL_CM ** 2);
    for (let i = 3 * v; i < 3 * v + 3; i++) {
      const fine = offset[i] - coarse[i];
      active.forEach((e, k) => {
        const share = ((weights[e] * squares[k]) / total) * trust[v] * fine;
        targets[e][i] += share;
        offset[i] -= weights[e] * share;
      });
    }
  }
  const moved = spreadOffset(offset, model);
  for (let i = 0; i < 3 * skin; i++) neutral[i] += moved[i];
  // teeth can't bend: they go with the lips as a whole
  for (let c = 0; c < 3; c++) {
    const lips = model.lips.reduce((sum, v) => sum + moved[3 * v + c], 0) / model.lips.length;
    for (const v of model.jaws) neutral[3 * v + c] += lips;
  }
  for (const eye of model.eyes) {
    seatEye(neutral, eye, model, moved);
    const each = eye.carriers.length / eye.lashes.length;
    eye.lashes.forEach((v, n) => {
      for (let k = n * each; k < (n + 1) * each; k++) {
        for (let c = 0; c < 3; c++) neutral[3 * v + c] += eye.carrierWeights[k] * moved[3 * eye.carriers[k] + c];
      }
    });
    turnEye(neutral, eye, model, targets);
    closeLids(neutral, eye, model, targets);
  }
  return { neutral, targets: targets.map(sparse) };
}

/** The face's vertices whose triangles pass through the map's points. */
function fitChart(map: Float64Array, model: HeadModel): Float64Array {
  const face = model.surfaces[0];
  const { corners, weights } = rasterizeChart(
    face.uv, face.vertices, face.triangles, Math.sqrt(map.length / 3),
  );
  const vertices = sampleChart(map, model, model.chart);
  const total = new Float64Array(model.chart);
  for (let k = 0; k < corners.length; k++) if (corners[k] >= 0) total[corners[k]] += weights[k];
  for (let step = 0; step < CHART_STEPS; step++) {
    const shares = new Float64Array(vertices.length);
    for (let i = 0; i < corners.length; i += 3) {
      if (corners[i] < 0) continue;
      for (let c = 0; c < 3; c++) {
        let missing = map[i + c];
        for (let k = i; k < i + 3; k++) missing -= weights[k] * vertices[3 * corners[k] + c];
        for (let k = i; k < i + 3; k++) shares[3 * corners[k] + c] += weights[k] * missing;
      }
    }
    for (let i = 0; i < shares.length; i++) vertices[i] += shares[i] / Math.max(total[Math.floor(i / 3)], 1e-3);
  }
  return vertices;
}

/** Continue the face's offset from the model over the rest of the skin, smoothly and fading. */
function spreadOffset(offset: Float64Array, model: HeadModel): Float64Array {
  const { trust, areas, skin } = model;
  const fixed = offset.map((value, i) => (trust[Math.floor(i / 3)] >= 1 ? value : 0));
  const firm = Float64Array.from({ length: skin }, (_, v) => FIRMNESS * areas[v] * trust[v]);
  const pull = offset.map((value, i) => value * firm[Math.floor(i / 3)]);
  const hold = firm.map((value, v) => value + areas[v] / REACH_CM ** 2);
  return diffuse(pull, hold, model, fixed, (v) => trust[v] < 1);
}

/** Even out what is finer than FOLD_CM. */
function smooth(values: Float64Array, model: HeadModel): Float64Array {
  const hold = Float64Array.from(model.areas, (area) => area / FOLD_CM ** 2);
  const pull = values.map((value, i) => value * hold[Math.floor(i / 3)]);
  return diffuse(pull, hold, model, values, () => true);
}

/** Solve (hold + graph Laplacian) u = pull on the skin where it is free, by conjugate gradients. */
export function diffuse(
  pull: Float64Array, hold: Float64Array, model: HeadModel, start: Float64Array,
  isFree: (vertex: number) => boolean,
): Float64Array {
  const { first, vertices } = model.around;
  const free = Uint32Array.from([...hold.keys()].filter(isFree));
  const length = start.length;
  const apply = (step: Float64Array): Float64Array => {
    const image = new Float64Array(length);
    for (const v of free) {
      const diagonal = hold[v] + first[v + 1] - first[v];
      let [x, y, z] = [diagonal * step[3 * v], diagonal * step[3 * v + 1], diagonal * step[3 * v + 2]];
      for (let k = first[v]; k < first[v + 1]; k++) {
        const w = 3 * vertices[k];
        x -= step[w];
        y -= step[w + 1];
        z -= step[w + 2];
      }
      image[3 * v] = x;
      image[3 * v + 1] = y;
      image[3 * v + 2] = z;
    }
    return image;
  };
  const product = (a: Float64Array, b: Float64Array): number[] => {
    const sum = [0, 0, 0];
    for (const v of free) for (let c = 0; c < 3; c++) sum[c] += a[3 * v + c] * b[3 * v + c];
    return sum;
  };
  const u = start.slice();
  const image = apply(u);
  const rest = new Float64Array(length);
  const step = new Float64Array(length); // zero where nothing is free
  const towards = new Float64Array(length);
  const precondition = () => {
    for (const v of free) {
      const diagonal = hold[v] + first[v + 1] - first[v];
      for (let c = 3 * v; c < 3 * v + 3; c++) towards[c] = rest[c] / diagonal;
    }
  };
  for (const v of free) for (let c = 3 * v; c < 3 * v + 3; c++) rest[c] = pull[c] - image[c];
  precondition();
  step.set(towards);
  let now = product(rest, step);
  const enough = now.map((value) => SOLVER_TOLERANCE ** 2 * value);
  for (let n = 0; n < SOLVER_STEPS && now.some((value, c) => value > enough[c]); n++) {
    const moved = apply(step);
    const lengths = product(step, moved).map((value, c) => now[c] / Math.max(value, 1e-30));
    for (const v of free) {
      for (let c = 0; c < 3; c++) {
        u[3 * v + c] += lengths[c] * step[3 * v + c];
        rest[3 * v + c] -= lengths[c] * moved[3 * v + c];
      }
    }
    precondition();
    const next = product(rest, towards);
    for (const v of free) {
      for (let c = 0; c < 3; c++) {
        step[3 * v + c] = towards[3 * v + c] + (next[c] / Math.max(now[c], 1e-30)) * step[3 * v + c];
      }
    }
    now = next;
  }
  return u;
}
