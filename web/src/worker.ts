/** The networks in a thread of their own, so that the page stays responsive. Messages: see remote.ts. */
import * as ort from "onnxruntime-web/wasm";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasm from "virtual:ort.wasm.gz";
import { detect, estimate, open, type Network } from "./engine";
import type { Found } from "./detect";
import type { Pixels } from "./pixels";
import type { Job, Opened } from "./remote";

const CACHE = "wholebody-networks";

const networks = new Map<string, Promise<Network>>();
let runtime: Promise<void> | null = null;
let image: Pixels | null = null;

/** A file of this page or its networks, asked for anew where there is a connection, as it was last seen where not. */
async function load(url: string, keep: boolean, tell: (loaded: number, total: number) => void): Promise<Uint8Array<ArrayBuffer>> {
  const store = keep && "caches" in self ? await caches.open(CACHE).catch(() => null) : null;
  let response: Response | undefined;
  try {
    response = await fetch(url, { cache: "no-cache" });
    if (response.ok) await store?.put(url, response.clone()).catch(() => undefined);
  } catch (error) {
    response = await store?.match(url);
    if (!response) throw new Error(`${url} cannot be loaded (${error}). Is the server still running?`);
  }
  if (!response.ok) throw new Error(`${url}: the server answered ${response.status}. Put the networks into the folder models next to the page.`);
  const total = Number(response.headers.get("Content-Length")) || 0;
  const chunks: Uint8Array[] = [];
  let loaded = 0;
  for (const reader = response.body!.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    loaded += value.length;
    tell(loaded, Math.max(total, loaded));
  }
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

/** ONNX Runtime, whose 14 MB of WebAssembly travel compressed: a host need not know how. */
async function start(base: string, threads: number): Promise<void> {
  let binary = await load(new URL(wasm, base).href, false, () => undefined);
  if (binary[0] === 0x1f && binary[1] === 0x8b) {
    const stream = new Blob([binary]).stream().pipeThrough(new DecompressionStream("gzip"));
    binary = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  ort.env.wasm.wasmBinary = binary.buffer;
  ort.env.wasm.wasmPaths = { mjs: new URL(glue, base).href };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
}

/** A network, loaded once and run once: the first run of WebAssembly code is many times slower than those after it. */
function opened(name: string, job: { base: string; threads: number }): Promise<Network> {
  let network = networks.get(name);
  if (!network) {
    network = (async () => {
      runtime ??= start(job.base, job.threads);
      const tell = (loaded: number, total: number) => postMessage({ progress: { name, loaded, total } });
      const [file] = await Promise.all([load(new URL(`models/${name}.onnx`, job.base).href, true, tell), runtime]);
      return open(file);
    })();
    networks.set(name, network);
    network.catch(() => networks.delete(name));
  }
  return network;
}

let pose: Network | null = null;
let detector: Network | null = null;

const whole = ({ width, height }: Pixels): Found => ({ box: Float32Array.of(0, 0, width, height), score: 1 });

async function answer(job: Job): Promise<unknown> {
  switch (job.kind) {
    case "open": {
      [detector, pose] = await Promise.all([opened("detector", job), opened(job.pose, job)]);
      return { threshold: detector.notes.threshold ?? 0.3, threads: ort.env.wasm.numThreads ?? 1 } satisfies Opened;
    }
    case "warm": {
      const grey: Pixels = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 4).fill(128) };
      await detect(detector!, grey, 1);
      await estimate(pose!, grey, [whole(grey)]);
      return null;
    }
    case "look":
      image = job.image;
      return null;
    case "detect":
      return detect(detector!, image!, job.least);
    case "estimate":
      return estimate(pose!, image!, job.boxes);
  }
}

// One job at a time, in order: they share the picture, and one network uses all threads.
let last: Promise<unknown> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<{ id: number; job: Job }>) => {
  last = last.then(async () => {
    try {
      postMessage({ id: data.id, result: await answer(data.job) });
    } catch (error) {
      postMessage({ id: data.id, error: error instanceof Error ? error.message : String(error) });
    }
  });
};
