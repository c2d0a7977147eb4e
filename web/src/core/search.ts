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

/** A photo, or a picture of a part of it at another scale. */
interface View {
  picture: Picture;
  x: number; // where in the photo its first pixel has its center
  y: number;
  xPixel: number; // photo pixels that one of its pixels is wide and high
  yPixel: number;
}

/** A picture whose sides are multiples of the largest stride → seven numbers a cell. */
export type Look = (picture: Picture) => Promise<Float32Array>;

const LARGEST_LOG = 6;
const sizeOf = (box: Found): number => Math.sqrt(box.width * box.height);
const pixelOf = (view: View): number => Math.sqrt(view.xPixel * view.yPixel);

export class Search {
  constructor(private readonly contract: Contract, private readonly look: Look) {}

  /** The faces of a photo, largest first. */
  async detect(photo: Picture): Promise<Found[]> {
    const c = this.contract.search;
    const side = Math.max(photo.width, photo.height);
    const isLarge = side >= c.large_photo * c.look_px;
    const whole: View = { picture: photo, x: 0, y: 0, xPixel: 1, yPixel: 1 };
    // sizes in a coarse look aren't exact
    const least = c.hint_slack * Math.max(c.smallest_px, c.smallest_face * side);
    let faces: Found[] = [];
    const see = async (view: View, find: typeof this.find, doubt: number, largest = Infinity) => {
      const found = await this.lookAt(view, (part) => find.call(this, part), largest);
      const hints = found.filter((box) => sizeOf(box) >= least);
      const seen = await this.lookCloser(whole, view, hints, faces, doubt);
      faces = this.keepDistinct([...faces, ...seen]);
    };
    const seeFinely = (view: View) => see(this.livelyPart(view), this.find, 0, c.largest_fine_px);
    const [coarsest, ...finer] = this.scales(side);
    let last = coarsest;
    let first: View;
    if (isLarge && finer.length) {
      // the second look comes first: it sees better, and what the first one sees is made of it
      last = finer.shift()!;
      const second = resize(whole, last);
      const small = 2 * coarsest <= last ? halved(second) : second;
      first = resize(small, coarsest * pixelOf(small));
      await seeFinely(second);
    } else {
      first = resize(whole, coarsest);
    }
    await see(first, this.find, 0);
    const enough = isLarge ? 0 : c.sure_score;
    const unusual = [
      [this.findSmaller, c.border_doubt], [this.findTurned, c.turned_doubt],
    ] as const;
    for (const [find, doubt] of unusual) {
      if (!faces.some((face) => face.score >= enough)) await see(first, find, doubt);
    }
    for (const scale of finer) {
      const isSmall = faces.some((face) => sizeOf(face) * last < c.look_beyond * c.sure_px);
      if (faces.length && !isSmall) break;
      await seeFinely(resize(whole, scale));
      last = scale;
    }
    return faces.sort((a, b) => sizeOf(b) - sizeOf(a));
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
    view: View, find: (part: Picture) => Promise<Found[]>, largest: number,
  ): Promise<Found[]> {
    const picture = view.picture;
    const pixel = pixelOf(view);
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
          all.push({
            ...box,
            x: x * view.xPixel + view.x,
            y: y * view.yPixel + view.y,
            width: box.width * pixel,
            height: box.height * pixel,
          });
        }
      }
    }
    return all;
  }

  /** Look from nearby at what is small in a look or not clear: what is left of it is a face. */
  private async lookCloser(
    photo: View, view: View, boxes: Found[], known: Found[], doubt: number,
  ): Promise<Found[]> {
    const c = this.contract.search;
    const least = this.contract.detector.min_score + doubt;
    const unclear = this.contract.detector.min_score + Math.max(doubt, c.doubt);
    const isSmall = (box: Found) => sizeOf(box) < c.close_px * pixelOf(view);
    const isClear = (box: Found) => {
      const fills = sizeOf(box) >= c.filling_px * pixelOf(view);
      const clear = fills ? c.filling_clear_score : c.clear_score;
      return !isSmall(box) && box.score >= Math.max(least, clear);
    };
    const kept = boxes.filter(isClear);
    let hasFace = kept.length > 0;
    let looks = 0;
    for (const hint of boxes.filter((box) => !isClear(box)).sort((a, b) => b.score - a.score)) {
      if (known.some((face) => this.isSame(hint, face))) {
        hasFace = true;
        continue;
      }
      if (looks++ === c.most_closer) break;
      let found: Found | undefined;
      if (isSmall(hint)) {
        // what angle it has can't be told well from afar
        found = await this.closerFace(photo, { ...hint, angle: 0 }, least + c.small_doubt);
      } else if (hint.score >= c.sure_score || !hasFace) {
        // what is less than sure of a large face is worth a look where there is nothing else
        const source = sizeOf(hint) >= c.closer_px * pixelOf(view) ? view : photo;
        const seen = await this.closerFace(source, hint, 2 * unclear - hint.score);
        found = seen && { ...hint, score: (hint.score + seen.score) / 2 };
      }
      if (!found) continue;
      kept.push(found);
      hasFace = true;
    }
    return kept;
  }

  /** The face of about a box, seen from nearby in a view turned back by its angle. */
  private async closerFace(whole: View, hint: Found, least: number): Promise<Found | undefined> {
    const c = this.contract.search;
    const size = c.closer_look_px;
    let view = around(whole, hint, (sizeOf(hint) / pixelOf(whole)) * (size / c.closer_px));
    // shrunk as looks are, which is quicker than as crops are
    const shrinking = (c.closer_px * pixelOf(view)) / sizeOf(hint);
    if (shrinking < 1) view = resize(view, shrinking);
    const pixel = pixelOf(view);
    const [x, y] = [(hint.x - view.x) / view.xPixel, (hint.y - view.y) / view.yPixel];
    const reach = ((sizeOf(hint) / pixel) * (size / c.closer_px)) / 2;
    const square = {
      x0: x - reach, y0: y - reach, x1: x + reach, y1: y + reach,
      angleDeg: (hint.angle * 180) / Math.PI,
    };
    const move = boxToCrop(square, size, 1);
    const middle = (size - 1) / 2;
    let best: Found | undefined;
    for (const box of await this.find(cutCrop(view.picture, move, size, this.contract.crop))) {
      const isNear = Math.hypot(box.x - middle, box.y - middle) <= c.closer_px / 2;
      const fits = isNear && Math.abs(Math.log2(sizeOf(box) / c.closer_px)) <= 1;
      if (fits && box.score >= Math.max(least, best?.score ?? 0)) best = box;
    }
    if (!best) return undefined;
    const [foundX, foundY] = apply2(invert2(move), best.x, best.y);
    return {
      x: foundX * view.xPixel + view.x,
      y: foundY * view.yPixel + view.y,
      width: (best.width * pixel) / scale2(move),
      height: (best.height * pixel) / scale2(move),
      angle: best.angle + hint.angle,
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
    const { min_score, hint_score, coarse_hint_score } = this.contract.detector;
    const { closer_look_px, look_px } = this.contract.search;
    const longer = Math.max(picture.width, picture.height);
    const isCoarse = closer_look_px < longer && longer <= look_px;
    const least = Math.min(min_score, isCoarse ? coarse_hint_score : hint_score);
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

  /** Tell whether two boxes are one face's, of about the same size. */
  private isSame(box: Found, other: Found): boolean {
    const most = Math.max(box.width * box.height, other.width * other.height);
    return sharedArea(box, other) > this.contract.search.same_face * most;
  }

  /** Cut off plain borders, as of sky and wall; only green counts, of every second pixel. */
  private livelyPart(view: View): View {
    const picture = view.picture;
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
    if (lively.bottom < 0) return { ...view, picture: emptyPicture(0, 0) };
    // a face may reach into the blocks around
    const top = Math.max(lively.top - 1, 0) * block;
    const left = Math.max(lively.left - 1, 0) * block;
    const bottom = Math.min((lively.bottom + 2) * block, picture.height);
    const right = Math.min((lively.right + 2) * block, picture.width);
    return partOf(view, left, top, right, bottom);
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

/** A part of a view; ends are exclusive. */
function partOf(view: View, left: number, top: number, right: number, bottom: number): View {
  const picture = cutOut(view.picture, left, top, right, bottom);
  return { ...view, picture, x: view.x + left * view.xPixel, y: view.y + top * view.yPixel };
}

/** What is a view of a view's picture as a view of the photo. */
function viewOf(
  view: View, picture: Picture, x: number, y: number, xPixel: number, yPixel: number,
): View {
  return {
    picture,
    x: view.x + x * view.xPixel,
    y: view.y + y * view.yPixel,
    xPixel: xPixel * view.xPixel,
    yPixel: yPixel * view.yPixel,
  };
}

/** What a view shows of a square of its pixels around a box and turned like it. */
function around(view: View, box: Found, side: number): View {
  const turned = Math.abs(Math.cos(box.angle)) + Math.abs(Math.sin(box.angle));
  const reach = (side * turned) / 2 + 2;
  const begin = (at: number, end: number) => Math.min(Math.max(Math.floor(at - reach), 0), end - 1);
  const finish = (at: number, end: number) => Math.min(Math.max(Math.ceil(at + reach), 1), end);
  const { width, height } = view.picture;
  const [x, y] = [(box.x - view.x) / view.xPixel, (box.y - view.y) / view.yPixel];
  return partOf(view, begin(x, width), begin(y, height), finish(x, width), finish(y, height));
}

/** Bring a view to about a scale: leave pixels or rows out, average two by two, interpolate. */
function resize(view: View, scale: number): View {
  const { width, height } = view.picture;
  const wide = Math.max(roundHalfEven(width * scale), 1);
  const high = Math.max(roundHalfEven(height * scale), 1);
  const step = Math.max(1, Math.floor(0.5 / scale));
  if (scale > 0.2 && scale <= 0.5 && height > 1) {
    const rows = cutOut(view.picture, 0, 0, width, height, 1, 2);
    return interpolated(viewOf(view, rows, 0, 0, 1, 2), wide, high);
  }
  const left = Math.floor(Math.min(step, width) / 2);
  const top = Math.floor(Math.min(step, height) / 2);
  const thin = cutOut(view.picture, left, top, width, height, step);
  const part = viewOf(view, thin, left, top, step, step);
  return interpolated(scale * step <= 0.5 ? halved(part) : part, wide, high);
}

/** A view's pixels averaged two by two; what has but one row or column stays as it is. */
function halved(view: View): View {
  if (Math.min(view.picture.width, view.picture.height) < 2) return view;
  return viewOf(view, halve(view.picture), 0.5, 0.5, 2, 2);
}

function interpolated(view: View, width: number, height: number): View {
  const ratio = [view.picture.width / width, view.picture.height / height];
  const picture = resizeLinear(view.picture, width, height);
  return viewOf(view, picture, (ratio[0] - 1) / 2, (ratio[1] - 1) / 2, ratio[0], ratio[1]);
}
