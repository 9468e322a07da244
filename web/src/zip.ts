/** ZIP archives without compression, and NumPy's array files, which an NPZ file is an archive of. */

export interface Entry {
  name: string;
  content: Uint8Array;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Little-endian numbers, each with its length in bytes. */
function packed(...numbers: [value: number, bytes: 2 | 4][]): Uint8Array {
  const out = new Uint8Array(numbers.reduce((sum, [, bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [value, bytes] of numbers) {
    for (let n = 0; n < bytes; n++) out[at++] = Math.floor(value / 256 ** n) & 255;
  }
  return out;
}

export function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The same entries always give the same bytes: all are dated 1980. */
export function zip(entries: Entry[]): Uint8Array<ArrayBuffer> {
  const [files, index]: Uint8Array[][] = [[], []];
  let at = 0;
  for (const { name, content } of entries) {
    const text = new TextEncoder().encode(name);
    const shared: [number, 2 | 4][] = [
      [20, 2], [0x800, 2], [0, 2], [0, 2], [0x21, 2], [crc32(content), 4], [content.length, 4], [content.length, 4], [text.length, 2], [0, 2],
    ];
    const head = joined([packed([0x04034b50, 4], ...shared), text]);
    files.push(head, content);
    index.push(packed([0x02014b50, 4], [20, 2], ...shared, [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]), text);
    at += head.length + content.length;
  }
  const directory = joined(index);
  const end = packed([0x06054b50, 4], [0, 2], [0, 2], [entries.length, 2], [entries.length, 2], [directory.length, 4], [at, 4], [0, 2]);
  return joined([...files, directory, end]);
}

/** An array in NumPy's format 1.0; a text is an array without dimensions. */
export function npy(values: Float32Array | Float64Array | BigInt64Array | string, shape: number[]): Uint8Array {
  const [type, bytes] =
    typeof values === "string"
      ? [`<U${values.length}`, new Uint8Array(Uint32Array.from(values, (c) => c.codePointAt(0)!).buffer)]
      : [
          values instanceof Float32Array ? "<f4" : values instanceof Float64Array ? "<f8" : "<i8",
          new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
        ];
  const sizes = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': ${sizes}, }`;
  const padding = 64 - ((10 + text.length + 1) % 64);
  const header = new TextEncoder().encode(`${text}${" ".repeat(padding % 64)}\n`);
  return joined([Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0), packed([header.length, 2]), header, bytes]);
}
