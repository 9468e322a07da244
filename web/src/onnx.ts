/** What a network's file says about itself: the JSON under the metadata key `wholebody`. */

export interface Notes {
  kind: "pose" | "detector";
  input_size: [number, number];
  /** How many pixels the input has at most, where its sides are free and follow the picture. */
  pixels?: number;
  /** Lowest score of a box that the detector recommends. */
  threshold?: number;
  /** Slope and offset of the curve from a network's score to a chance, for each part. */
  calibration?: Record<string, [number, number]>;
}

const METADATA = 14; // ModelProto.metadata_props

/** Read the notes out of an ONNX file: ONNX Runtime's web build does not hand them out. */
export function notes(file: Uint8Array): Notes {
  for (const entry of fields(file, METADATA)) {
    const text = (field: number) => new TextDecoder().decode(fields(entry, field).next().value ?? new Uint8Array());
    if (text(1) === "wholebody") return JSON.parse(text(2)) as Notes;
  }
  throw new Error("the network's file has no notes of this project");
}

/** The values of all length-delimited fields of that number in a protobuf message. */
function* fields(message: Uint8Array, wanted: number): Generator<Uint8Array> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const kind = key & 7;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      if (Math.floor(key / 8) === wanted) yield message.subarray(at, at + length);
      at += length;
    } else throw new Error("not an ONNX file");
  }
}
