/** The detector's output into boxes: YOLOX's cells and strides, one class, the lower-scored of two alike boxes goes. */

const STRIDES = [8, 16, 32];
const MAX_LOG_SIDE = 12;
const SAME = 0.45;

export interface Found {
  /** x0, y0, x1, y1 in pixels of the picture. */
  box: Float32Array;
  score: number;
}

/**
 * Boxes of the people in a picture, best first.
 *
 * @param raw (anchors, 5 + classes) offsets, log sides, objectness, class scores.
 * @param columns 5 + classes.
 * @param input (w, h) of the network.
 * @param ratio input pixels in a picture pixel.
 * @param picture (w, h); boxes are clipped to it.
 * @param least lowest score.
 */
export function decode(
  raw: Float32Array,
  columns: number,
  input: [number, number],
  ratio: number,
  picture: [number, number],
  least: number,
): Found[] {
  const boxes: Found[] = [];
  const f = Math.fround;
  let anchor = 0;
  for (const stride of STRIDES) {
    const [w, h] = [Math.floor(input[0] / stride), Math.floor(input[1] / stride)];
    for (let cell = 0; cell < w * h; cell++, anchor++) {
      const at = anchor * columns;
      const score = f(raw[at + 4] * raw[at + 5]);
      if (!(raw[at + 4] > least && score > least)) continue;
      const cx = f(f(raw[at] + (cell % w)) * stride);
      const cy = f(f(raw[at + 1] + Math.floor(cell / w)) * stride);
      const halfW = f(f(Math.exp(Math.min(raw[at + 2], MAX_LOG_SIDE))) * (stride / 2));
      const halfH = f(f(Math.exp(Math.min(raw[at + 3], MAX_LOG_SIDE))) * (stride / 2));
      const box = Float32Array.of(cx - halfW, cy - halfH, cx + halfW, cy + halfH);
      if (box.every(Number.isFinite)) boxes.push({ box, score });
    }
  }
  const [width, height] = picture;
  return nms(boxes, SAME)
    .map(({ box, score }) => ({ box: box.map((v, i) => Math.min(Math.max(v / f(ratio), 0), i % 2 ? height : width)), score }))
    .filter(({ box }) => box[2] - box[0] >= 0.5 && box[3] - box[1] >= 0.5);
}

/** The boxes that stay, best first; sides count as whole pixels with both ends, as in the official code. */
export function nms(boxes: Found[], threshold: number): Found[] {
  const area = (box: Float32Array) => (box[2] - box[0] + 1) * (box[3] - box[1] + 1);
  let left = boxes
    .map((found, n) => ({ found, n }))
    .sort((a, b) => b.found.score - a.found.score || b.n - a.n)
    .map(({ found }) => found);
  const kept: Found[] = [];
  while (left.length) {
    const best = left[0];
    kept.push(best);
    left = left.slice(1).filter(({ box }) => {
      const w = Math.max(Math.min(best.box[2], box[2]) - Math.max(best.box[0], box[0]) + 1, 0);
      const h = Math.max(Math.min(best.box[3], box[3]) - Math.max(best.box[1], box[1]) + 1, 0);
      return w * h <= threshold * (area(best.box) + area(box) - w * h);
    });
  }
  return kept;
}
