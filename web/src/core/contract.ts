// What `prnet serve` and `prnet serve --static-export` say in model/model.json (src/prnet/serve/page.py).

const TYPES = {
  float64: Float64Array,
  float32: Float32Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  int8: Int8Array,
};

export interface ArrayPlace {
  name: string;
  type: keyof typeof TYPES;
  count: number;
}

export type Arrays = Record<string, InstanceType<(typeof TYPES)[keyof typeof TYPES]>>;

/** The arrays of a file, which lie in it one behind the other. */
export function readArrays(places: ArrayPlace[], bytes: ArrayBuffer): Arrays {
  const found: Arrays = {};
  let offset = 0;
  for (const { name, type, count } of places) {
    const Type = TYPES[type];
    found[name] = new Type(bytes, offset, count);
    offset += count * Type.BYTES_PER_ELEMENT;
  }
  return found;
}

/** What some parts of a head look like. */
export interface Material {
  name: string;
  parts: string[];
  roughness: number;
  color: [number, number, number] | null; // linear; null for a texture
  is_thin: boolean;
}

export interface Contract {
  version: string;
  spec: {
    name: string;
    input_size: number;
    pixel_mean: number;
    pixel_std: number;
    crop_scale: number;
    position_scale: number;
    position_offset: [number, number, number];
    licence: string;
  };
  atlas: {
    sha256: string;
    size: number;
    arrays: ArrayPlace[];
    canonical_low: [number, number, number];
    canonical_high: [number, number, number];
  };
  parts: { points: number[]; is_closed: boolean; color: string }[];
  detector: {
    strides: number[];
    unit_strides: number;
    same_box: number;
    min_score: number;
    hint_score: number;
    coarse_hint_score: number;
  };
  search: {
    sure_px: number;
    look_px: number;
    fine_px: number;
    large_photo: number;
    refinement: number;
    worthwhile_refinement: number;
    smallest_px: number;
    smallest_face: number;
    look_beyond: number;
    largest_enlargement: number;
    tile_core_px: number;
    largest_fine_px: number;
    block_px: number;
    plain: number;
    same_face: number;
    sure_score: number;
    clear_score: number;
    filling_px: number;
    filling_clear_score: number;
    small_doubt: number;
    doubt: number;
    border_doubt: number;
    turned_doubt: number;
    close_px: number;
    closer_px: number;
    closer_look_px: number;
    most_closer: number;
    hint_slack: number;
  };
  reconstruct: {
    unsure: number;
    unsure_detected: number;
    other_angles_deg: number[];
    least_confidence: number;
    least_confidence_unsure: number;
    sure_score: number;
  };
  head: {
    names: string[];
    identities: number;
    expression_step: number;
    uv_steps: number;
    surfaces: (Material & { rows: number; triangles: number })[];
    eyes: { side: "Left" | "Right"; axis: [number, number, number] }[];
    arrays: ArrayPlace[];
  } | null; // null where the model has another UV space
  crop: { pre_shrink: number; halve_above: number; blur_below: number; blur_px: number };
  record: {
    format: string;
    version: number;
    generator: string;
    units: Record<string, string>;
    frames: Record<string, string>;
  };
}

/** The UV space. */
export interface Atlas {
  size: number;
  vertexIndex: Uint32Array;
  triangles: Uint32Array;
  landmarksUv: Float32Array;
  canonical: Float32Array; // (V, 3) cm, y up
  rigid: Uint32Array; // indices of vertices
}

export function readAtlas(contract: Contract, bytes: ArrayBuffer): Atlas {
  const { arrays, size, canonical_low: low, canonical_high: high } = contract.atlas;
  const found = readArrays(arrays, bytes);
  const levels = found.canonical as Uint16Array;
  const canonical = new Float32Array(levels.length);
  for (let i = 0; i < levels.length; i++) {
    canonical[i] = low[i % 3] + ((high[i % 3] - low[i % 3]) * levels[i]) / 65535;
  }
  return {
    size,
    vertexIndex: found.vertex_index as Uint32Array,
    triangles: found.triangles as Uint32Array,
    landmarksUv: found.landmarks68_uv as Float32Array,
    canonical,
    rigid: found.rigid_vertices as Uint32Array,
  };
}
