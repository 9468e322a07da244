/**
 * Pictures into the networks' inputs, with the arithmetic of OpenCV 5, which the Python package uses: the networks see
 * the same bytes in both languages, and their keypoints agree.
 */

/** RGBA, row by row, as a canvas gives it. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray | Uint8Array;
}

/** Where a person's crop is: input pixels = scale * picture pixels + (tx, ty). */
export interface Crop {
  scale: number;
  tx: number;
  ty: number;
}

const PADDING = 1.25;
const GREY = 114;

/** To the nearest whole number, halves to the even one, as numpy and OpenCV round. */
export function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The crop of a box xyxy: it grows by 1.25, then to the aspect of the input of `size` (w, h). */
export function cropOf(box: ArrayLike<number>, size: [number, number]): Crop {
  const aspect = size[0] / size[1];
  const w = (box[2] - box[0]) * PADDING;
  const h = (box[3] - box[1]) * PADDING;
  const scale = size[0] / (w > h * aspect ? w : h * aspect);
  const cx = (box[0] + box[2]) / 2;
  const cy = (box[1] + box[3]) / 2;
  return { scale, tx: size[0] / 2 - scale * cx, ty: size[1] / 2 - scale * cy };
}

/** Points x, y of the input, back to pixels of the picture; in place. */
export function toPicture(points: Float32Array, crop: Crop): Float32Array {
  for (let i = 0; i < points.length; i += 2) {
    points[i] = (points[i] - crop.tx) / crop.scale;
    points[i + 1] = (points[i + 1] - crop.ty) / crop.scale;
  }
  return points;
}

/** Cut a person out: bilinear at exact positions in single precision, black outside; BGR, (h, w, 3), into `into`. */
export function cut(image: Pixels, crop: Crop, size: [number, number], into: Uint8Array): void {
  const { width, height, data } = image;
  const f = Math.fround;
  const step = f(1 / crop.scale);
  const left = f(-crop.tx / crop.scale);
  const top = f(-crop.ty / crop.scale);
  const pixel = [0, 0, 0, 0]; // one channel of the four neighbours
  let at = 0;
  for (let y = 0; y < size[1]; y++) {
    const sy = f(f(step * y) + top);
    const y0 = Math.floor(sy);
    const dy = f(sy - y0);
    for (let x = 0; x < size[0]; x++) {
      const sx = f(f(step * x) + left);
      const x0 = Math.floor(sx);
      const dx = f(sx - x0);
      const first = 4 * (y0 * width + x0);
      const inside = x0 >= 0 && y0 >= 0 && x0 + 1 < width && y0 + 1 < height;
      for (let channel = 2; channel >= 0; channel--) {
        const i = first + channel;
        if (inside) {
          pixel[0] = data[i];
          pixel[1] = data[i + 4];
          pixel[2] = data[i + 4 * width];
          pixel[3] = data[i + 4 * width + 4];
        } else {
          for (let n = 0; n < 4; n++) {
            const px = x0 + (n & 1);
            const py = y0 + (n >> 1);
            const there = px >= 0 && py >= 0 && px < width && py < height;
            pixel[n] = there ? data[4 * (py * width + px) + channel] : 0;
          }
        }
        const upper = f(pixel[0] + f(dx * (pixel[1] - pixel[0])));
        const lower = f(pixel[2] + f(dx * (pixel[3] - pixel[2])));
        into[at++] = roundEven(f(upper + f(dy * f(lower - upper))));
      }
    }
  }
}

/** For each of `n` new positions on a side of `length`: the two pixels, and their weights in 1/2048. */
function taps(n: number, length: number, across: boolean): Int32Array[] {
  const [low, high, a, b] = [0, 1, 2, 3].map(() => new Int32Array(n));
  const scale = 1 / (n / length);
  const clip = (pixel: number) => Math.min(Math.max(pixel, 0), length - 1);
  for (let i = 0; i < n; i++) {
    const at = Math.fround((i + 0.5) * scale - 0.5);
    const pixel = Math.floor(at);
    // Beyond the border both pixels are the same one. Along a row OpenCV then takes it alone, along a column it mixes it
    // with itself, which may cost a grey level.
    const outside = pixel < 0 || pixel >= length - 1;
    const rest = outside && across ? 0 : Math.fround(at - pixel);
    low[i] = clip(pixel);
    high[i] = clip(pixel + 1);
    a[i] = roundEven(Math.fround(1 - rest) * 2048);
    b[i] = roundEven(rest * 2048);
  }
  return [low, high, a, b];
}

/** The input (w, h), sides multiples of 32 and at most `pixels` in all, in which a picture of `size` is largest. */
export function aspectSize(size: [number, number], pixels: number): [number, number] {
  let ratio = 0;
  for (let w = 32; w * 32 <= pixels; w += 32) {
    ratio = Math.max(ratio, Math.min(w / size[0], (Math.floor(pixels / w / 32) * 32) / size[1]));
  }
  // What the picture leaves free is cut off again; the little that is taken away first is rounding.
  const side = (length: number) => Math.ceil((length * ratio) / 32 - 1e-6) * 32;
  return [side(size[0]), side(size[1])];
}

/**
 * Fit a picture into the top left of a grey input of `size` (w, h), keeping its aspect.
 *
 * Bilinear with whole numbers, as OpenCV does it: sums of a row in 1/2048, then rows mixed with 16 bits.
 */
export function letterbox(image: Pixels, size: [number, number]): { input: Uint8Array; ratio: number } {
  const ratio = Math.min(size[0] / image.width, size[1] / image.height);
  const w = Math.max(Math.trunc(image.width * ratio), 1);
  const h = Math.max(Math.trunc(image.height * ratio), 1);
  const input = new Uint8Array(size[0] * size[1] * 3).fill(GREY);
  const [x0, x1, ax, bx] = taps(w, image.width, true);
  const [y0, y1, ay, by] = taps(h, image.height, false);
  const rows = new Map<number, Int32Array>();
  const row = (y: number): Int32Array => {
    let sums = rows.get(y);
    if (sums) return sums;
    sums = new Int32Array(3 * w);
    const start = 4 * y * image.width;
    for (let x = 0, at = 0; x < w; x++) {
      for (let channel = 2; channel >= 0; channel--) {
        const left = image.data[start + 4 * x0[x] + channel];
        const right = image.data[start + 4 * x1[x] + channel];
        sums[at++] = (left * ax[x] + right * bx[x]) >> 4;
      }
    }
    if (rows.size > 2) rows.delete(rows.keys().next().value!);
    rows.set(y, sums);
    return sums;
  };
  for (let y = 0; y < h; y++) {
    const upper = row(y0[y]);
    const lower = row(y1[y]);
    const start = 3 * y * size[0];
    for (let i = 0; i < 3 * w; i++) {
      input[start + i] = (((ay[y] * upper[i]) >> 16) + ((by[y] * lower[i]) >> 16) + 2) >> 2;
    }
  }
  return { input, ratio };
}
