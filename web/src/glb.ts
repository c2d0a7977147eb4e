// GLB files: glTF 2.0 with its buffer in one piece, as src/prnet/mesh/files.py and head/glb.py write them.

const FLOAT = 5126;
const UNSIGNED_INT = 5125;
const UNSIGNED_SHORT = 5123;
const VERTICES = 34962;
const INDICES = 34963;
const LEAST_MOVE_M = 5e-5; // vertices that a target moves by less, and turns less, don't move
const LEAST_TURN = 0.02; // difference of normals

type Json = Record<string, unknown>;

/** What a surface looks like: a picture's file, or a linear color. */
export interface Look {
  name: string;
  picture: Blob | null;
  color?: readonly number[];
  roughness: number;
  isThin?: boolean; // its alpha counts
  hasTwoSides?: boolean;
}

export interface Primitive {
  vertices: Float32Array; // metres
  normals: Float32Array;
  uv: Float32Array; // v down
  triangles: Uint32Array;
  look: Look;
  targets?: { moves: Float32Array; turns: Float32Array }[]; // up to 65536 vertices
}

class Glb {
  private readonly parts: Uint8Array[] = [];
  private length = 0;
  private readonly bufferViews: Json[] = [];
  private readonly accessors: Json[] = [];
  private readonly materials: Json[] = [];
  private readonly textures: Json[] = [];
  private readonly images: Json[] = [];
  private readonly nothing = new Map<number, number>(); // accessors of zeros by their length

  async primitive({ vertices, normals, uv, triangles, look, targets }: Primitive): Promise<Json> {
    return {
      attributes: {
        POSITION: this.accessor(vertices, "VEC3", VERTICES, bounds(vertices)),
        NORMAL: this.accessor(normals, "VEC3", VERTICES),
        ...(look.picture && { TEXCOORD_0: this.accessor(uv, "VEC2", VERTICES) }),
      },
      indices: this.accessor(triangles, "SCALAR", INDICES),
      material: await this.material(look),
      ...(targets && { targets: targets.map(({ moves, turns }) => this.target(moves, turns)) }),
    };
  }

  file(name: string, mesh: Json): Blob {
    const json = JSON.stringify({
      asset: { version: "2.0", generator: "prnet" },
      scene: 0,
      scenes: [{ nodes: [0] }],
      nodes: [{ name, mesh: 0 }],
      meshes: [{ name, ...mesh }],
      materials: this.materials,
      textures: this.textures,
      images: this.images,
      samplers: [{ magFilter: 9729, minFilter: 9987, wrapS: 33071, wrapT: 33071 }],
      accessors: this.accessors,
      bufferViews: this.bufferViews,
      buffers: [{ byteLength: this.length }],
    });
    const text = padded(new TextEncoder().encode(json), 0x20);
    const header = new Uint32Array([0x46546c67, 2, 28 + text.length + this.length]);
    const chunk = (length: number, kind: number) => new Uint32Array([length, kind]);
    const parts = [header, chunk(text.length, 0x4e4f534a), text, chunk(this.length, 0x004e4942), ...this.parts];
    return new Blob(parts as BlobPart[], { type: "model/gltf-binary" });
  }

  private async material({ name, picture, color, roughness, isThin, hasTwoSides }: Look): Promise<number> {
    const look: Json = { metallicFactor: 0, roughnessFactor: roughness };
    if (picture) {
      const bytes = new Uint8Array(await picture.arrayBuffer());
      this.images.push({ bufferView: this.view(bytes), mimeType: picture.type });
      this.textures.push({ source: this.images.length - 1, sampler: 0 });
      look.baseColorTexture = { index: this.textures.length - 1 };
    } else look.baseColorFactor = [...color!, 1];
    this.materials.push({
      name,
      pbrMetallicRoughness: look,
      ...(isThin && { alphaMode: "BLEND" }),
      ...((isThin || hasTwoSides) && { doubleSided: true }),
    });
    return this.materials.length - 1;
  }

  private target(moves: Float32Array, turns: Float32Array): Json {
    const rows: number[] = [];
    for (let v = 0; v < moves.length; v += 3) {
      const most = (values: Float32Array) =>
        Math.max(Math.abs(values[v]), Math.abs(values[v + 1]), Math.abs(values[v + 2]));
      if (most(moves) > LEAST_MOVE_M || most(turns) > LEAST_TURN) rows.push(v / 3);
    }
    return { POSITION: this.sparse(moves, rows), NORMAL: this.sparse(turns, rows) };
  }

  /** An accessor of vectors that are zero but for some rows. */
  private sparse(values: Float32Array, rows: number[]): number {
    const count = values.length / 3;
    const known = rows.length ? undefined : this.nothing.get(count);
    if (known !== undefined) return known;
    const kept = Float32Array.from(rows.flatMap((v) => [...values.subarray(3 * v, 3 * v + 3)]));
    const { min, max } = bounds(rows.length < count ? Float32Array.of(0, 0, 0, ...kept) : kept);
    const place = this.accessors.push({ componentType: FLOAT, count, type: "VEC3", min, max }) - 1;
    if (!rows.length) this.nothing.set(count, place);
    else {
      this.accessors[place].sparse = {
        count: rows.length,
        indices: { bufferView: this.view(Uint16Array.from(rows)), componentType: UNSIGNED_SHORT },
        values: { bufferView: this.view(kept) },
      };
    }
    return place;
  }

  private accessor(
    values: Float32Array | Uint32Array, type: "SCALAR" | "VEC2" | "VEC3", target: number, limits?: Json,
  ): number {
    const componentType = values instanceof Float32Array ? FLOAT : UNSIGNED_INT;
    const count = values.length / { SCALAR: 1, VEC2: 2, VEC3: 3 }[type];
    const bufferView = this.view(values, target);
    return this.accessors.push({ bufferView, componentType, count, type, ...limits }) - 1;
  }

  private view(values: Float32Array | Uint32Array | Uint16Array | Uint8Array, target?: number): number {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const place = { buffer: 0, byteOffset: this.length, byteLength: bytes.length, ...(target && { target }) };
    const whole = padded(bytes, 0);
    this.parts.push(whole);
    this.length += whole.length;
    return this.bufferViews.push(place) - 1;
  }
}

/** A file of one mesh, and what moves it by name. */
export async function encodeGlb(
  name: string, primitives: Primitive[], motion?: { names: string[]; weights: number[] },
): Promise<Blob> {
  const glb = new Glb();
  const made: Json[] = [];
  for (const primitive of primitives) made.push(await glb.primitive(primitive));
  return glb.file(name, {
    primitives: made,
    ...(motion && { weights: motion.weights, extras: { targetNames: motion.names } }),
  });
}

function bounds(points: Float32Array): { min: number[]; max: number[] } {
  const min = [Infinity, Infinity, Infinity];
  const max = [-Infinity, -Infinity, -Infinity];
  points.forEach((value, i) => {
    min[i % 3] = Math.min(min[i % 3], value);
    max[i % 3] = Math.max(max[i % 3], value);
  });
  return { min, max };
}

function padded(bytes: Uint8Array, filler: number): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4).fill(filler);
  whole.set(bytes);
  return whole;
}
