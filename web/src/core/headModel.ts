// The head model and its fixed relations: src/prnet/morphable/head_model.py and head/layout.py.

import { type Contract, type Material, readArrays } from "./contract";
import type { Vector3 } from "./similarity";

/** One material's part of the head: rows are pairs of vertex and UV. */
export interface Surface extends Material {
  vertices: Uint16Array;
  uv: Float32Array; // (N, 2), v down
  triangles: Uint16Array; // of rows
}

/** One eye: indices of vertices. */
export interface Eye {
  side: "Left" | "Right";
  axis: Vector3; // through the mean head's pupil
  ball: Uint16Array;
  lashes: Uint16Array;
  upper: Uint16Array;
  lower: Uint16Array;
  lining: Uint16Array;
  carriers: Uint16Array; // (N, K) the skin that carries each of the lashes
  carrierWeights: Float32Array;
}

/** Vertices that an expression moves, and where to: cm at a weight of 1. */
export interface Target {
  rows: Uint32Array;
  moves: Float32Array; // (N, 3)
}

/** What `blendshapes.ts` fits with. */
export interface Fit {
  weight: Float32Array;
  inverse: Float64Array;
  cross: Float64Array;
  quadratic: Float64Array;
  sparsity: Float64Array;
}

export interface HeadModel {
  names: string[];
  count: number; // V
  chart: number; // the first vertices: the face's
  skin: number; // the first vertices: face, back, mouth and sockets
  vertices: Float32Array; // (V, 3) the mean head, cm
  identity: Int8Array; // (K, 3, V)
  identitySteps: Float32Array;
  expression: Target[];
  chartUv: Float32Array; // (C, 2)
  trust: Float32Array; // (S,)
  areas: Float32Array; // (S,) cm²
  triangles: Uint32Array; // of the whole head
  skinTriangles: Uint32Array;
  around: { first: Uint32Array; vertices: Uint32Array }; // the skin's neighbors of each of its vertices
  lips: Uint16Array;
  back: Uint16Array;
  mouth: Uint16Array;
  sockets: Uint16Array;
  jaws: Uint32Array; // gums and teeth
  eyes: Eye[];
  surfaces: Surface[];
  fit: Fit;
}

export function readHead(contract: NonNullable<Contract["head"]>, bytes: ArrayBuffer): HeadModel {
  const found = readArrays(contract.arrays, bytes);
  const double = (name: string) => found[name] as Uint16Array;
  const single = (name: string) => found[name] as Float32Array;
  const wide = (name: string) => found[name] as Float64Array;
  const fractions = (name: string) => Float32Array.from(found[name], (value) => value / contract.uv_steps);
  const vertices = single("vertices");
  const count = vertices.length / 3;
  const uv = fractions("uv");
  let row = 0;
  let corner = 0;
  const surfaces = contract.surfaces.map(({ rows, triangles, ...material }): Surface => {
    const surface = {
      ...material,
      vertices: double("rows").subarray(row, row + rows),
      uv: uv.subarray(2 * row, 2 * (row + rows)),
      triangles: double("triangles").subarray(corner, corner + 3 * triangles),
    };
    row += rows;
    corner += 3 * triangles;
    return surface;
  });
  const trianglesOf = (chosen: Surface[]) =>
    Uint32Array.from(chosen.flatMap((each) => Array.from(each.triangles, (k) => each.vertices[k])));
  const named = (name: string) => surfaces.find((each) => each.name === name)!;
  const skinTriangles = trianglesOf([named("face"), named("back")]);
  const skin = found.areas.length;
  return {
    names: contract.names,
    count,
    chart: found.chart_uv.length / 2,
    skin,
    vertices,
    identity: found.identity as Int8Array,
    identitySteps: single("identity_steps"),
    expression: readTargets(
      contract.names.length, count, found.moves as Uint8Array, found.expression as Uint8Array,
      contract.expression_step,
    ),
    chartUv: fractions("chart_uv"),
    trust: single("trust"),
    areas: single("areas"),
    triangles: trianglesOf(surfaces),
    skinTriangles,
    around: neighborsOf(skinTriangles, skin),
    lips: double("lips"),
    back: double("back"),
    mouth: double("mouth"),
    sockets: double("sockets"),
    jaws: Uint32Array.from(new Set([...named("gums").vertices, ...named("teeth").vertices])),
    eyes: contract.eyes.map(({ side, axis }) => ({
      side,
      axis,
      ball: double(`${side} ball`),
      lashes: double(`${side} lashes`),
      upper: double(`${side} upper`),
      lower: double(`${side} lower`),
      lining: double(`${side} lining`),
      carriers: double(`${side} carriers`),
      carrierWeights: single(`${side} carrier_weights`),
    })),
    surfaces,
    fit: {
      weight: single("fit_weight"),
      inverse: wide("inverse"),
      cross: wide("cross"),
      quadratic: wide("quadratic"),
      sparsity: wide("sparsity"),
    },
  };
}

/** Bits that say which vertices move; then where to, axis by axis, all low bytes before all high ones. */
function readTargets(
  shapes: number, count: number, bits: Uint8Array, bytes: Uint8Array, step: number,
): Target[] {
  const length = bytes.length / 6; // of an axis
  const value = (i: number) => (((bytes[3 * length + i] << 8) | bytes[i]) << 16) >> 16;
  const stride = bits.length / shapes;
  let next = 0;
  return Array.from({ length: shapes }, (_, shape) => {
    const rows: number[] = [];
    for (let v = 0; v < count; v++) {
      if (bits[shape * stride + (v >> 3)] & (128 >> (v & 7))) rows.push(v);
    }
    const moves = new Float32Array(3 * rows.length);
    for (let i = 0; i < rows.length; i++, next++) {
      for (let c = 0; c < 3; c++) moves[3 * i + c] = value(c * length + next) * step;
    }
    return { rows: Uint32Array.from(rows), moves };
  });
}

function neighborsOf(triangles: Uint32Array, count: number): HeadModel["around"] {
  const sets = Array.from({ length: count }, () => new Set<number>());
  for (let t = 0; t < triangles.length; t += 3) {
    for (let k = 0; k < 3; k++) {
      const [a, b] = [triangles[t + k], triangles[t + ((k + 1) % 3)]];
      sets[a].add(b);
      sets[b].add(a);
    }
  }
  const first = new Uint32Array(count + 1);
  sets.forEach((set, v) => (first[v + 1] = first[v] + set.size));
  const vertices = new Uint32Array(first[count]);
  sets.forEach((set, v) => vertices.set([...set], first[v]));
  return { first, vertices };
}

/** An expression as one move for each vertex, (V, 3). */
export function dense({ rows, moves }: Target, count: number): Float32Array {
  const all = new Float32Array(3 * count);
  rows.forEach((v, i) => all.set(moves.subarray(3 * i, 3 * i + 3), 3 * v));
  return all;
}

export function sparse(all: Float32Array): Target {
  const rows: number[] = [];
  for (let v = 0; v < all.length / 3; v++) if (all[3 * v] || all[3 * v + 1] || all[3 * v + 2]) rows.push(v);
  const moves = new Float32Array(3 * rows.length);
  rows.forEach((v, i) => moves.set(all.subarray(3 * v, 3 * v + 3), 3 * i));
  return { rows: Uint32Array.from(rows), moves };
}

/** points + Σ weight · target, a new array. */
export function express(points: ArrayLike<number>, targets: Target[], weights: ArrayLike<number>): Float64Array {
  const moved = Float64Array.from(points);
  targets.forEach(({ rows, moves }, e) => {
    if (!weights[e]) return;
    rows.forEach((v, i) => {
      for (let c = 0; c < 3; c++) moved[3 * v + c] += weights[e] * moves[3 * i + c];
    });
  });
  return moved;
}
