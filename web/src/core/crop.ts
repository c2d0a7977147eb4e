// From box to crop: src/prnet/image/crop.py.

import type { Contract } from "./contract";
import {
  areaWeights, average, blur, cutOut, emptyPicture, halve, type Picture, rounded, roundHalfEven, shrinkArea,
} from "./picture";
import { apply2, invert2, scale2, type Similarity2 } from "./similarity";

/** A face's landmark box, turned about its centre by degrees, clockwise as seen. */
export interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  angleDeg: number;
}

export function boxToCrop(box: Box, size: number, cropScale: number): Similarity2 {
  const side = (cropScale * (box.x1 - box.x0 + box.y1 - box.y0)) / 2;
  const scale = size / side;
  const angle = (box.angleDeg * Math.PI) / 180;
  const a = scale * Math.cos(angle);
  const b = -scale * Math.sin(angle);
  const x = (box.x0 + box.x1) / 2;
  const y = (box.y0 + box.y1) / 2;
  return { a, b, x: (size - 1) / 2 - (a * x - b * y), y: (size - 1) / 2 - (b * x + a * y) };
}

/** Draw a crop, size × size RGB, black outside the photo. */
export function cutCrop(
  photo: Picture, move: Similarity2, size: number, how: Contract["crop"],
): Picture {
  return move.b === 0 ? cutUpright(photo, move, size, how) : cutRotated(photo, move, size, how);
}

function cutUpright(photo: Picture, move: Similarity2, size: number, how: Contract["crop"]): Picture {
  const side = size / move.a;
  const x = ((size - 1) / 2 - move.x) / move.a;
  const y = ((size - 1) / 2 - move.y) / move.a;
  const [left, right] = windowOf(x, side, photo.width);
  const [top, bottom] = windowOf(y, side, photo.height);
  const { part, step } = shrink(cutOut(photo, left, top, right, bottom), side / size, how);
  const columns = areaWeights(
    (x - side / 2 - left + 0.5) / step[0], side / size / step[0], size, part.width,
  );
  const rows = areaWeights(
    (y - side / 2 - top + 0.5) / step[1], side / size / step[1], size, part.height,
  );
  const data = rounded(average(part.data, part.width, part.height, 3, columns, rows));
  return { width: size, height: size, channels: 3, data };
}

function cutRotated(photo: Picture, move: Similarity2, size: number, how: Contract["crop"]): Picture {
  const scale = scale2(move);
  const back = invert2(move);
  const corners = [[0, 0], [size, 0], [0, size], [size, size]].map(([x, y]) =>
    apply2(back, x - 0.5, y - 0.5),
  );
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  const low = [Math.min(...xs), Math.min(...ys)];
  const high = [Math.max(...xs), Math.max(...ys)];
  const side = Math.max(high[0] - low[0], high[1] - low[1]) + (8 * how.blur_px) / scale;
  const [left, right] = windowOf((low[0] + high[0]) / 2, side, photo.width);
  const [top, bottom] = windowOf((low[1] + high[1]) / 2, side, photo.height);
  let part = cutOut(photo, left, top, right, bottom);
  let step = 1;
  while (scale * step * how.halve_above <= 1 && Math.min(part.width, part.height) > 1) {
    part = halve(part);
    step *= 2;
  }
  if (scale * step < how.blur_below) part = blur(part, how.blur_px / (scale * step));
  const half = (step - 1) / 2;
  return warp(part, size, (x, y) => {
    const [px, py] = apply2(back, x, y);
    return [(px - left - half) / step, (py - top - half) / step];
  });
}

/** A part many times finer than the crop is first averaged down. */
function shrink(
  part: Picture, finer: number, how: Contract["crop"],
): { part: Picture; step: [number, number] } {
  if (finer <= how.pre_shrink) return { part, step: [1, 1] };
  const factor = finer / how.pre_shrink;
  const width = Math.max(1, roundHalfEven(part.width / factor));
  const height = Math.max(1, roundHalfEven(part.height / factor));
  const step: [number, number] = [part.width / width, part.height / height];
  return { part: shrinkArea(part, width, height), step };
}

/** First and one past the last photo pixel that a crop can see along one axis. */
function windowOf(centre: number, side: number, length: number): [number, number] {
  const reach = side / 2 + 1;
  const inside = (place: number) => Math.min(Math.max(place, 0), length - 1);
  return [Math.floor(inside(centre - reach)), Math.ceil(inside(centre + reach)) + 1];
}

/** Interpolate linearly where each pixel comes from; black outside. */
function warp(part: Picture, size: number, from: (x: number, y: number) => [number, number]): Picture {
  const crop = emptyPicture(size, size);
  const { width, height, data } = part;
  let to = 0;
  for (let v = 0; v < size; v++) {
    for (let u = 0; u < size; u++, to += 3) {
      const [x, y] = from(u, v);
      const left = Math.floor(x);
      const top = Math.floor(y);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      const fx = x - left;
      const fy = y - top;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < 4; k++) {
          const column = left + (k & 1);
          const row = top + (k >> 1);
          if (column < 0 || row < 0 || column >= width || row >= height) continue;
          const weight = (k & 1 ? fx : 1 - fx) * (k >> 1 ? fy : 1 - fy);
          sum += weight * data[(row * width + column) * 3 + c];
        }
        crop.data[to + c] = sum + 0.5;
      }
    }
  }
  return crop;
}
