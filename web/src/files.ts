// Downloads: the files of src/prnet/mesh/files.py and apps/records.py, made in the browser.

import type { Contract } from "./core/contract";
import { dense } from "./core/headModel";
import type { Picture } from "./core/picture";
import { pick } from "./core/reconstruct";
import { vertexNormals } from "./core/surface";
import { encodeGlb, type Primitive } from "./glb";
import type { SeenFace, SeenHead } from "./worker";

const JPEG_QUALITY = 0.95;
const DECIMALS = 1e6;
const WEIGHT_DECIMALS = 1e4;

/** A textured mesh in metres, y up, z toward the viewer. */
export interface Mesh {
  vertices: Float32Array;
  normals: Float32Array;
  triangles: Uint32Array;
  uv: Float32Array; // v down
  size: number; // of the texture
  rgb: Uint8Array;
}

/** Vertices of the photo frame → metres about their mean, as large as the canonical face. */
export function meshVertices(face: SeenFace): Float32Array {
  const { vertices } = face;
  const mean = [0, 0, 0];
  vertices.forEach((value, i) => (mean[i % 3] += value));
  const count = vertices.length / 3;
  const unit = 1 / (face.pose.scale * 100);
  return vertices.map((value, i) => (value - mean[i % 3] / count) * (i % 3 === 1 ? -unit : unit));
}

export async function glb(mesh: Mesh): Promise<Blob> {
  const { vertices, normals, uv, triangles } = mesh;
  const picture = await encode(pictureOf(mesh), "image/jpeg");
  const look = { name: "face", picture, roughness: 1, hasTwoSides: true };
  return encodeGlb("face", [{ vertices, normals, uv, triangles, look }]);
}

/** A head that moves, as `prnet head` writes it: metres, y up, facing +z. */
export async function headGlb(head: SeenHead, names: string[], weights: ArrayLike<number>): Promise<Blob> {
  const metres = (cm: ArrayLike<number>) => Float32Array.from(cm, (value) => value / 100);
  const neutral = metres(head.neutral);
  const normals = vertexNormals(neutral, head.triangles, true);
  const targets = head.targets.map((target) => {
    const moves = metres(dense(target, neutral.length / 3));
    const bent = vertexNormals(neutral.map((value, i) => value + moves[i]), head.triangles, true);
    return { moves, turns: bent.map((value, i) => value - normals[i]) };
  });
  const primitives: Primitive[] = [];
  for (const { name, vertices, uv, triangles, roughness, color, is_thin: isThin } of head.surfaces) {
    const rows = (values: Float32Array) => pick(values, vertices);
    const texture = head.textures[name];
    const picture = color ? null : await encode(texture, isThin ? "image/png" : "image/jpeg");
    primitives.push({
      vertices: rows(neutral),
      normals: rows(normals),
      uv,
      triangles: Uint32Array.from(triangles),
      look: { name, picture, roughness, isThin, ...(color && { color }) },
      targets: targets.map(({ moves, turns }) => ({ moves: rows(moves), turns: rows(turns) })),
    });
  }
  const rounded = Array.from(weights, roundWeight);
  return encodeGlb("head", primitives, { names, weights: rounded });
}

export async function objZip(mesh: Mesh, name: string): Promise<Blob> {
  const material = `${name}_obj`;
  const lines = [`mtllib ${name}.mtl\nusemtl ${material}`];
  const { vertices, uv, triangles } = mesh;
  for (let i = 0; i < vertices.length; i += 3) {
    lines.push(`v ${vertices[i].toFixed(7)} ${vertices[i + 1].toFixed(7)} ${vertices[i + 2].toFixed(7)}`);
  }
  for (let i = 0; i < uv.length; i += 2) lines.push(`vt ${uv[i].toFixed(7)} ${(1 - uv[i + 1]).toFixed(7)}`);
  for (let i = 0; i < triangles.length; i += 3) {
    const [a, b, c] = [triangles[i] + 1, triangles[i + 1] + 1, triangles[i + 2] + 1];
    lines.push(`f ${a}/${a} ${b}/${b} ${c}/${c}`);
  }
  const mtl = `newmtl ${material}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nNs 1\nmap_Kd ${material}.png\n`;
  const encoder = new TextEncoder();
  return zip({
    [`${name}.obj`]: encoder.encode(lines.join("\n") + "\n"),
    [`${name}.mtl`]: encoder.encode(mtl),
    [`${material}.png`]: new Uint8Array(await (await encode(pictureOf(mesh), "image/png")).arrayBuffer()),
  });
}

export function ply(mesh: Mesh): Blob {
  const count = mesh.vertices.length / 3;
  const faces = mesh.triangles.length / 3;
  const names = ["x", "y", "z", "nx", "ny", "nz"].map((name) => `property float ${name}`);
  const colors = ["red", "green", "blue"].map((name) => `property uchar ${name}`);
  const header = [
    "ply", "format binary_little_endian 1.0", `element vertex ${count}`, ...names, ...colors,
    `element face ${faces}`, "property list uchar int vertex_indices", "end_header\n",
  ].join("\n");
  const view = new DataView(new ArrayBuffer(count * 27 + faces * 13));
  let offset = 0;
  for (let v = 0; v < count; v++) {
    for (const values of [mesh.vertices, mesh.normals]) {
      for (let c = 0; c < 3; c++, offset += 4) view.setFloat32(offset, values[3 * v + c], true);
    }
    const x = Math.min(Math.floor(mesh.uv[2 * v] * mesh.size), mesh.size - 1);
    const y = Math.min(Math.floor(mesh.uv[2 * v + 1] * mesh.size), mesh.size - 1);
    for (let c = 0; c < 3; c++) view.setUint8(offset++, mesh.rgb[3 * (y * mesh.size + x) + c]);
  }
  for (let i = 0; i < mesh.triangles.length; i += 3) {
    view.setUint8(offset++, 3);
    for (let c = 0; c < 3; c++, offset += 4) view.setInt32(offset, mesh.triangles[i + c], true);
  }
  return blobOf([new TextEncoder().encode(header), new Uint8Array(view.buffer)], "model/ply");
}

/** `<name>.json` of `prnet reconstruct` without the other files; expressions null where no head model fits. */
export function record(
  contract: Contract, name: string, file: string, width: number, height: number, faces: SeenFace[],
  expressions: Record<string, number>[] | null,
): Blob {
  const plain = (value: number) => Math.round(value * DECIMALS) / DECIMALS;
  const rows = (values: Float32Array) =>
    Array.from({ length: values.length / 3 }, (_, i) => [...values.subarray(3 * i, 3 * i + 3)].map(plain));
  const described = faces.map(({ box, score, detectionScore, pose, landmarks }, i) => ({
    box: box.map(plain),
    score: plain(score),
    detection_score: detectionScore === null ? null : plain(detectionScore),
    pose: {
      yaw: plain(pose.yaw),
      pitch: plain(pose.pitch),
      roll: plain(pose.roll),
      scale: plain(pose.scale),
      rotation: pose.rotation.map((row) => row.map(plain)),
      translation: pose.translation.map(plain),
    },
    landmarks68: rows(landmarks),
    expression: expressions && weightsOf(expressions[i]),
    atlas: contract.atlas.sha256,
    files: {},
  }));
  const content = {
    ...contract.record, file, path: null, sha256: null, width, height, faces: described, files: {},
    written: [`${name}.json`],
  };
  return new Blob([JSON.stringify(content)], { type: "application/json" });
}

const roundWeight = (weight: number): number => Math.round(weight * WEIGHT_DECIMALS) / WEIGHT_DECIMALS;

const weightsOf = (expression: Record<string, number>) =>
  Object.fromEntries(
    Object.entries(expression).map(([name, weight]) => [name, roundWeight(weight)]),
  );

const pictureOf = ({ size, rgb }: Mesh): Picture => ({ width: size, height: size, channels: 3, data: rgb });

async function encode({ width, height, channels, data }: Picture, type: string): Promise<Blob> {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    image.data[4 * i + 3] = 255;
    for (let c = 0; c < channels; c++) image.data[4 * i + c] = data[channels * i + c];
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type, quality: JPEG_QUALITY });
}

/** A ZIP archive, its files stored as they are: PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.3.16. */
function zip(files: Record<string, Uint8Array>): Blob {
  const locals: Uint8Array[] = [];
  const centrals: Uint8Array[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const title = new TextEncoder().encode(name);
    const shared = [
      ...[[2, 20], [2, 0x0800], [2, 0], [2, 0], [2, 0x21]], // version, UTF-8 names, stored, 1980-01-01
      ...[[4, crc32(content)], [4, content.length], [4, content.length], [2, title.length], [2, 0]],
    ];
    const local = joined([little([[4, 0x04034b50], ...shared]), title, content]);
    const rest = [[2, 0], [2, 0], [2, 0], [4, 0], [4, offset]];
    centrals.push(joined([little([[4, 0x02014b50], [2, 20], ...shared, ...rest]), title]));
    locals.push(local);
    offset += local.length;
  }
  const directory = joined(centrals);
  const count = locals.length;
  const end = little([
    ...[[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count]],
    ...[[4, directory.length], [4, offset], [2, 0]],
  ]);
  return blobOf([...locals, directory, end], "application/zip");
}

/** Whole numbers of so many bytes each, little-endian. */
function little(fields: number[][]): Uint8Array {
  return new Uint8Array(
    fields.flatMap(([size, value]) => Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 255)),
  );
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let k = 0; k < 8; k++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function joined(parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

const blobOf = (parts: Uint8Array[], type: string): Blob => new Blob(parts as BlobPart[], { type });

/** Hand a file to whoever looks at the page. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
