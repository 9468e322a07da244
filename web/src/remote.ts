/** The networks as the page sees them: questions to the worker, answered in order. */
import type { Found } from "./detect";
import type { Pixels } from "./pixels";
import type { Person } from "./poses";
import type { Eyes } from "./track";

export type Job =
  | { kind: "open"; pose: string; base: string; threads: number }
  | { kind: "warm" }
  | { kind: "look"; image: Pixels }
  | { kind: "detect"; least: number }
  | { kind: "estimate"; boxes: Found[] };

export interface Opened {
  /** Lowest score of a box that the detector recommends. */
  threshold: number;
  threads: number;
}

export type Progress = (name: string, loaded: number, total: number) => void;

export class Networks {
  private worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "networks" });
  private waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  private next = 1;

  constructor(private progress: Progress) {
    this.worker.onmessage = ({ data }) => {
      if (data.progress) return this.progress(data.progress.name, data.progress.loaded, data.progress.total);
      const { resolve, reject } = this.waiting.get(data.id)!;
      this.waiting.delete(data.id);
      if (data.error) reject(new Error(data.error));
      else resolve(data.result);
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the networks cannot be loaded"));
      this.waiting.clear();
    };
  }

  private ask<Answer>(job: Job, transfer: Transferable[] = []): Promise<Answer> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.worker.postMessage({ id, job }, transfer);
    });
  }

  /** Load the detector and a pose network, by the name of its file. */
  open(pose: string, threads: number): Promise<Opened> {
    return this.ask({ kind: "open", pose, base: document.baseURI, threads });
  }

  /** Run both once. */
  warm(): Promise<void> {
    return this.ask({ kind: "warm" });
  }

  /** The picture that is looked at from now on; its bytes go to the worker. */
  look(image: Pixels): Promise<void> {
    return this.ask({ kind: "look", image }, [image.data.buffer]);
  }

  /** The networks on the picture last looked at. */
  eyes(least: number): Eyes {
    return {
      detect: () => this.ask<Found[]>({ kind: "detect", least }),
      estimate: (boxes) => (boxes.length ? this.ask<Person[]>({ kind: "estimate", boxes }) : Promise.resolve([])),
    };
  }
}
