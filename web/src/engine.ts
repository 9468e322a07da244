/** Both networks on ONNX Runtime: a picture in, people out. Runs in a worker (worker.ts), and in Node for the tests. */
import * as ort from "onnxruntime-web/wasm";
import { decode, type Found } from "./detect";
import { notes, type Notes } from "./onnx";
import { aspectSize, cropOf, cut, letterbox, toPicture, type Pixels } from "./pixels";
import { WHOLEBODY, type Person } from "./poses";

/** Crops in one run: more cost memory and, on a processor, gain nothing. */
const BATCH = 8;

export interface Network {
  session: ort.InferenceSession;
  notes: Notes;
}

export async function open(file: Uint8Array): Promise<Network> {
  const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  return { session, notes: notes(file) };
}

async function run(
  network: Network,
  batch: Uint8Array,
  count: number,
  [w, h]: [number, number],
  outputs: string[],
): Promise<Float32Array[]> {
  const feeds = { [network.session.inputNames[0]]: new ort.Tensor("uint8", batch, [count, h, w, 3]) };
  const results = await network.session.run(feeds, outputs);
  return outputs.map((name) => results[name].data as Float32Array);
}

/** Everybody whom the detector sees with a score above `least`, best first. */
export async function detect(network: Network, image: Pixels, least: number): Promise<Found[]> {
  const { pixels, input_size } = network.notes;
  const size = pixels ? aspectSize([image.width, image.height], pixels) : input_size;
  const { input, ratio } = letterbox(image, size);
  const [raw] = await run(network, input, 1, size, [network.session.outputNames[0]]);
  const anchors = [8, 16, 32].reduce((sum, stride) => sum + Math.floor(size[0] / stride) * Math.floor(size[1] / stride), 0);
  return decode(raw, raw.length / anchors, size, ratio, [image.width, image.height], least);
}

/** The keypoints of the people in the boxes. */
export async function estimate(network: Network, image: Pixels, boxes: Found[]): Promise<Person[]> {
  const size = network.notes.input_size;
  const bytes = size[0] * size[1] * 3;
  const curves = calibration(network.notes);
  const people: Person[] = [];
  for (let start = 0; start < boxes.length; start += BATCH) {
    const some = boxes.slice(start, start + BATCH);
    const crops = some.map(({ box }) => cropOf(box, size));
    const batch = new Uint8Array(some.length * bytes);
    crops.forEach((crop, n) => cut(image, crop, size, batch.subarray(n * bytes, (n + 1) * bytes)));
    const [keypoints, scores] = await run(network, batch, some.length, size, ["keypoints", "scores"]);
    const k = WHOLEBODY.names.length;
    some.forEach(({ box, score }, n) =>
      people.push({
        keypoints: toPicture(keypoints.slice(2 * k * n, 2 * k * (n + 1)), crops[n]),
        scores: chances(scores.slice(k * n, k * (n + 1)), curves),
        box,
        boxScore: score,
        id: null,
      }),
    );
  }
  return people;
}

/** Slope and offset for each keypoint; null where the network has none. */
function calibration({ calibration }: Notes): [number, number][] | null {
  if (!calibration) return null;
  const rows: [number, number][] = [];
  for (const [part, [start, end]] of Object.entries(WHOLEBODY.parts)) {
    for (let row = start; row < end; row++) rows[row] = calibration[part];
  }
  return rows;
}

/** A network's scores into chances that the points are right; in place. */
function chances(scores: Float32Array, curves: [number, number][] | null): Float32Array {
  if (curves) {
    curves.forEach(([slope, offset], row) => {
      const logit = Math.fround(Math.fround(Math.fround(slope) * scores[row]) + Math.fround(offset));
      scores[row] = scores[row] > 0 ? 1 / (1 + Math.exp(-logit)) : 0;
    });
  }
  return scores;
}
