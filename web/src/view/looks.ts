// What surfaces look like in the four shadings.

import * as THREE from "three";
import type { Picture } from "../core/picture";
import type { Matrix3 } from "../core/similarity";

export type Shading = "texture" | "shaded" | "wireframe" | "pncc";

/** What the stage shows: metres, y up. */
export interface Part {
  readonly object: THREE.Object3D;
  readonly reach: number; // how much more than a face it fills
  readonly toFrontal: THREE.Quaternion; // takes the photo's pose away
  shade(shading: Shading): void;
}

const CLAY = 0xcdd0d6;
const WIRE_GROUND = 0x26323d;
export const WIRE_COLOR = 0x9fd0ff;

/** Materials of a surface; its texture is to be set, its PNCC lies in the vertices' colors. */
export function shadings(side: THREE.Side): Record<Shading, THREE.MeshBasicMaterial | THREE.MeshStandardMaterial> {
  const hidden = { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };
  return {
    texture: new THREE.MeshBasicMaterial({ side }),
    shaded: new THREE.MeshStandardMaterial({ color: CLAY, roughness: 0.75, side }),
    wireframe: new THREE.MeshBasicMaterial({ color: WIRE_GROUND, side, ...hidden }),
    pncc: new THREE.MeshBasicMaterial({ vertexColors: true, side }),
  };
}

export function pictureTexture({ width, height, channels, data }: Picture): THREE.Texture {
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < channels; c++) rgba[4 * i + c] = data[channels * i + c];
  }
  return sharp(new THREE.DataTexture(rgba, width, height));
}

/** A texture as it is, without smaller copies. */
export function sharp<T extends THREE.Texture>(texture: T): T {
  texture.colorSpace = THREE.SRGBColorSpace;
  texture.minFilter = texture.magFilter = THREE.LinearFilter;
  texture.generateMipmaps = false;
  texture.needsUpdate = true;
  return texture;
}

export function matrixOf([a, b, c]: Matrix3): THREE.Matrix4 {
  return new THREE.Matrix4().set(...a, 0, ...b, 0, ...c, 0, 0, 0, 0, 1);
}

export const inverseOf = (rotation: Matrix3): THREE.Quaternion =>
  new THREE.Quaternion().setFromRotationMatrix(matrixOf(rotation)).invert();

/** The mean shape's coordinates as colors, each axis from 0 to 1: PNCC. */
export function coordinateColors(canonical: Float32Array): Float32Array {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  canonical.forEach((value, i) => {
    low[i % 3] = Math.min(low[i % 3], value);
    high[i % 3] = Math.max(high[i % 3], value);
  });
  const color = new THREE.Color();
  const colors = new Float32Array(canonical.length);
  for (let i = 0; i < canonical.length; i += 3) {
    const [r, g, b] = [0, 1, 2].map((c) => (canonical[i + c] - low[c]) / (high[c] - low[c]));
    color.setRGB(r, g, b, THREE.SRGBColorSpace).toArray(colors, i);
  }
  return colors;
}
