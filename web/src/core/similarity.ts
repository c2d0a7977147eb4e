// Similarities in two and three dimensions, as src/prnet/geometry/similarity.py and pose.py have them.

/** xy ↦ [[a, −b], [b, a]] · xy + (x, y): the picture's scale and rotation in one complex number. */
export interface Similarity2 {
  a: number;
  b: number;
  x: number;
  y: number;
}

export function apply2(s: Similarity2, x: number, y: number): [number, number] {
  return [s.a * x - s.b * y + s.x, s.b * x + s.a * y + s.y];
}

export function invert2(s: Similarity2): Similarity2 {
  const square = s.a * s.a + s.b * s.b;
  const a = s.a / square;
  const b = -s.b / square;
  return { a, b, x: -(a * s.x - b * s.y), y: -(b * s.x + a * s.y) };
}

export const scale2 = (s: Similarity2): number => Math.hypot(s.a, s.b);

export type Vector3 = [number, number, number];
export type Matrix3 = [Vector3, Vector3, Vector3];

/** Canonical frame (cm, y up) → photo frame with y up, and its angles with 300W-LP's signs. */
export interface Pose {
  yaw: number;
  pitch: number;
  roll: number;
  scale: number;
  rotation: Matrix3;
  translation: Vector3;
}

/** Where the photo shows a canonical point. */
export function project({ scale, rotation, translation: t }: Pose, point: Vector3): [number, number] {
  return [scale * dot(rotation[0], point) + t[0], -scale * dot(rotation[1], point) - t[1]];
}

/** Fits poses to one set of canonical points, (P, 3) row by row. */
export class PoseFit {
  private readonly mean: Vector3;
  private readonly centred: Float64Array;
  private readonly variance: number;

  constructor(canonical: Float32Array) {
    this.mean = meanOf(canonical);
    this.centred = new Float64Array(canonical.length);
    let variance = 0;
    for (let i = 0; i < canonical.length; i++) {
      const value = canonical[i] - this.mean[i % 3];
      this.centred[i] = value;
      variance += value * value;
    }
    this.variance = variance;
  }

  /** The pose that takes the points nearest to these of the photo frame, (P, 3) with y down. */
  fit(photo: Float32Array): Pose {
    const [mx, my, mz] = meanOf(photo);
    const h = [0, 0, 0, 0, 0, 0, 0, 0, 0]; // photo · canonicalᵀ, y up
    const c = this.centred;
    for (let i = 0; i < photo.length; i += 3) {
      const x = photo[i] - mx;
      const y = my - photo[i + 1];
      const z = photo[i + 2] - mz;
      h[0] += x * c[i];
      h[1] += x * c[i + 1];
      h[2] += x * c[i + 2];
      h[3] += y * c[i];
      h[4] += y * c[i + 1];
      h[5] += y * c[i + 2];
      h[6] += z * c[i];
      h[7] += z * c[i + 1];
      h[8] += z * c[i + 2];
    }
    const rotation = nearestRotation(h);
    let trace = 0;
    for (let i = 0; i < 9; i++) trace += rotation[Math.floor(i / 3)][i % 3] * h[i];
    const scale = trace / this.variance;
    const moved = rotation.map((row) => scale * dot(row, this.mean));
    const translation: Vector3 = [mx - moved[0], -my - moved[1], mz - moved[2]];
    return { ...anglesOf(rotation), scale, rotation, translation };
  }
}

export const dot = (a: Vector3, b: Vector3): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** Radians of the head's up axis as the photo shows it, positive with its top to the right. */
export const inPlaneAngle = (rotation: Matrix3): number =>
  Math.atan2(rotation[0][1], rotation[1][1]);

function meanOf(points: Float32Array): Vector3 {
  const sum: Vector3 = [0, 0, 0];
  for (let i = 0; i < points.length; i++) sum[i % 3] += points[i];
  return sum.map((each) => each / (points.length / 3)) as Vector3;
}

/** The rotation R of the largest trace(Rᵀ H): Horn 1987, by the largest eigenvector of a 4×4. */
function nearestRotation(h: number[]): Matrix3 {
  const [a, b, c, d, e, f, g, i, j] = h; // H[target][source]
  const n = [
    [a + e + j, i - f, c - g, d - b],
    [i - f, a - e - j, b + d, c + g],
    [c - g, b + d, e - a - j, f + i],
    [d - b, c + g, f + i, j - a - e],
  ];
  const [w, x, y, z] = largestEigenvector(n);
  return [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ];
}

/** Of a symmetric matrix, by Jacobi's rotations; of length 1. */
function largestEigenvector(symmetric: number[][]): number[] {
  const size = symmetric.length;
  const m = symmetric.map((row) => [...row]);
  const v: number[][] = m.map((_, i) => m.map((_, k) => (i === k ? 1 : 0)));
  for (let sweep = 0; sweep < 50; sweep++) {
    let rest = 0;
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) rest += m[p][q] ** 2;
    if (rest === 0) break;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        if (m[p][q] === 0) continue;
        const theta = (m[q][q] - m[p][p]) / (2 * m[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        const s = t * c;
        for (let k = 0; k < size; k++) {
          [m[k][p], m[k][q]] = [c * m[k][p] - s * m[k][q], s * m[k][p] + c * m[k][q]];
        }
        for (let k = 0; k < size; k++) {
          [m[p][k], m[q][k]] = [c * m[p][k] - s * m[q][k], s * m[p][k] + c * m[q][k]];
          [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
        }
      }
    }
  }
  let best = 0;
  for (let i = 1; i < size; i++) if (m[i][i] > m[best][best]) best = i;
  return v.map((row) => row[best]);
}

const DEGREES = 180 / Math.PI;
const LOCKED = 1e-6; // cosine of yaw under which pitch and roll turn about the same axis

function anglesOf(r: Matrix3): { yaw: number; pitch: number; roll: number } {
  const cosine = Math.hypot(r[0][0], r[0][1]);
  if (cosine < LOCKED) {
    const side = Math.sign(r[0][2]);
    const pitch = Math.atan2(-side * r[1][0], r[1][1]) * DEGREES;
    return { yaw: -side * 90, pitch, roll: 0 };
  }
  const side = r[2][2] < 0 ? -1 : 1;
  return {
    yaw: Math.atan2(-r[0][2], side * cosine) * DEGREES,
    pitch: Math.atan2(side * r[1][2], side * r[2][2]) * DEGREES,
    roll: Math.atan2(side * r[0][1], side * r[0][0]) * DEGREES,
  };
}
