/** The golden pictures of tests/golden/web: a reader of their PNG files, and what runs/web/goldens.py derives of one. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";
import type { Pixels } from "../src/pixels";

export const golden = (name: string) => fileURLToPath(new URL(`../../tests/golden/web/${name}`, import.meta.url));
export const network = (name: string) => readFileSync(new URL(`../../src/wholebody/models/${name}.onnx`, import.meta.url));

/** An 8-bit RGB PNG without interlacing, as RGBA. */
export function readPng(path: string): Pixels {
  const file = readFileSync(path);
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  if (file[24] !== 8 || file[25] !== 2 || file[28] !== 0) throw new Error(`${path}: not a plain RGB picture`);
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(file.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const packed = inflateSync(Buffer.concat(parts));
  const stride = 3 * width;
  const rows = new Uint8Array(stride * height);
  const data = new Uint8Array(4 * width * height).fill(255);
  for (let y = 0; y < height; y++) {
    const filter = packed[y * (stride + 1)];
    for (let i = 0; i < stride; i++) {
      const left = i < 3 ? 0 : rows[y * stride + i - 3];
      const up = y ? rows[(y - 1) * stride + i] : 0;
      const corner = y && i >= 3 ? rows[(y - 1) * stride + i - 3] : 0;
      const [a, b, c] = [left, up, corner].map((value) => Math.abs(left + up - corner - value));
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      const guess = [0, left, up, (left + up) >> 1, paeth][filter];
      rows[y * stride + i] = packed[y * (stride + 1) + 1 + i] + guess;
      data[4 * (y * width + Math.floor(i / 3)) + (i % 3)] = rows[y * stride + i];
    }
  }
  return { width, height, data };
}

export interface Recipe {
  part?: [number, number, number, number];
  flip?: boolean;
  pair?: boolean;
  step?: number;
  turns?: number;
  gain?: number;
}

export function derived(base: Pixels, { part, flip, pair, step = 1, turns = 0, gain = 256 }: Recipe): Pixels {
  const [px, py, w, h] = part ?? [0, 0, base.width, base.height];
  let image = made(w, h, (x, y) => 4 * ((py + y) * base.width + px + x), base.data);
  const mirrored = (from: Pixels) => made(from.width, from.height, (x, y) => 4 * (y * from.width + from.width - 1 - x), from.data);
  if (flip) image = mirrored(image);
  if (pair) {
    const [one, other] = [image, mirrored(image)];
    const both = new Uint8Array([...one.data, ...other.data]);
    image = made(2 * w, h, (x, y) => (x < w ? 4 * (y * w + x) : one.data.length + 4 * (y * w + x - w)), both);
  }
  const full = image;
  image = made(Math.ceil(full.width / step), Math.ceil(full.height / step), (x, y) => 4 * (step * y * full.width + step * x), full.data);
  for (let n = 0; n < turns; n++) {
    const from = image;
    image = made(from.height, from.width, (x, y) => 4 * (x * from.width + from.width - 1 - y), from.data);
  }
  return { ...image, data: image.data.map((value, i) => (i % 4 === 3 ? 255 : Math.min((value * gain) >> 8, 255))) };
}

/** A picture whose pixel (x, y) is the one that starts at `from(x, y)` in `data`. */
function made(width: number, height: number, from: (x: number, y: number) => number, data: ArrayLike<number>): Pixels {
  const into = new Uint8Array(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 4; channel++) into[4 * (y * width + x) + channel] = data[from(x, y) + channel];
    }
  }
  return { width, height, data: into };
}
