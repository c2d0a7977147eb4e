// Small systems of linear equations, maps read between their pixels, and order statistics as NumPy has them.

/** Solve A x = b for a square A, row by row, by elimination with the largest pivots. */
export function solve(matrix: ArrayLike<number>, right: ArrayLike<number>): Float64Array {
  const n = right.length;
  const a = Float64Array.from(matrix);
  const x = Float64Array.from(right);
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(a[i * n + k]) > Math.abs(a[best * n + k])) best = i;
    if (best !== k) {
      for (let j = k; j < n; j++) [a[k * n + j], a[best * n + j]] = [a[best * n + j], a[k * n + j]];
      [x[k], x[best]] = [x[best], x[k]];
    }
    for (let i = k + 1; i < n; i++) {
      const factor = a[i * n + k] / a[k * n + k];
      if (!factor) continue;
      for (let j = k; j < n; j++) a[i * n + j] -= factor * a[k * n + j];
      x[i] -= factor * x[k];
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let j = k + 1; j < n; j++) x[k] -= a[k * n + j] * x[j];
    x[k] /= a[k * n + k];
  }
  return x;
}

/** A value that a share of the others doesn't exceed, interpolated; NaN of none. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

export const median = (values: ArrayLike<number>): number => quantile(values, 0.5);

export const clip = (value: number, low: number, high: number): number =>
  Math.min(Math.max(value, low), high);

/** Interpolate y over rising x; beyond the ends, the end's. */
export function interpolate(place: number, x: ArrayLike<number>, y: ArrayLike<number>): number {
  const last = x.length - 1;
  if (place <= x[0]) return y[0];
  if (place >= x[last]) return y[last];
  let i = 0;
  while (x[i + 1] < place) i++;
  return y[i] + ((y[i + 1] - y[i]) * (place - x[i])) / (x[i + 1] - x[i]);
}

/** A map of (size, size, 3) read bilinearly at (N, 2) points of UV space into (N, 3) `points`, which it gives back. */
export function sampleMap<Points extends Float32Array | Float64Array>(
  map: Points, size: number, uv: ArrayLike<number>, points: Points,
): Points {
  for (let n = 0; n < points.length / 3; n++) {
    const x = clip(uv[2 * n] * size - 0.5, 0, size - 1);
    const y = clip(uv[2 * n + 1] * size - 0.5, 0, size - 1);
    const x0 = Math.min(Math.floor(x), size - 2);
    const y0 = Math.min(Math.floor(y), size - 2);
    for (let c = 0; c < 3; c++) {
      const at = (row: number, column: number) => map[(row * size + column) * 3 + c];
      const top = at(y0, x0) * (1 - (x - x0)) + at(y0, x0 + 1) * (x - x0);
      const bottom = at(y0 + 1, x0) * (1 - (x - x0)) + at(y0 + 1, x0 + 1) * (x - x0);
      points[3 * n + c] = top * (1 - (y - y0)) + bottom * (y - y0);
    }
  }
  return points;
}
