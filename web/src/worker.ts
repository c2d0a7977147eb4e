// The worker that does the computing, so that the page never stands still.

import type { Box } from "./core/crop";
import type { Coefficients } from "./core/blendshapes";
import { distanceFromEdges, drawSilhouette } from "./core/edges";
import { buildHead, fitFace, type Head } from "./core/head";
import type { HeadModel, Surface } from "./core/headModel";
import { meetOutline } from "./core/outline";
import { type Face, pick } from "./core/reconstruct";
import type { Picture } from "./core/picture";
import { drawDepth, findVisible, vertexNormals } from "./core/surface";
import { completeTexture, sampleTexture, textureSize } from "./core/texture";
import { open, type Opened } from "./runtime";

/** What the page gets of a face. */
export interface SeenFace {
  vertices: Float32Array;
  normals: Float32Array;
  landmarks: Float32Array;
  pose: Face["pose"];
  box: Face["box"];
  score: number;
  detectionScore: number | null;
  seen: Uint8Array; // (M·M,) 1 at map pixels that the viewer sees
}

/** What the page gets of a head; the rest is the same for all heads. */
export interface SeenHead extends Head {
  mean: Float32Array;
  surfaces: Surface[];
  triangles: Uint32Array;
}

export interface Times {
  detect: number;
  reconstruct: number;
}

export type Calls = {
  open: (base: string, mostThreads: number) => {
    contract: Opened["contract"];
    vertexIndex: Uint32Array;
    triangles: Uint32Array;
    canonical: Float32Array;
    threads: number;
  };
  reconstruct: (photo: ImageData) => { faces: SeenFace[]; times: Times };
  texture: (face: number) => { size: number; data: Uint8Array };
  expressions: () => Record<string, number>[];
  head: (face: number) => SeenHead;
  depth: () => { data: Float32Array; width: number; height: number };
  quicken: () => boolean;
  follow: (frame: ImageData, box: Box | null) => { face: SeenFace; next: Box } | null;
};

let opened: Opened;
let photo: Picture;
let faces: Face[] = [];
const seenOf = new WeakMap<Face, { normals: Float32Array; vertices: Uint8Array; map: Uint8Array }>();

const coefficients = new WeakMap<Face, Coefficients>();

const calls: { [Name in keyof Calls]: (...a: Parameters<Calls[Name]>) => Promise<ReturnType<Calls[Name]>> } = {
  async open(base, mostThreads) {
    opened = await open(base, mostThreads, (loaded) => self.postMessage({ loaded }));
    const { atlas } = opened.reconstructor;
    const { contract, threads } = opened;
    const { vertexIndex, triangles, canonical } = atlas;
    return { contract, vertexIndex, triangles, canonical, threads };
  },

  async reconstruct(image) {
    photo = pictureOf(image);
    const start = performance.now();
    const found = await opened.search.detect(photo);
    const middle = performance.now();
    faces = await opened.reconstructor.reconstruct(photo, found);
    const times = { detect: middle - start, reconstruct: performance.now() - middle };
    return { faces: faces.map(describe), times };
  },

  async texture(index) {
    const { width, data } = textureOf(faces[index]);
    return { size: width, data: data as Uint8Array };
  },

  async expressions() {
    const model = await opened.head();
    return faces.map((face) => {
      const { expression } = coefficientsOf(face, model);
      return Object.fromEntries(model.names.map((name, e) => [name, expression[e]]));
    });
  },

  async head(index) {
    const face = faces[index];
    const model = await opened.head();
    const head = buildHead(face.map, face.pose, coefficientsOf(face, model), textureOf(face, true), photo, model);
    return { ...head, mean: model.vertices, surfaces: model.surfaces, triangles: model.triangles };
  },

  async depth() {
    const { width, height } = photo;
    const data = new Float32Array(width * height).fill(-Infinity);
    for (const face of faces) {
      const own = drawDepth(face.vertices, opened.reconstructor.atlas.triangles, width, height, true);
      for (let i = 0; i < data.length; i++) if (own[i] > data[i]) data[i] = own[i];
    }
    return { data, width, height };
  },

  async quicken() {
    return opened.quicken();
  },

  async follow(image, box) {
    const frame = pictureOf(image);
    let known = box;
    if (!known) {
      const [largest] = await opened.search.detect(frame);
      if (!largest) return null;
      known = {
        x0: largest.x - largest.width / 2,
        y0: largest.y - largest.height / 2,
        x1: largest.x + largest.width / 2,
        y1: largest.y + largest.height / 2,
        angleDeg: (largest.angle * 180) / Math.PI,
      };
    }
    const followed = await opened.reconstructor.follow(frame, known);
    return followed && { face: describe(followed.face), next: followed.next };
  },
};

const pictureOf = (image: ImageData): Picture => ({ ...sizeOf(image), channels: 4, data: image.data });
const sizeOf = ({ width, height }: ImageData) => ({ width, height });

/** What the head model says of a face, found once. */
function coefficientsOf(face: Face, model: HeadModel): Coefficients {
  const known = coefficients.get(face) ?? fitFace(face.map, face.pose, model);
  coefficients.set(face, known);
  return known;
}

/** @param willMove - Whether eyes and mouth are going to open and close. */
function textureOf(face: Face, willMove = false): Picture {
  const { atlas } = opened.reconstructor;
  const { rotation } = face.pose;
  const side = atlas.size;
  const { map: seen, normals } = surfaceOf(face);
  const size = textureSize(face.map, seen, side);
  const [facing, edge, sideward] = [0, 1, 2].map(() => new Float32Array(side * side));
  const silhouette = drawSilhouette(face.vertices, atlas.triangles);
  const distance = distanceFromEdges(silhouette, willMove);
  atlas.vertexIndex.forEach((pixel, v) => {
    facing[pixel] = normals[3 * v + 2];
    edge[pixel] = distance[v];
    sideward[pixel] = rotation.reduce((sum, row, axis) => sum + row[0] * normals[3 * v + axis], 0);
  });
  const places = meetOutline(photo, face.map, normals, atlas, rotation, silhouette);
  return completeTexture(sampleTexture(photo, places, seen, side, size), size, facing, edge, sideward, side);
}

/** What is read off the mesh once. */
function surfaceOf(face: Face) {
  const known = seenOf.get(face);
  if (known) return known;
  const { atlas } = opened.reconstructor;
  const normals = vertexNormals(face.vertices, atlas.triangles);
  const vertices = findVisible(face.vertices, atlas.triangles, normals);
  const map = new Uint8Array(atlas.size * atlas.size);
  atlas.vertexIndex.forEach((pixel, v) => (map[pixel] = vertices[v]));
  const surface = { normals, vertices, map };
  seenOf.set(face, surface);
  return surface;
}

function describe(face: Face): SeenFace {
  const { normals, map } = surfaceOf(face);
  const { landmarks, pose, box, score, detectionScore } = face;
  const vertices = pick(face.map, opened.reconstructor.atlas.vertexIndex);
  return { vertices, normals: normals.slice(), landmarks, pose, box, score, detectionScore, seen: map.slice() };
}

self.onmessage = async ({ data }: MessageEvent) => {
  const { id, name, args } = data as { id: number; name: keyof Calls; args: never[] };
  try {
    const call = calls[name] as (...a: never[]) => Promise<unknown>;
    self.postMessage({ id, result: await call(...args) });
  } catch (error) {
    self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
