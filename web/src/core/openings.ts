// The rims of eyes, which hold colors of lashes and eyeballs that mustn't stay on lids when they close.

import type { Atlas } from "./contract";
import { resizeValues } from "./picture";

const RIM: [number, number] = [0.01, 0.03]; // of the face's size, from an eye, over which skin comes to show
const NOSE_TIP = 30; // of the 68 points, below both eyes

/**
 * Take from a sampled texture, RGBA, what lies around the eyes, in place.
 *
 * @param vertices - (V, 3) photo frame.
 */
export function clearLids(texture: Uint8Array, size: number, vertices: Float32Array, atlas: Atlas): void {
  const { vertexIndex, size: side } = atlas;
  const rim = rimOfEyes(atlas);
  const x = Float32Array.from(vertexIndex, (_, v) => vertices[3 * v]);
  const y = Float32Array.from(vertexIndex, (_, v) => vertices[3 * v + 1]);
  const extent = (values: Float32Array) => values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b));
  const longer = Math.max(extent(x), extent(y));
  const shares = new Float32Array(side * side);
  vertexIndex.forEach((pixel, v) => {
    let square = Infinity;
    for (const r of rim) square = Math.min(square, (x[v] - x[r]) ** 2 + (y[v] - y[r]) ** 2);
    const share = Math.min(Math.max((Math.sqrt(square) / longer - RIM[0]) / (RIM[1] - RIM[0]), 0), 1);
    shares[pixel] = share * share * (3 - 2 * share);
  });
  const fine = resizeValues(shares, side, side, 1, size, size);
  for (let i = 0; i < fine.length; i++) texture[4 * i + 3] *= fine[i];
}

/** Vertices beside a gap that the chart encloses above the tip of the nose. */
function rimOfEyes({ vertexIndex, size: side, landmarksUv }: Atlas): number[] {
  const lowest = landmarksUv[2 * NOSE_TIP + 1] * side * side;
  const isGap = new Uint8Array(side * side).fill(1);
  for (const pixel of vertexIndex) isGap[pixel] = 0;
  const around = (i: number) => [i - side, i + side, i % side ? i - 1 : -1, (i + 1) % side ? i + 1 : -1];
  const outside = [...isGap.keys()].filter((i) => isGap[i] && (i < side || i % side === 0));
  for (const i of outside) isGap[i] = 0;
  while (outside.length) {
    for (const j of around(outside.pop()!)) {
      if (!isGap[j]) continue;
      isGap[j] = 0;
      outside.push(j);
    }
  }
  return [...vertexIndex.keys()].filter(
    (v) => vertexIndex[v] < lowest && around(vertexIndex[v]).some((j) => isGap[j]),
  );
}
