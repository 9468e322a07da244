/**
 * Processor time of the bundled networks in WebAssembly, on one thread of Node: the first run, and the best of many.
 *
 *     node web/bench.mjs [runs]     # JSON; runs/web/measure.py puts native code beside it
 */
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web/wasm";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const DETECTOR = [352, 576, 3]; // the input for a photo of 16:9, the sample photo's
const runs = Number(process.argv[2] ?? 30);
const spent = async (work) => {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

const results = {};
for (const [name, batches] of Object.entries({ detector: [1], fast: [1, 4], "dwpose-t": [1, 4], pose: [1, 4] })) {
  const file = readFileSync(new URL(`../src/wholebody/models/${name}.onnx`, import.meta.url));
  let session;
  results[name] = { open: await spent(async () => (session = await ort.InferenceSession.create(file))) };
  const [input, outputs] = [session.inputNames[0], name === "detector" ? ["raw"] : ["keypoints", "scores"]];
  for (const batch of batches) {
    const shape = [batch, ...(name === "detector" ? DETECTOR : session.inputMetadata[0].shape.slice(1))];
    const data = new Uint8Array(shape.reduce((a, b) => a * b)).map((_, i) => i % 251);
    const times = [];
    for (let n = 0; n < runs; n++) {
      times.push(await spent(() => session.run({ [input]: new ort.Tensor("uint8", data, shape) }, outputs)));
    }
    results[name][batch] = { first: times[0], best: Math.min(...times), all: times.map(Math.round) };
  }
  await session.release();
}
console.log(JSON.stringify(results));
