// The detector's way from a photo to boxes: src/prnet/detect/search.py, shrink.py, cells.py and
// geometry/oriented.py.

import type { Contract } from "./contract";
import { boxToCrop, cutCrop } from "./crop";
import {
  cutOut, emptyPicture, halve, type Picture, resizeLinear, roundHalfEven, shrinkArea,
} from "./picture";
import { apply2, invert2, scale2 } from "./similarity";

/** Center, size and angle (radians, clockwise as seen) of a face's box, and how sure it is. */
export interface Found {
  x: number;
  y: number;
  width: number;
  height: number;
  angle: number;
  score: number;
}

/** A picture whose sides are multiples of the largest stride → seven numbers a cell. */
export type Look = (picture: Picture) => Promise<Float32Array>;

const LARGEST_LOG = 6;
const sizeOf = (box: Found): number => Math.sqrt(box.width * box.height);

export class Search {
  constructor(private readonly contract: Contract, private readonly look: Look) {}

  /** The faces of a photo, largest first. */
  async detect(photo: Picture): Promise<Found[]> {
    const c = this.contract.search;
    const side = Math.max(photo.width, photo.height);
    const isLarge = side >= c.large_photo * c.look_px;
    // sizes in a coarse look aren't exact
    const least = c.hint_slack * Math.max(c.smallest_px, c.smallest_face * side);
    const see = async (find: typeof this.find, scale: number, largest: number, doubt: number) => {
      const found = await this.lookAt(photo, scale, (part) => find.call(this, part), largest);
      const hints = found.filter((box) => sizeOf(box) >= least);
      return this.lookCloser(photo, hints, scale, doubt);
    };
    let boxes: Found[] = [];
    const scales = [...this.scales(side)];
    // in a large photo the second look sees better what the first was unsure of
    const lastUsual = isLarge ? Math.min(1, scales.length - 1) : 0;
    const enough = isLarge ? 0 : c.sure_score;
    const unusual = [
      [this.findSmaller, c.border_doubt], [this.findTurned, c.turned_doubt],
    ] as const;
    for (const [number, scale] of scales.entries()) {
      boxes.push(...await see(this.find, scale, number ? c.largest_fine_px : Infinity, 0));
      for (const [find, doubt] of unusual) {
        if (number !== lastUsual || boxes.some((box) => box.score >= enough)) break;
        boxes.push(...await see(find, scales[0], Infinity, doubt));
      }
      boxes = this.keepDistinct(boxes);
      const isSmall = Math.min(...boxes.map(sizeOf)) * scale < c.look_beyond * c.sure_px;
      if (boxes.length && !isSmall && (number || !isLarge)) break;
    }
    return boxes.sort((a, b) => sizeOf(b) - sizeOf(a));
  }

  private *scales(side: number): Generator<number> {
    const c = this.contract.search;
    const finest = Math.min(1, c.sure_px / c.smallest_px, c.sure_px / (c.smallest_face * side));
    let scale = Math.min(c.largest_enlargement, c.look_px / side);
    yield scale;
    let following = c.fine_px / side;
    while (scale * c.worthwhile_refinement < finest) {
      scale = Math.min(following, finest);
      yield scale;
      following = scale * c.refinement;
    }
  }

  private async lookAt(
    photo: Picture, scale: number, find: (part: Picture) => Promise<Found[]>, largest: number,
  ): Promise<Found[]> {
    const { picture: whole, spacing, first } = resize(photo, scale);
    let picture = whole;
    if (largest < Infinity) {
      const part = this.livelyPart(picture);
      first[0] += spacing[0] * part.left;
      first[1] += spacing[1] * part.top;
      picture = part.picture;
    }
    const all: Found[] = [];
    for (const rows of this.tiles(picture.height)) {
      for (const columns of this.tiles(picture.width)) {
        const tile = cutOut(picture, columns.begin, rows.begin, columns.end, rows.end);
        for (const box of await find(tile)) {
          const x = box.x + columns.begin;
          const y = box.y + rows.begin;
          const isOwn =
            columns.core[0] <= x && x < columns.core[1] && rows.core[0] <= y && y < rows.core[1];
          if (!isOwn || !(box.width > 0 && box.height > 0) || sizeOf(box) > largest) continue;
          const factor = Math.sqrt(spacing[0] * spacing[1]);
          all.push({
            ...box,
            x: x * spacing[0] + first[0],
            y: y * spacing[1] + first[1],
            width: box.width * factor,
            height: box.height * factor,
          });
        }
      }
    }
    return all;
  }

  /** Look from nearby at what is small in a look or not clear: what is left of it is a face. */
  private async lookCloser(
    photo: Picture, boxes: Found[], scale: number, doubt: number,
  ): Promise<Found[]> {
    const c = this.contract.search;
    const least = this.contract.detector.min_score + doubt;
    const unclear = this.contract.detector.min_score + Math.max(doubt, c.doubt);
    const isSmall = (box: Found) => sizeOf(box) * scale < c.close_px;
    const isClear = (box: Found) => !isSmall(box) && box.score >= Math.max(least, c.clear_score);
    const kept = boxes.filter(isClear);
    const hints = boxes.filter((box) => !isClear(box)).sort((a, b) => b.score - a.score);
    for (const hint of hints.slice(0, c.most_closer)) {
      if (isSmall(hint)) {
        // what angle it has can't be told well from afar
        const found = await this.closerFace(photo, hint, 0, least);
        if (found) kept.push(found);
      } else if (hint.score >= c.sure_score || !kept.length) {
        // what is less than sure of a large face is worth a look where there is nothing else
        const found = await this.closerFace(photo, hint, hint.angle, 2 * unclear - hint.score);
        if (found) kept.push({ ...hint, score: (hint.score + found.score) / 2 });
      }
    }
    return kept;
  }

  /** The face of about a place and size, seen from nearby in the photo turned back by an angle. */
  private async closerFace(
    photo: Picture, hint: Found, angle: number, least: number,
  ): Promise<Found | undefined> {
    const c = this.contract.search;
    const size = c.closer_look_px;
    const side = (sizeOf(hint) * size) / c.closer_px;
    const { window, left, top } = around(photo, hint.x, hint.y, side);
    // shrunk as looks are, which is quicker than as crops are
    const isShrunk = sizeOf(hint) > c.closer_px;
    const { picture, spacing, first }: Resized = isShrunk
      ? resize(window, c.closer_px / sizeOf(hint))
      : { picture: window, spacing: [1, 1], first: [0, 0] };
    const [firstX, firstY] = [first[0] + left, first[1] + top];
    const step = Math.sqrt(spacing[0] * spacing[1]);
    const [x, y] = [(hint.x - firstX) / spacing[0], (hint.y - firstY) / spacing[1]];
    const reach = side / step / 2;
    const square = {
      x0: x - reach, y0: y - reach, x1: x + reach, y1: y + reach, angleDeg: (angle * 180) / Math.PI,
    };
    const move = boxToCrop(square, size, 1);
    const middle = (size - 1) / 2;
    let best: Found | undefined;
    for (const box of await this.find(cutCrop(picture, move, size, this.contract.crop))) {
      const isNear = Math.hypot(box.x - middle, box.y - middle) <= c.closer_px / 2;
      const fits = isNear && Math.abs(Math.log2(sizeOf(box) / c.closer_px)) <= 1;
      if (fits && box.score >= Math.max(least, best?.score ?? 0)) best = box;
    }
    if (!best) return undefined;
    const [foundX, foundY] = apply2(invert2(move), best.x, best.y);
    return {
      x: foundX * spacing[0] + firstX,
      y: foundY * spacing[1] + firstY,
      width: (best.width * step) / scale2(move),
      height: (best.height * step) / scale2(move),
      angle: best.angle + angle,
      score: best.score,
    };
  }

  /** Look once at a picture of any size, for hints; black fills it up to a multiple of the largest stride. */
  private async find(picture: Picture): Promise<Found[]> {
    const step = Math.max(...this.contract.detector.strides);
    const width = Math.ceil(picture.width / step) * step;
    const height = Math.ceil(picture.height / step) * step;
    const filled = emptyPicture(width, height);
    for (let y = 0; y < picture.height; y++) {
      const row = picture.data.subarray(y * picture.width * 3, (y + 1) * picture.width * 3);
      filled.data.set(row, y * width * 3);
    }
    const { min_score, hint_score } = this.contract.detector;
    const least = Math.min(min_score, hint_score);
    const boxes = this.decode(await this.look(filled), width, height, least / 2);
    // lower scores are only to be blended with
    const kept = this.keepDistinct(boxes.filter((box) => box.score >= least));
    return kept.map((box) => blend(box, boxes, this.contract.detector.same_box));
  }

  private decode(cells: Float32Array, width: number, height: number, least: number): Found[] {
    const { strides, unit_strides: unit } = this.contract.detector;
    const threshold = Math.log(least / (1 - least));
    const found: Found[] = [];
    const clipped = (value: number) => Math.min(Math.max(value, -LARGEST_LOG), LARGEST_LOG);
    let i = 0;
    const count = cells.length / 7; // all cells' scores, then all x …
    for (const stride of strides) {
      for (let row = 0; row < Math.floor(height / stride); row++) {
        for (let column = 0; column < Math.floor(width / stride); column++, i++) {
          if (!(cells[i] >= threshold)) continue;
          found.push({
            x: (column + 0.5) * stride - 0.5 + cells[i + count] * stride,
            y: (row + 0.5) * stride - 0.5 + cells[i + 2 * count] * stride,
            width: Math.exp(clipped(cells[i + 3 * count])) * unit * stride,
            height: Math.exp(clipped(cells[i + 4 * count])) * unit * stride,
            angle: Math.atan2(cells[i + 6 * count], cells[i + 5 * count]),
            score: 1 / (1 + Math.exp(-cells[i])),
          });
        }
      }
    }
    return found;
  }

  /** Look at a picture of half the size amid black: what fills a picture has room there. */
  private async findSmaller(picture: Picture): Promise<Found[]> {
    const width = Math.ceil(picture.width / 2);
    const height = Math.ceil(picture.height / 2);
    const left = Math.floor(picture.width / 4);
    const top = Math.floor(picture.height / 4);
    const half = shrinkArea(picture, width, height);
    const amid = emptyPicture(picture.width, picture.height);
    for (let y = 0; y < height; y++) {
      const row = half.data.subarray(y * width * 3, (y + 1) * width * 3);
      amid.data.set(row, ((y + top) * picture.width + left) * 3);
    }
    const [stepX, stepY] = [picture.width / width, picture.height / height];
    return (await this.find(amid)).map((box) => ({
      ...box,
      x: (box.x - left + 0.5) * stepX - 0.5,
      y: (box.y - top + 0.5) * stepY - 0.5,
      width: box.width * stepX,
      height: box.height * stepY,
    }));
  }

  /** Look at the quarter turns: a photo without an upright face may have been turned. */
  private async findTurned(picture: Picture): Promise<Found[]> {
    const all: Found[] = [];
    let turned = picture;
    for (let turns = 1; turns <= 3; turns++) {
      turned = quarterTurn(turned);
      let boxes = await this.find(turned);
      for (let turn = turns - 1; turn >= 0; turn--) {
        const width = turn % 2 === 0 ? picture.width : picture.height; // before that turn
        boxes = boxes.map((box) => ({
          ...box, x: width - 1 - box.y, y: box.x, angle: box.angle + Math.PI / 2,
        }));
      }
      all.push(...boxes);
    }
    return all;
  }

  /** Of boxes that overlap too much the surest; best first. */
  private keepDistinct(boxes: Found[]): Found[] {
    let rest = [...boxes].sort((a, b) => b.score - a.score);
    const kept: Found[] = [];
    while (rest.length) {
      const [best, ...others] = rest;
      kept.push(best);
      rest = others.filter((other) => {
        const least = Math.min(best.width * best.height, other.width * other.height);
        return sharedArea(best, other) <= this.contract.search.same_face * least;
      });
    }
    return kept;
  }

  /** Cut off plain borders, as of sky and wall; only green counts, of every second pixel. */
  private livelyPart(picture: Picture): { left: number; top: number; picture: Picture } {
    const { block_px: block, plain } = this.contract.search;
    const rows = Math.ceil(Math.ceil(picture.height / 2) / (block / 2));
    const columns = Math.ceil(Math.ceil(picture.width / 2) / (block / 2));
    const lively = { top: Infinity, bottom: -1, left: Infinity, right: -1 };
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let low = 255;
        let high = 0;
        for (let y = row * block; y < Math.min((row + 1) * block, picture.height); y += 2) {
          for (let x = column * block; x < Math.min((column + 1) * block, picture.width); x += 2) {
            const value = picture.data[(y * picture.width + x) * 3 + 1];
            if (value < low) low = value;
            if (value > high) high = value;
          }
        }
        if (high - low <= plain) continue;
        lively.top = Math.min(lively.top, row);
        lively.bottom = Math.max(lively.bottom, row);
        lively.left = Math.min(lively.left, column);
        lively.right = Math.max(lively.right, column);
      }
    }
    if (lively.bottom < 0) return { left: 0, top: 0, picture: emptyPicture(0, 0) };
    // a face may reach into the blocks around
    const top = Math.max(lively.top - 1, 0) * block;
    const left = Math.max(lively.left - 1, 0) * block;
    const bottom = Math.min((lively.bottom + 2) * block, picture.height);
    const right = Math.min((lively.right + 2) * block, picture.width);
    return { left, top, picture: cutOut(picture, left, top, right, bottom) };
  }

  private *tiles(length: number): Generator<{ begin: number; end: number; core: [number, number] }> {
    if (length === 0) return;
    const { tile_core_px: core, largest_fine_px: reach } = this.contract.search;
    const count = length <= core + reach ? 1 : Math.ceil(length / core);
    for (let i = 0; i < count; i++) {
      const first = roundHalfEven((length * i) / count);
      const last = roundHalfEven((length * (i + 1)) / count);
      yield {
        begin: Math.max(first - reach / 2, 0),
        end: Math.min(last + reach / 2, length),
        core: [i === 0 ? -Infinity : first, i === count - 1 ? Infinity : last],
      };
    }
  }
}

function sharedArea(box: Found, other: Found): number {
  const cos = Math.cos(box.angle);
  const sin = Math.sin(box.angle);
  const x = other.x - box.x;
  const y = other.y - box.y;
  const overlap = (place: number, half: number, otherHalf: number) =>
    Math.max(Math.min(half, place + otherHalf) - Math.max(-half, place - otherHalf), 0);
  return (
    overlap(cos * x + sin * y, box.width / 2, other.width / 2) *
    overlap(cos * y - sin * x, box.height / 2, other.height / 2)
  );
}

/** What all boxes that nearly coincide with one say together, each weighing its score squared. */
function blend(best: Found, boxes: Found[], least: number): Found {
  const sum = { weight: 0, x: 0, y: 0, width: 0, height: 0, cos: 0, sin: 0 };
  for (const box of boxes) {
    const shared = sharedArea(best, box);
    const area = best.width * best.height + box.width * box.height - shared;
    const nearlyCoincides = shared / Math.max(area, 1e-9) >= least && box.score >= best.score / 2;
    if (box !== best && !nearlyCoincides) continue;
    const weight = box.score ** 2;
    sum.weight += weight;
    sum.x += weight * box.x;
    sum.y += weight * box.y;
    sum.width += weight * Math.log(box.width);
    sum.height += weight * Math.log(box.height);
    sum.cos += weight * Math.cos(box.angle);
    sum.sin += weight * Math.sin(box.angle);
  }
  return {
    ...best,
    x: sum.x / sum.weight,
    y: sum.y / sum.weight,
    width: Math.exp(sum.width / sum.weight),
    height: Math.exp(sum.height / sum.weight),
    angle: Math.atan2(sum.sin, sum.cos),
  };
}

/** Counter-clockwise. */
function quarterTurn(picture: Picture): Picture {
  const turned = emptyPicture(picture.height, picture.width);
  let to = 0;
  for (let y = 0; y < turned.height; y++) {
    for (let x = 0; x < turned.width; x++) {
      const from = (x * picture.width + picture.width - 1 - y) * 3;
      for (let c = 0; c < 3; c++) turned.data[to++] = picture.data[from + c];
    }
  }
  return turned;
}

interface Resized {
  picture: Picture;
  spacing: [number, number]; // photo pixels a pixel
  first: [number, number]; // where in the photo the first pixel has its centre
}

/** What a photo shows of a square at any angle, and where that begins. */
function around(
  photo: Picture, x: number, y: number, side: number,
): { window: Picture; left: number; top: number } {
  const reach = side * Math.SQRT1_2 + 2;
  const begin = (at: number, end: number) => Math.min(Math.max(Math.floor(at - reach), 0), end - 1);
  const finish = (at: number, end: number) => Math.min(Math.max(Math.ceil(at + reach), 1), end);
  const [left, top] = [begin(x, photo.width), begin(y, photo.height)];
  const window = cutOut(photo, left, top, finish(x, photo.width), finish(y, photo.height));
  return { window, left, top };
}

/** Bring a photo to about a scale: leave pixels or rows out, average two by two, interpolate. */
function resize(photo: Picture, scale: number): Resized {
  const width = Math.max(roundHalfEven(photo.width * scale), 1);
  const height = Math.max(roundHalfEven(photo.height * scale), 1);
  const step = Math.max(1, Math.floor(0.5 / scale));
  if (scale > 0.2 && scale <= 0.5 && photo.height > 1) {
    return interpolate(everySecondRow(photo), width, height, [0, 0], [1, 2]);
  }
  const first: [number, number] = [
    Math.floor(Math.min(step, photo.width) / 2), Math.floor(Math.min(step, photo.height) / 2),
  ];
  let part = cutOut(photo, first[0], first[1], photo.width, photo.height, step);
  let spacing = step;
  if (scale * step <= 0.5 && Math.min(part.width, part.height) > 1) {
    part = halve(part);
    first[0] += spacing / 2;
    first[1] += spacing / 2;
    spacing *= 2;
  }
  return interpolate(part, width, height, first, [spacing, spacing]);
}

/** `resize` from some of a photo's pixels, the first of which is at `first`, `spacing` apart. */
function interpolate(
  part: Picture, width: number, height: number, first: [number, number], spacing: [number, number],
): Resized {
  const ratio = [part.width / width, part.height / height];
  return {
    picture: resizeLinear(part, width, height),
    spacing: [ratio[0] * spacing[0], ratio[1] * spacing[1]],
    first: [
      first[0] + (ratio[0] / 2 - 0.5) * spacing[0], first[1] + (ratio[1] / 2 - 0.5) * spacing[1],
    ],
  };
}

function everySecondRow(photo: Picture): Picture {
  const part = emptyPicture(photo.width, (photo.height + 1) >> 1);
  const row = 3 * photo.width;
  for (let y = 0; y < part.height; y++) {
    part.data.set(photo.data.subarray(2 * y * row, (2 * y + 1) * row), y * row);
  }
  return part;
}
