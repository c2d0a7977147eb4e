// Photo → faces: src/prnet/reconstructor.py.

import type { Atlas, Contract } from "./contract";
import { boxToCrop, type Box, cutCrop } from "./crop";
import { sampleMap } from "./linear";
import type { Picture } from "./picture";
import type { Found } from "./search";
import { apply2, inPlaneAngle, invert2, type Pose, PoseFit, scale2 } from "./similarity";

/** What the network says of N crops: maps of its own scale, and how far to trust each. */
export type Regress = (
  pixels: Float32Array, count: number,
) => Promise<{ maps: Float32Array; confidences: Float32Array | null }>;

/** A face in the photo frame: pixels, x right, y down, z toward the viewer. */
export interface Face {
  map: Float32Array; // (M, M, 3)
  vertices: Float32Array; // (V, 3)
  landmarks: Float32Array; // (68, 3)
  pose: Pose;
  box: [number, number, number, number];
  angleDeg: number;
  score: number;
  detectionScore: number | null;
}

interface View {
  map: Float32Array;
  confidence: number | null;
  box: Box;
}

export class Reconstructor {
  readonly poseFit: PoseFit;

  constructor(
    private readonly contract: Contract,
    readonly atlas: Atlas,
    private readonly regress: Regress,
  ) {
    this.poseFit = new PoseFit(pick(atlas.canonical, atlas.rigid));
  }

  /** The faces in what a detector found, best first. */
  async reconstruct(photo: Picture, found: Found[]): Promise<Face[]> {
    if (!found.length) return [];
    const boxes = found.map(
      (each): Box => ({
        x0: Math.fround(each.x - each.width / 2),
        y0: Math.fround(each.y - each.height / 2),
        x1: Math.fround(each.x + each.width / 2),
        y1: Math.fround(each.y + each.height / 2),
        angleDeg: (Math.atan2(Math.sin(each.angle), Math.cos(each.angle)) * 180) / Math.PI,
      }),
    );
    const views = await this.lookAround(photo, await this.look(photo, boxes));
    const faces: Face[] = [];
    views.forEach((view, i) => {
      const sure = found[i].score;
      const how = this.contract.reconstruct;
      const least = sure >= how.sure_score ? how.least_confidence : how.least_confidence_unsure;
      if (view.confidence !== null && view.confidence < least) return;
      faces.push(this.faceOf(view, boxes[i], sure));
    });
    const rank = new Map(faces.map((face) => [face, face.score * visibleSize(face.box, photo)]));
    return faces.sort((a, b) => rank.get(b)! - rank.get(a)!);
  }

  /** A face whose box is known, as from the frame before; null if the network doesn't see one. */
  async follow(photo: Picture, box: Box): Promise<{ face: Face; next: Box } | null> {
    const [view] = await this.look(photo, [box]);
    const least = this.contract.reconstruct.unsure_detected;
    if (view.confidence !== null && view.confidence < least) return null;
    return { face: this.faceOf(view, box, null), next: this.boxSeen(photo, view) };
  }

  private faceOf(view: View, box: Box, detectionScore: number | null): Face {
    const { atlas } = this;
    const vertices = pick(view.map, atlas.vertexIndex);
    return {
      map: view.map,
      vertices,
      landmarks: this.landmarksOf(view.map),
      pose: this.poseFit.fit(pick(vertices, atlas.rigid)),
      box: [box.x0, box.y0, box.x1, box.y1],
      angleDeg: box.angleDeg,
      score: view.confidence ?? detectionScore ?? 1,
      detectionScore,
    };
  }

  private async look(photo: Picture, boxes: Box[]): Promise<View[]> {
    const { spec, crop } = this.contract;
    const size = spec.input_size;
    const moves = boxes.map((box) => boxToCrop(box, size, spec.crop_scale));
    const pixels = new Float32Array(boxes.length * 3 * size * size);
    moves.forEach((move, n) => {
      const { data } = cutCrop(photo, move, size, crop);
      for (let c = 0; c < 3; c++) {
        const start = (n * 3 + c) * size * size;
        for (let i = 0; i < size * size; i++) {
          pixels[start + i] = (data[3 * i + c] - spec.pixel_mean) / spec.pixel_std;
        }
      }
    });
    const { maps, confidences } = await this.regress(pixels, boxes.length);
    const length = maps.length / boxes.length;
    return boxes.map((box, n) => {
      const map = maps.slice(n * length, (n + 1) * length);
      this.place(map, moves[n]);
      return { map, confidence: confidences ? confidences[n] : null, box };
    });
  }

  /** The network's numbers → the photo frame, in place. */
  private place(map: Float32Array, move: ReturnType<typeof boxToCrop>): void {
    const { position_scale: scale, position_offset: offset } = this.contract.spec;
    const back = invert2(move);
    const factor = scale2(back);
    let depth = 0;
    for (const vertex of this.atlas.vertexIndex) depth += map[3 * vertex + 2];
    depth /= this.atlas.vertexIndex.length;
    for (let i = 0; i < map.length; i += 3) {
      const x = map[i] * scale + offset[0];
      const y = map[i + 1] * scale + offset[1];
      [map[i], map[i + 1]] = apply2(back, x, y);
      map[i + 2] = (map[i + 2] - depth) * scale * factor;
    }
  }

  /** Faces of which the network isn't sure, seen at other angles; the surest view of each. */
  private async lookAround(photo: Picture, views: View[]): Promise<View[]> {
    const how = this.contract.reconstruct;
    const unsure = views.flatMap((view, i) =>
      view.confidence !== null && view.confidence < how.unsure_detected ? [i] : [],
    );
    if (!unsure.length) return views;
    const turned = how.other_angles_deg.flatMap((angle) =>
      unsure.map((i) => ({ ...views[i].box, angleDeg: views[i].box.angleDeg + angle })),
    );
    const others = await this.look(photo, turned);
    const surest = (all: View[]) => all.reduce((a, b) => (b.confidence! > a.confidence! ? b : a));
    const best = unsure.map((i, k) =>
      surest([views[i], ...others.filter((_, n) => n % unsure.length === k)]),
    );
    const again = await this.look(photo, best.map((view) => this.boxSeen(photo, view)));
    const result = [...views];
    unsure.forEach((i, k) => (result[i] = surest([best[k], again[k]])));
    return result;
  }

  /** The box tight around a view's landmarks, at its angle; the old one if it left the photo. */
  private boxSeen(photo: Picture, view: View): Box {
    const rigid = pick(pick(view.map, this.atlas.vertexIndex), this.atlas.rigid);
    const angle = inPlaneAngle(this.poseFit.fit(rigid).rotation);
    const cos = Math.cos(angle);
    const sin = Math.sin(angle);
    const points = this.landmarksOf(view.map);
    const low = [Infinity, Infinity];
    const high = [-Infinity, -Infinity];
    for (let i = 0; i < points.length; i += 3) {
      const upright = [cos * points[i] + sin * points[i + 1], cos * points[i + 1] - sin * points[i]];
      for (const axis of [0, 1]) {
        low[axis] = Math.min(low[axis], upright[axis]);
        high[axis] = Math.max(high[axis], upright[axis]);
      }
    }
    const middle = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
    const x = cos * middle[0] - sin * middle[1];
    const y = cos * middle[1] + sin * middle[0];
    const reach = [(high[0] - low[0]) / 2, (high[1] - low[1]) / 2];
    const box: Box = {
      x0: x - reach[0],
      y0: y - reach[1],
      x1: x + reach[0],
      y1: y + reach[1],
      angleDeg: (angle * 180) / Math.PI,
    };
    const isInside =
      box.x0 < photo.width - 0.5 && box.y0 < photo.height - 0.5 && box.x1 > -0.5 && box.y1 > -0.5;
    return isInside ? box : view.box;
  }

  private landmarksOf(map: Float32Array): Float32Array {
    const { size, landmarksUv: uv } = this.atlas;
    return sampleMap(map, size, uv, new Float32Array((uv.length / 2) * 3));
  }
}

/** Rows of (N, 3) points by index. */
export function pick(points: Float32Array, indices: Uint32Array | Uint16Array): Float32Array {
  const picked = new Float32Array(indices.length * 3);
  for (let i = 0; i < indices.length; i++) {
    const from = 3 * indices[i];
    picked[3 * i] = points[from];
    picked[3 * i + 1] = points[from + 1];
    picked[3 * i + 2] = points[from + 2];
  }
  return picked;
}

function visibleSize(box: Face["box"], photo: Picture): number {
  const inside = (value: number, length: number) => Math.min(Math.max(value, -0.5), length - 0.5);
  const width = inside(box[2], photo.width) - inside(box[0], photo.width);
  const height = inside(box[3], photo.height) - inside(box[1], photo.height);
  return Math.sqrt(width * height);
}
