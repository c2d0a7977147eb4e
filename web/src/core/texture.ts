// Photo + position map → the skin's colors in UV space, and likely ones where it is hidden: src/prnet/uv/texture.py.

import { distanceTransform, EDGE_DISTANCE } from "./edges";
import { gaussian } from "./outline";
import { areaWeights, average, cutOut, emptyPicture, halve, type Picture, resizeValues } from "./picture";

const GRAZED_FACING: [number, number] = [0.1, 0.3];
const LIT_FACING: [number, number] = [0.3, 0.7];
const CHECKED_DISTANCE = 0.02;
const STRAY_LEVELS: [number, number] = [50, 90];
const LIT_DISTANCE: [number, number] = [0.01, 0.02];
const BETTER_FACING: [number, number] = [0.0, 0.15];
const SEAM_MARGIN = 5;
const SEAM_KERNEL: number[] = Array(9).fill(1 / 9);
const USUAL_RATIO = 0.7;
const NO_LIGHT = 100;
const NARROW_GAP: [number, number] = [8, 24];
const RIM_KERNEL = gaussian(2, 8);
const RELIGHT_SIZE = 256;
const SIZES = [256, 2048]; // texels a side, least and most
const SHARPEST_SHARE = 0.9;

/** Texels a side with which the texture is as fine as the photo. */
export function textureSize(map: Float32Array, seen: Uint8Array, side: number): number {
  const steps: number[] = [];
  const step = (i: number, j: number) => Math.hypot(map[3 * j] - map[3 * i], map[3 * j + 1] - map[3 * i + 1]);
  for (let y = 0; y + 1 < side; y++) {
    for (let x = 0; x + 1 < side; x++) {
      const i = y * side + x;
      if (seen[i] && seen[i + 1] && seen[i + side]) steps.push(Math.min(step(i, i + 1), step(i, i + side)));
    }
  }
  const sorted = Float64Array.from(steps).sort();
  const sharpest = sorted.length ? sorted[Math.floor((sorted.length - 1) * SHARPEST_SHARE)] : 0;
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(side * sharpest, 1)));
  return Math.min(Math.max(wanted, SIZES[0]), SIZES[1]);
}

/** Take what the photo shows: RGBA, alpha 0 where it doesn't show the skin. */
export function sampleTexture(
  photo: Picture, map: Float32Array, seen: Uint8Array, side: number, size: number,
): Uint8Array {
  const texture = new Uint8Array(size * size * 4);
  const median = medianBlur5(seen, side);
  const used = new Float32Array(side * side);
  for (let i = 0; i < used.length; i++) used[i] = median[i] && seen[i] ? 1 : 0;
  const xy = new Float32Array(side * side * 2);
  for (let i = 0; i < side * side; i++) {
    xy[2 * i] = map[3 * i];
    xy[2 * i + 1] = map[3 * i + 1];
  }
  const cut = cutPhoto(photo, xy, used, side, size / side);
  if (!cut) return texture;
  const { part, reach } = cut;
  const places = resizeMap(xy, side, 2, size);
  const shares = resizeMap(used, side, 1, size);
  for (let i = 0; i < size * size; i++) {
    const x = places[2 * i];
    const y = places[2 * i + 1];
    const isInside = x > -0.5 && x < reach[0] - 0.5 && y > -0.5 && y < reach[1] - 0.5;
    const alpha = isInside ? Math.round(Math.min(Math.max(shares[i] * 2 - 1, 0), 1) * 255) : 0;
    if (!alpha) continue;
    const cx = Math.min(Math.max(x, 0), part.width - 1);
    const cy = Math.min(Math.max(y, 0), part.height - 1);
    const x0 = Math.min(Math.floor(cx), Math.max(part.width - 2, 0));
    const y0 = Math.min(Math.floor(cy), Math.max(part.height - 2, 0));
    const right = Math.min(x0 + 1, part.width - 1);
    const below = Math.min(y0 + 1, part.height - 1);
    for (let c = 0; c < 3; c++) {
      const at = (row: number, column: number) => part.data[(row * part.width + column) * 3 + c];
      const top = at(y0, x0) + (at(y0, right) - at(y0, x0)) * (cx - x0);
      const bottom = at(below, x0) + (at(below, right) - at(below, x0)) * (cx - x0);
      texture[4 * i + c] = top + (bottom - top) * (cy - y0) + 0.5;
    }
    texture[4 * i + 3] = alpha;
  }
  return texture;
}

/** The photo's used part, halved while texels lie pixels apart, and its size; `xy` moves along. */
function cutPhoto(
  photo: Picture, xy: Float32Array, used: Float32Array, side: number, texelsPerStep: number,
): { part: Picture; reach: number[] } | null {
  const steps: number[] = [];
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  for (let i = 0; i < used.length; i++) {
    if (!used[i]) continue;
    for (const axis of [0, 1]) {
      low[axis] = Math.min(low[axis], xy[2 * i + axis]);
      high[axis] = Math.max(high[axis], xy[2 * i + axis]);
    }
    if (i % side) steps.push(Math.hypot(xy[2 * i] - xy[2 * i - 2], xy[2 * i + 1] - xy[2 * i - 1]));
  }
  if (!(high[0] >= low[0])) return null;
  const step = steps.length ? steps.sort((a, b) => a - b)[steps.length >> 1] : 1;
  const margin = 2 * step + 2;
  const left = Math.max(Math.floor(low[0] - margin), 0);
  const top = Math.max(Math.floor(low[1] - margin), 0);
  const right = Math.min(Math.max(Math.ceil(high[0] + margin), 0), photo.width);
  const bottom = Math.min(Math.max(Math.ceil(high[1] + margin), 0), photo.height);
  if (right <= left || bottom <= top) return null;
  const part = cutOut(photo, left, top, right, bottom);
  for (let i = 0; i < xy.length; i += 2) {
    xy[i] -= left;
    xy[i + 1] -= top;
  }
  let shrunk = part;
  let pixelsPerTexel = step / texelsPerStep;
  const reach = [part.width, part.height];
  while (pixelsPerTexel >= 1.5 && Math.min(shrunk.width, shrunk.height) > 1) {
    shrunk = halve(shrunk);
    pixelsPerTexel /= 2;
    for (let i = 0; i < xy.length; i++) xy[i] = (xy[i] - 0.5) / 2;
    // of an odd row or column the halved photo has nothing
    reach[0] /= 2;
    reach[1] /= 2;
  }
  return { part: shrunk, reach };
}

/** Give every texel a color: RGB. The maps are (M, M): cosine between normal and view, distance from
 * an outline, and how far the surface faces the subject's left. */
export function completeTexture(
  texture: Uint8Array, size: number, facing: Float32Array, edge: Float32Array, sideward: Float32Array, side: number,
): Picture {
  const coarse = Math.min(size, RELIGHT_SIZE);
  const alpha = new Float32Array(size * size);
  for (let i = 0; i < alpha.length; i++) alpha[i] = texture[4 * i + 3] / 255;
  const grazed = resizeMap(facing.map((v) => smoothStep(v, ...GRAZED_FACING)), side, 1, size);
  const clear = resizeMap(edge.map((v) => smoothStep(v, ...EDGE_DISTANCE)), side, 1, size);
  const own = alpha.map((a, i) => a * grazed[i] * clear[i]);
  leaveOutStrays(texture, own, resizeMap(edge, side, 1, size), size);
  const result = emptyPicture(size, size);
  if (!own.some((value) => value > 0)) {
    result.data.fill(128);
    return result;
  }
  const weighted = weigh(texture, own);
  const telling = facing.map((v, i) => smoothStep(v, ...LIT_FACING) * smoothStep(edge[i], ...LIT_DISTANCE));
  const light = sideLight(weighted, own, telling, sideward, size, side);
  const lightOf = sideward.map((v) => Math.exp(light * v));
  const gain = resizeMap(lightOf.map((v, i) => v / lightOf[mirrored(i, side)]), side, 1, size);
  const other = new Float32Array(weighted.length);
  for (let i = 0; i < own.length; i++) {
    for (let c = 0; c < 3; c++) other[3 * i + c] = weighted[3 * mirrored(i, size) + c] * gain[i];
  }
  // where both halves are seen well, the difference between their colors is that of their light
  const small = resizeMap(weighted, size, 3, coarse);
  const lent = resizeMap(other, size, 3, coarse);
  const share = resizeMap(own, size, 1, coarse);
  const lit = resizeMap(telling, side, 1, coarse);
  const difference = new Float32Array(small.length);
  const both = new Float32Array(share.length);
  for (let i = 0; i < share.length; i++) {
    const j = mirrored(i, coarse);
    const well = lit[i] * lit[j];
    both[i] = share[i] * share[j] * well;
    for (let c = 3 * i; c < 3 * i + 3; c++) difference[c] = (small[c] * share[j] - lent[c] * share[i]) * well;
  }
  const relight = resizeMap(pushPull(difference, both, coarse, coarse, 3), coarse, 3, size);
  // the other half lends its colors where it is shown much better
  const inside = resizeMap(alpha.map((a, i) => Math.min(a, clear[i])), size, 1, side);
  const shown = smooth(erode(inside, side).map((a, i) => a * Math.max(facing[i], 0)), side, 1, SEAM_KERNEL);
  const loan = resizeMap(
    shown.map((value, i) => smoothStep(shown[mirrored(i, side)] - value, ...BETTER_FACING)), side, 1, size,
  );
  const likely = new Float32Array(weighted.length);
  const known = new Float32Array(own.length);
  for (let i = 0; i < own.length; i++) {
    const theirs = own[mirrored(i, size)];
    const borrowed = Math.max(loan[i], 1 - own[i]);
    known[i] = own[i] * (1 - borrowed) + theirs * borrowed;
    for (let c = 3 * i; c < 3 * i + 3; c++) {
      likely[c] = weighted[c] * (1 - borrowed) + (other[c] + relight[c] * theirs) * borrowed;
    }
  }
  const guess = resizeMap(guessColors(likely, known, size, coarse), coarse, 3, size);
  for (let i = 0; i < likely.length; i++) {
    const value = likely[i] + guess[i] * (1 - known[Math.floor(i / 3)]);
    result.data[i] = Math.min(Math.max(value, 0), 255) + 0.5;
  }
  return result;
}

/** The colors times their weights. */
function weigh(texture: Uint8Array, weight: Float32Array): Float32Array {
  const weighted = new Float32Array(weight.length * 3);
  for (let i = 0; i < weight.length; i++) {
    for (let c = 0; c < 3; c++) weighted[3 * i + c] = texture[4 * i + c] * weight[i];
  }
  return weighted;
}

/** Take from `own`, in place, what is near an outline and unlike the skin further inside. */
function leaveOutStrays(texture: Uint8Array, own: Float32Array, edge: Float32Array, size: number): void {
  const inside = own.map((value, i) => (edge[i] > CHECKED_DISTANCE ? value : 0));
  if (!inside.some((value) => value > 0)) return;
  const around = pushPull(weigh(texture, inside), inside, size, size, 3);
  for (let i = 0; i < own.length; i++) {
    if (edge[i] > CHECKED_DISTANCE) continue;
    let off = 0;
    for (let c = 0; c < 3; c++) off = Math.max(off, Math.abs(texture[4 * i + c] - around[3 * i + c]));
    own[i] *= 1 - smoothStep(off, ...STRAY_LEVELS);
  }
}

/** How much more light skin gets the more it faces the subject's left: b in exp(b · sideward). */
function sideLight(
  weighted: Float32Array, own: Float32Array, telling: Float32Array, sideward: Float32Array, size: number, side: number,
): number {
  const gray = own.map((_, i) => (weighted[3 * i] + weighted[3 * i + 1] + weighted[3 * i + 2]) / 3);
  const level = resizeMap(gray, size, 1, side).map((v, i) => v * telling[i]);
  const share = resizeMap(own, size, 1, side).map((v, i) => v * telling[i]);
  const bright = level.map((v, i) => Math.max(v / Math.max(share[i], 0.5), 1));
  let [told, weight] = [0, NO_LIGHT];
  for (let i = 0; i < share.length; i++) {
    const j = mirrored(i, side);
    const ratio = Math.log(bright[i] / bright[j]);
    if (Math.min(share[i], share[j]) <= 0.5 || Math.abs(ratio) >= USUAL_RATIO) continue;
    const apart = sideward[i] - sideward[j];
    told += ratio * apart;
    weight += apart * apart;
  }
  return told / weight;
}

/** Colors for what neither half shows, (C, C, 3): narrow gaps take their rims', others a blend. */
function guessColors(weighted: Float32Array, known: Float32Array, size: number, coarse: number): Float32Array {
  const small = resizeMap(weighted, size, 3, coarse);
  const share = resizeMap(known, size, 1, coarse);
  const blend = pushPull(small, share, coarse, coarse, 3);
  const { distance, nearest } = distanceTransform(Uint8Array.from(share, (v) => (v > 0.5 ? 1 : 0)), coarse);
  if (nearest[0] < 0) return blend;
  const rims = blend.map((_, i) => {
    const from = nearest[Math.floor(i / 3)];
    return small[3 * from + (i % 3)] / Math.max(share[from], 0.5);
  });
  const smoothed = smooth(rims, coarse, 3, RIM_KERNEL);
  return blend.map((v, i) => {
    const narrow = 1 - smoothStep(distance[Math.floor(i / 3)], ...NARROW_GAP);
    return v + (smoothed[i] - v) * narrow;
  });
}

const mirrored = (i: number, size: number): number => i - (i % size) + (size - 1 - (i % size));

function smoothStep(value: number, low: number, high: number): number {
  const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
  return share * share * (3 - 2 * share);
}

/** Resample a square map, texel centres as in UV: means where it shrinks, else linear. */
function resizeMap(values: Float32Array, side: number, channels: number, size: number): Float32Array {
  if (size === side) return values;
  if (size > side) return resizeValues(values, side, side, channels, size, size);
  const weights = areaWeights(0, side / size, size, side);
  return average(values, side, side, channels, weights, weights);
}

/** Fill gaps smoothly from what surrounds them: Gortler et al. 1996, "The Lumigraph", section 3.4. */
function pushPull(
  values: Float32Array, weight: Float32Array, width: number, height: number, channels: number,
): Float32Array {
  if (width === 1 && height === 1) {
    return values.map((value) => (weight[0] > 0 ? value / Math.max(weight[0], 1e-12) : 0));
  }
  const halfWidth = (width + 1) >> 1;
  const halfHeight = (height + 1) >> 1;
  const coarse = new Float32Array(halfWidth * halfHeight * channels);
  const total = new Float32Array(halfWidth * halfHeight);
  for (let y = 0; y < 2 * halfHeight; y++) {
    for (let x = 0; x < 2 * halfWidth; x++) {
      const from = Math.min(y, height - 1) * width + Math.min(x, width - 1);
      const to = (y >> 1) * halfWidth + (x >> 1);
      total[to] += weight[from];
      for (let c = 0; c < channels; c++) coarse[to * channels + c] += values[from * channels + c];
    }
  }
  for (let i = 0; i < total.length; i++) {
    for (let c = 0; c < channels; c++) coarse[i * channels + c] /= Math.max(total[i], 1);
    total[i] = Math.min(total[i], 1);
  }
  const filled = pushPull(coarse, total, halfWidth, halfHeight, channels);
  const fill = resizeValues(filled, halfWidth, halfHeight, channels, 2 * halfWidth, 2 * halfHeight);
  const out = new Float32Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      for (let c = 0; c < channels; c++) {
        const coarseValue = fill[(y * 2 * halfWidth + x) * channels + c];
        out[i * channels + c] = values[i * channels + c] + coarseValue * (1 - weight[i]);
      }
    }
  }
  return out;
}

/** The majority of 5 × 5 pixels of zeros and ones, the edge's repeated. */
function medianBlur5(values: Uint8Array, side: number): Uint8Array {
  const out = new Uint8Array(values.length);
  const inside = (i: number) => Math.min(Math.max(i, 0), side - 1);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      let count = 0;
      for (let dy = -2; dy <= 2; dy++) {
        for (let dx = -2; dx <= 2; dx++) count += values[inside(y + dy) * side + inside(x + dx)];
      }
      out[y * side + x] = count > 12 ? 1 : 0;
    }
  }
  return out;
}

function erode(values: Float32Array, side: number): Float32Array {
  const half = SEAM_MARGIN >> 1;
  return values.map((_, i) => {
    const row = Math.floor(i / side);
    const column = i % side;
    let least = Infinity;
    for (let y = Math.max(row - half, 0); y <= Math.min(row + half, side - 1); y++) {
      for (let x = Math.max(column - half, 0); x <= Math.min(column + half, side - 1); x++) {
        least = Math.min(least, values[y * side + x]);
      }
    }
    return least;
  });
}

/** Blur each way by a kernel, mirrored at the edges. */
function smooth(values: Float32Array, side: number, channels: number, kernel: number[]): Float32Array {
  const half = kernel.length >> 1;
  const inside = (i: number) => (i < 0 ? -i : i >= side ? 2 * (side - 1) - i : i);
  const pass = (from: Float32Array, step: number, line: number) => {
    const to = new Float32Array(from.length);
    for (let i = 0; i < side; i++) {
      for (let k = -half; k <= half; k++) {
        const weight = kernel[k + half];
        const shift = (inside(i + k) - i) * step;
        for (let j = 0; j < side; j++) {
          const at = i * step + j * line;
          for (let c = at; c < at + channels; c++) to[c] += weight * from[c + shift];
        }
      }
    }
    return to;
  };
  return pass(pass(values, channels, side * channels), side * channels, channels);
}
