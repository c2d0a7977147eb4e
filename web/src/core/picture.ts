// Pictures and what OpenCV does to them, near enough that the networks can't tell the difference.

/** width × height × channels bytes, row by row. */
export interface Picture {
  width: number;
  height: number;
  channels: number;
  data: Uint8Array | Uint8ClampedArray;
}

export function emptyPicture(width: number, height: number, channels = 3): Picture {
  return { width, height, channels, data: new Uint8Array(width * height * channels) };
}

/** Whole numbers as Python rounds: halves to the even one. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The RGB of a window, of which every `step`th column and `rowStep`th row counts; ends are exclusive. */
export function cutOut(
  picture: Picture, left: number, top: number, right: number, bottom: number, step = 1, rowStep = step,
): Picture {
  const width = Math.max(Math.ceil((right - left) / step), 0);
  const height = Math.max(Math.ceil((bottom - top) / rowStep), 0);
  const part = emptyPicture(width, height);
  let to = 0;
  for (let y = 0; y < height; y++) {
    let from = ((top + y * rowStep) * picture.width + left) * picture.channels;
    for (let x = 0; x < width; x++, from += step * picture.channels) {
      part.data[to++] = picture.data[from];
      part.data[to++] = picture.data[from + 1];
      part.data[to++] = picture.data[from + 2];
    }
  }
  return part;
}

/** The mean of each two by two. */
export function halve(picture: Picture): Picture {
  const half = emptyPicture(picture.width >> 1, picture.height >> 1);
  const row = picture.width * 3;
  let to = 0;
  for (let y = 0; y < half.height; y++) {
    for (let x = 0; x < half.width; x++) {
      const from = 2 * y * row + 6 * x;
      for (let c = from; c < from + 3; c++) {
        const d = picture.data;
        half.data[to++] = (d[c] + d[c + 3] + d[c + row] + d[c + row + 3] + 2) >> 2;
      }
    }
  }
  return half;
}

interface Taps {
  first: Int32Array;
  second: Int32Array;
  share: Float64Array; // of the second
}

function linearTaps(from: number, to: number): Taps {
  const taps = {
    first: new Int32Array(to), second: new Int32Array(to), share: new Float64Array(to),
  };
  const ratio = from / to;
  for (let i = 0; i < to; i++) {
    const place = Math.min(Math.max((i + 0.5) * ratio - 0.5, 0), from - 1);
    taps.first[i] = Math.min(Math.floor(place), Math.max(from - 2, 0));
    taps.second[i] = Math.min(taps.first[i] + 1, from - 1);
    taps.share[i] = place - taps.first[i];
  }
  return taps;
}

/** Interpolate linearly at the pixels of another size, in OpenCV's whole numbers. */
export function resizeLinear(picture: Picture, width: number, height: number): Picture {
  const resized = emptyPicture(width, height);
  const columns = linearTaps(picture.width, width);
  const rows = linearTaps(picture.height, height);
  const { data } = picture;
  const shareOf = (taps: Taps) => Int32Array.from(taps.share, (share) => roundHalfEven(share * 2048));
  const [right, below] = [shareOf(columns), shareOf(rows)];
  let to = 0;
  for (let y = 0; y < height; y++) {
    const upper = rows.first[y] * picture.width;
    const lower = rows.second[y] * picture.width;
    for (let x = 0; x < width; x++) {
      const first = columns.first[x];
      const second = columns.second[x];
      for (let c = 0; c < 3; c++) {
        const top = data[3 * (upper + first) + c] * (2048 - right[x]) + data[3 * (upper + second) + c] * right[x];
        const bottom = data[3 * (lower + first) + c] * (2048 - right[x]) + data[3 * (lower + second) + c] * right[x];
        const above = ((2048 - below[y]) * (top >> 4)) >> 16;
        resized.data[to++] = (above + ((below[y] * (bottom >> 4)) >> 16) + 2) >> 2;
      }
    }
  }
  return resized;
}

/** Interpolate numbers of any kind linearly at the pixels of another size. */
export function resizeValues(
  values: ArrayLike<number>, fromWidth: number, fromHeight: number, channels: number,
  width: number, height: number,
): Float32Array {
  const out = new Float32Array(width * height * channels);
  const columns = linearTaps(fromWidth, width);
  const rows = linearTaps(fromHeight, height);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const upper = rows.first[y] * fromWidth;
    const lower = rows.second[y] * fromWidth;
    const fy = rows.share[y];
    for (let x = 0; x < width; x++) {
      const left = columns.first[x];
      const right = columns.second[x];
      const fx = columns.share[x];
      for (let c = 0; c < channels; c++) {
        const a = values[(upper + left) * channels + c];
        const b = values[(upper + right) * channels + c];
        const d = values[(lower + left) * channels + c];
        const e = values[(lower + right) * channels + c];
        const top = a + (b - a) * fx;
        out[to++] = top + (d + (e - d) * fx - top) * fy;
      }
    }
  }
  return out;
}

/** Weights (size × length) by which pixels that lie `spacing` apart, from `first` on, are averaged. */
export function areaWeights(
  first: number, spacing: number, size: number, length: number,
): Float32Array {
  const weights = new Float32Array(size * length);
  const reach = Math.max(1, spacing) / 2;
  for (let i = 0; i < size; i++) {
    const middle = first + (i + 0.5) * spacing;
    const begin = Math.max(Math.floor(middle - reach), 0);
    const end = Math.min(Math.ceil(middle + reach), length);
    for (let j = begin; j < end; j++) {
      const overlap = Math.min(middle + reach, j + 1) - Math.max(middle - reach, j);
      weights[i * length + j] = Math.max(overlap, 0) / (2 * reach);
    }
  }
  return weights;
}

/** Each pixel a mean of the picture's, by weights of its row and of its column. */
export function average(
  values: ArrayLike<number>, width: number, height: number, channels: number,
  columns: Float32Array, rows: Float32Array,
): Float32Array {
  const newWidth = columns.length / width;
  const newHeight = rows.length / height;
  const narrow = new Float32Array(newWidth * height * channels);
  for (let x = 0; x < newWidth; x++) {
    const [begin, end] = span(columns, x * width, width);
    for (let y = 0; y < height; y++) {
      const to = (y * newWidth + x) * channels;
      for (let j = begin; j < end; j++) {
        const weight = columns[x * width + j];
        const from = (y * width + j) * channels;
        for (let c = 0; c < channels; c++) narrow[to + c] += weight * values[from + c];
      }
    }
  }
  const out = new Float32Array(newWidth * newHeight * channels);
  const row = newWidth * channels;
  for (let y = 0; y < newHeight; y++) {
    const [begin, end] = span(rows, y * height, height);
    for (let j = begin; j < end; j++) {
      const weight = rows[y * height + j];
      for (let c = 0; c < row; c++) out[y * row + c] += weight * narrow[j * row + c];
    }
  }
  return out;
}

function span(weights: Float32Array, start: number, length: number): [number, number] {
  let begin = 0;
  let end = length;
  while (begin < end && weights[start + begin] === 0) begin++;
  while (end > begin && weights[start + end - 1] === 0) end--;
  return [begin, end];
}

/** Average down to a smaller size. */
export function shrinkArea(picture: Picture, width: number, height: number): Picture {
  const columns = areaWeights(0, picture.width / width, width, picture.width);
  const rows = areaWeights(0, picture.height / height, height, picture.height);
  const shrunk = emptyPicture(width, height);
  shrunk.data = rounded(average(picture.data, picture.width, picture.height, 3, columns, rows));
  return shrunk;
}

export function rounded(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) bytes[i] = roundHalfEven(Math.min(Math.max(values[i], 0), 255));
  return bytes;
}

/** Blur by a Gaussian of so many pixels, mirrored at the edges. */
export function blur(picture: Picture, sigma: number): Picture {
  const size = Math.round(sigma * 6 + 1) | 1;
  const half = size >> 1;
  const kernel = Array.from({ length: size }, (_, i) => Math.exp(-((i - half) ** 2) / (2 * sigma ** 2)));
  const sum = kernel.reduce((a, b) => a + b);
  const { width, height } = picture;
  const mirrored = (i: number, length: number): number => {
    if (length === 1) return 0;
    const period = 2 * (length - 1);
    const place = ((i % period) + period) % period;
    return Math.min(place, period - place);
  };
  const pass = (from: ArrayLike<number>, length: number, lines: number, step: number, line: number) => {
    const to = new Float32Array(from.length);
    for (let i = 0; i < length; i++) {
      for (let k = 0; k < size; k++) {
        const offset = mirrored(i + k - half, length) * step;
        const weight = kernel[k] / sum;
        for (let j = 0; j < lines; j++) {
          for (let c = 0; c < 3; c++) to[i * step + j * line + c] += weight * from[offset + j * line + c];
        }
      }
    }
    return to;
  };
  const across = pass(picture.data, width, height, 3, width * 3);
  const down = pass(across, height, width, width * 3, 3);
  return { ...picture, data: rounded(down) };
}
