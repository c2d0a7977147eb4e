// Normals, depth and visibility: src/prnet/geometry/normals.py, rasterize.py and uv/visibility.py.

const BUFFER_SIZE = 512;
const DEPTH_TOLERANCE = 0.005; // of the face's longer side
const MIN_FACING = 0.1; // cosine between normal and view

/** (V, 3) of length 1, outward, y up, of vertices in the photo frame, or in one with y up. */
export function vertexNormals(
  vertices: ArrayLike<number>, triangles: Uint32Array, isYUp = false,
): Float32Array {
  const up = isYUp ? 1 : -1;
  const normals = new Float32Array(vertices.length);
  for (let t = 0; t < triangles.length; t += 3) {
    const a = 3 * triangles[t];
    const b = 3 * triangles[t + 1];
    const c = 3 * triangles[t + 2];
    const ux = vertices[b] - vertices[a];
    const uy = up * (vertices[b + 1] - vertices[a + 1]);
    const uz = vertices[b + 2] - vertices[a + 2];
    const vx = vertices[c] - vertices[a];
    const vy = up * (vertices[c + 1] - vertices[a + 1]);
    const vz = vertices[c + 2] - vertices[a + 2];
    const x = uy * vz - uz * vy;
    const y = uz * vx - ux * vz;
    const z = ux * vy - uy * vx;
    for (const v of [a, b, c]) {
      normals[v] += x;
      normals[v + 1] += y;
      normals[v + 2] += z;
    }
  }
  for (let v = 0; v < normals.length; v += 3) {
    const length = Math.hypot(normals[v], normals[v + 1], normals[v + 2]);
    if (length < 1e-30) {
      normals[v + 2] = 1;
      continue;
    }
    normals[v] /= length;
    normals[v + 1] /= length;
    normals[v + 2] /= length;
  }
  return normals;
}

/** How near the surface is at each pixel, −∞ where there is none; inner sides don't count if asked. */
export function drawDepth(
  points: Float32Array, triangles: Uint32Array, width: number, height: number, onlyFront = false,
): Float32Array {
  const depth = new Float32Array(width * height).fill(-Infinity);
  for (let t = 0; t < triangles.length; t += 3) {
    const a = 3 * triangles[t];
    const b = 3 * triangles[t + 1];
    const c = 3 * triangles[t + 2];
    const ax = points[a], ay = points[a + 1];
    const bx = points[b], by = points[b + 1];
    const cx = points[c], cy = points[c + 1];
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (!(Math.abs(area) > 1e-12) || (onlyFront && area >= 0)) continue;
    const x0 = Math.max(Math.ceil(Math.min(ax, bx, cx)), 0);
    const x1 = Math.min(Math.floor(Math.max(ax, bx, cx)), width - 1);
    const y0 = Math.max(Math.ceil(Math.min(ay, by, cy)), 0);
    const y1 = Math.min(Math.floor(Math.max(ay, by, cy)), height - 1);
    for (let y = y0; y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area;
        const wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area;
        const wa = 1 - wb - wc;
        if (wa < -1e-9 || wb < -1e-9 || wc < -1e-9) continue;
        const z = wa * points[a + 2] + wb * points[b + 2] + wc * points[c + 2];
        if (z > depth[y * width + x]) depth[y * width + x] = z;
      }
    }
  }
  return depth;
}

/** (V,) 1 where the viewer sees a vertex: it faces him and no part of the face lies in front. */
export function findVisible(
  vertices: Float32Array, triangles: Uint32Array, normals: Float32Array,
): Uint8Array {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < vertices.length; i++) {
    low[i % 3] = Math.min(low[i % 3], vertices[i]);
    high[i % 3] = Math.max(high[i % 3], vertices[i]);
  }
  const extent = Math.max(high[0] - low[0], high[1] - low[1]);
  const seen = new Uint8Array(vertices.length / 3);
  if (!(extent > 0)) return seen;
  const points = vertices.map((value, i) => ((value - low[i % 3]) * (BUFFER_SIZE - 1)) / extent);
  const depth = drawDepth(points, triangles, BUFFER_SIZE, BUFFER_SIZE);
  for (let v = 0; v < seen.length; v++) {
    const [x, y, z] = points.subarray(3 * v, 3 * v + 3);
    const facing = normals[3 * v + 2];
    const column = Math.round(x);
    const row = Math.round(y);
    // compare at the pixel's centre, along the vertex's tangent plane
    const rise =
      (normals[3 * v + 1] * (row - y) - normals[3 * v] * (column - x)) / Math.max(facing, MIN_FACING);
    const nearest = depth[row * BUFFER_SIZE + column];
    seen[v] = facing > MIN_FACING && z + rise > nearest - DEPTH_TOLERANCE * BUFFER_SIZE ? 1 : 0;
  }
  return seen;
}
