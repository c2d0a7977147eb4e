// A UV chart → the triangle under every texel: src/prnet/uv/chart.py.

/** For each texel of a square, three corners and their weights; −1 in `corners` where there is none. */
export interface Chart {
  size: number;
  corners: Int32Array; // (size², 3) vertices
  weights: Float32Array; // (size², 3)
}

/** Draw triangles, given by rows of `uv`, whose rows are these vertices. */
export function rasterizeChart(
  uv: Float32Array, vertices: ArrayLike<number>, triangles: ArrayLike<number>, size: number,
): Chart {
  const corners = new Int32Array(3 * size * size).fill(-1);
  const weights = new Float32Array(3 * size * size);
  const place = (row: number) => [uv[2 * row] * size - 0.5, uv[2 * row + 1] * size - 0.5];
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [triangles[t], triangles[t + 1], triangles[t + 2]];
    const [ax, ay] = place(a);
    const [bx, by] = place(b);
    const [cx, cy] = place(c);
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (!(Math.abs(area) > 1e-12)) continue;
    const x1 = Math.min(Math.floor(Math.max(ax, bx, cx)), size - 1);
    const y1 = Math.min(Math.floor(Math.max(ay, by, cy)), size - 1);
    for (let y = Math.max(Math.ceil(Math.min(ay, by, cy)), 0); y <= y1; y++) {
      for (let x = Math.max(Math.ceil(Math.min(ax, bx, cx)), 0); x <= x1; x++) {
        const wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area;
        const wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area;
        if (wb < -1e-9 || wc < -1e-9 || 1 - wb - wc < -1e-9) continue;
        const to = 3 * (y * size + x);
        corners.set([vertices[a], vertices[b], vertices[c]], to);
        weights.set([1 - wb - wc, wb, wc], to);
      }
    }
  }
  return { size, corners, weights };
}

/** Spread values at vertices, `channels` each, over the square; gaps take what lies nearest. */
export function spread(chart: Chart, values: ArrayLike<number>, channels: number): Float32Array {
  const { size, corners, weights } = chart;
  const out = new Float32Array(size * size * channels);
  let edge: number[] = [];
  const isKnown = new Uint8Array(size * size);
  for (let i = 0; i < size * size; i++) {
    if (corners[3 * i] < 0) continue;
    for (let k = 3 * i; k < 3 * i + 3; k++) {
      for (let c = 0; c < channels; c++) out[i * channels + c] += weights[k] * values[corners[k] * channels + c];
    }
    isKnown[i] = 1;
    edge.push(i);
  }
  while (edge.length) {
    const next: number[] = [];
    for (const i of edge) {
      const x = i % size;
      const around = [x > 0 ? i - 1 : -1, x + 1 < size ? i + 1 : -1, i - size, i + size];
      for (const j of around) {
        if (j < 0 || j >= isKnown.length || isKnown[j]) continue;
        isKnown[j] = 1;
        out.copyWithin(j * channels, i * channels, (i + 1) * channels);
        next.push(j);
      }
    }
    edge = next;
  }
  return out;
}
