/** People in files: the layouts that `wholebody.formats` writes, byte for byte where they are text. */
import { roundEven } from "./pixels";
import { convert, OPENPOSE, OPENPOSE_25, WHOLEBODY, type Person, type Schema } from "./poses";
import { npy, zip, type Entry } from "./zip";

/** The people of a picture, or of a frame of a video at a time in seconds. */
export interface Frame {
  people: Person[];
  time: number;
}

export interface Result {
  /** Name of the picture or video, without folders. */
  name: string;
  width: number;
  height: number;
  /** One for a picture. */
  frames: Frame[];
  video: boolean;
  /** The score that a point must have to be in a layout without scores. */
  threshold: number;
}

export interface Format {
  key: string;
  label: string;
  /** What is written: a name's ending and the bytes. */
  write(result: Result): { suffix: string; content: string | Uint8Array };
}

const OPENPOSE_FIELDS: [string, string][] = [
  ["pose_keypoints_2d", "body"],
  ["face_keypoints_2d", "face"],
  ["hand_left_keypoints_2d", "left_hand"],
  ["hand_right_keypoints_2d", "right_hand"],
];
const COCO_FIELDS: [string, string][] = [
  ["keypoints", "body"],
  ["foot_kpts", "feet"],
  ["face_kpts", "face"],
  ["lefthand_kpts", "left_hand"],
  ["righthand_kpts", "right_hand"],
];
const NO_ID = -1;

/** A number that is written with a point even where it is whole, as Python does. */
class Real {
  constructor(readonly value: number) {}
  toString(): string {
    return Number.isInteger(this.value) ? `${this.value}.0` : String(this.value);
  }
}

function rounded(value: number, decimals: number): Real {
  const factor = 10 ** decimals;
  return new Real(Number.isFinite(value) ? roundEven(value * factor) / factor + 0 : 0);
}

const pixels = (value: number) => rounded(value, 2);
const score = (value: number) => rounded(value, 4);

/** JSON without spaces, non-ASCII characters escaped, reals with their point. */
function json(value: unknown): string {
  if (value instanceof Real) return value.toString();
  if (typeof value === "string") {
    return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  }
  if (Array.isArray(value)) return `[${value.map(json).join(",")}]`;
  if (value && typeof value === "object") {
    return `{${Object.entries(value).map(([key, item]) => `${json(key)}:${json(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** x, y and score of each point in another schema. */
function triplets(person: Person, schema: Schema): Real[][] {
  const { keypoints, scores } = convert(person, schema);
  return Array.from(scores, (s, row) => {
    const finite = [keypoints[2 * row], keypoints[2 * row + 1], s].every(Number.isFinite);
    return finite ? [pixels(keypoints[2 * row]), pixels(keypoints[2 * row + 1]), score(s)] : [pixels(0), pixels(0), score(0)];
  });
}

function fields(person: Person, schema: Schema, names: [string, string][]): Record<string, Real[]> {
  const points = triplets(person, schema);
  return Object.fromEntries(names.map(([field, part]) => [field, points.slice(...schema.parts[part]).flat()]));
}

export function openpose(people: Person[]): string {
  const rows = people.map((person) => ({
    person_id: [person.id ?? NO_ID],
    ...fields(person, OPENPOSE_25, OPENPOSE_FIELDS),
    ...Object.fromEntries(OPENPOSE_FIELDS.map(([field]) => [field.replace("2d", "3d"), []])),
  }));
  return `${json({ version: new Real(1.3), people: rows })}\n`;
}

/** Points that the map shows have score 1, others are 0, 0, 0: the usual nodes drop every score below 1. */
function drawn(points: Real[][], threshold: number, body: number): Real[][] {
  return points.map(([x, y, { value }], row) => {
    const shown = row < body ? value > threshold : value >= threshold;
    return shown ? [x, y, new Real(1)] : [new Real(0), new Real(0), new Real(0)];
  });
}

export function comfy({ frames, width, height, threshold }: Result): string {
  const [body, feet] = [OPENPOSE.parts.body[1], WHOLEBODY.parts.feet];
  const rows = frames.map(({ people }) => ({
    people: people.map((person) => {
      const points = drawn(triplets(person, OPENPOSE), threshold, body);
      return {
        ...Object.fromEntries(OPENPOSE_FIELDS.map(([field, part]) => [field, points.slice(...OPENPOSE.parts[part]).flat()])),
        foot_keypoints_2d: drawn(triplets(person, WHOLEBODY).slice(...feet), threshold, 6).flat(),
        ...(person.id === null ? {} : { person_id: [person.id] }),
      };
    }),
    canvas_height: height,
    canvas_width: width,
  }));
  return `[${rows.map(json).join(",")}]\n`;
}

export function coco({ frames, name, video }: Result): string {
  const rows = frames.flatMap(({ people }, frame) =>
    people.map((person) => {
      const [x0, y0, x1, y1] = person.box;
      return {
        image_id: video ? frame : name,
        category_id: 1,
        ...fields(person, WHOLEBODY, COCO_FIELDS),
        bbox: [x0, y0, x1 - x0, y1 - y0].map(pixels),
        score: score(person.boxScore),
        ...(person.id === null ? {} : { track_id: person.id }),
      };
    }),
  );
  return `[${rows.map(json).join(",")}]\n`;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv({ frames, name }: Result): string {
  const lines = ["image,person,id,keypoint,x,y,score"];
  const { people } = frames[0];
  people.forEach((person, n) =>
    triplets(person, WHOLEBODY).forEach((point, row) =>
      lines.push([quoted(name), n, person.id ?? "", WHOLEBODY.names[row], ...point].join(",")),
    ),
  );
  if (!people.length) lines.push(`${quoted(name)},,,,,,`);
  return `${lines.join("\n")}\n`;
}

export function csvVideo({ frames }: Result): string {
  const points = WHOLEBODY.names.flatMap((name) => ["x", "y", "score"].map((axis) => `${name}_${axis}`));
  const lines = [["frame", "time", "id", "x0", "y0", "x1", "y1", "box_score", ...points].join(",")];
  frames.forEach(({ people, time }, frame) => {
    for (const person of people) {
      const box = Array.from(person.box, pixels);
      lines.push([frame, time.toFixed(6), person.id, ...box, score(person.boxScore), ...triplets(person, WHOLEBODY).flat()].join(","));
    }
    if (!people.length) lines.push([frame, time.toFixed(6), ...new Array(6 + points.length).fill("")].join(","));
  });
  return `${lines.join("\n")}\n`;
}

/** A row for each person. */
function rows(people: Person[]): Entry[] {
  const [n, k] = [people.length, WHOLEBODY.names.length];
  const joined = (arrays: ArrayLike<number>[]) => Float32Array.from(arrays.flatMap((array) => Array.from(array)));
  return [
    { name: "keypoints.npy", content: npy(joined(people.map((p) => p.keypoints)), [n, k, 2]) },
    { name: "scores.npy", content: npy(joined(people.map((p) => p.scores)), [n, k]) },
    { name: "boxes.npy", content: npy(joined(people.map((p) => p.box)), [n, 4]) },
    { name: "box_scores.npy", content: npy(joined([people.map((p) => p.boxScore)]), [n]) },
  ];
}

const whole = (name: string, numbers: number[]) => ({ name, content: npy(BigInt64Array.from(numbers.map(BigInt)), [numbers.length]) });
const schema = () => ({ name: "schema.npy", content: npy(WHOLEBODY.name, []) });

/** The arrays of a picture, as `wholebody.formats.read_npz` reads them. */
export function npz({ frames }: Result): Uint8Array<ArrayBuffer> {
  const { people } = frames[0];
  const named = people.length > 0 && people.every(({ id }) => id !== null);
  return zip([...rows(people), ...(named ? [whole("ids.npy", people.map(({ id }) => id!))] : []), schema()]);
}

/** The arrays of a video, as `wholebody.formats.read_npz_video` reads them: frame after frame, the lowest id first. */
export function npzVideo({ frames }: Result): Uint8Array<ArrayBuffer> {
  const people = frames.flatMap((frame) => [...frame.people].sort((a, b) => a.id! - b.id!));
  return zip([
    ...rows(people),
    whole("ids.npy", people.map(({ id }) => id!)),
    { name: "times.npy", content: npy(Float64Array.from(frames.map(({ time }) => time)), [frames.length]) },
    whole("counts.npy", frames.map((frame) => frame.people.length)),
    schema(),
  ]);
}

const stem = (name: string) => name.replace(/\.[^.]*$/, "");

export const FORMATS: Format[] = [
  {
    key: "openpose",
    label: "OpenPose JSON",
    write: (result) => {
      if (!result.video) return { suffix: "_keypoints.json", content: openpose(result.frames[0].people) };
      const names = result.frames.map((_, n) => `${stem(result.name)}_${String(n).padStart(12, "0")}_keypoints.json`);
      const entries = result.frames.map(({ people }, n) => ({ name: names[n], content: new TextEncoder().encode(openpose(people)) }));
      return { suffix: "_openpose.zip", content: zip(entries) };
    },
  },
  { key: "comfy", label: "ComfyUI POSE_KEYPOINT", write: (result) => ({ suffix: "_comfy.json", content: comfy(result) }) },
  { key: "coco", label: "COCO-WholeBody JSON", write: (result) => ({ suffix: "_coco.json", content: coco(result) }) },
  { key: "csv", label: "CSV table", write: (result) => ({ suffix: "_pose.csv", content: result.video ? csvVideo(result) : csv(result) }) },
  { key: "npz", label: "NumPy arrays (NPZ)", write: (result) => ({ suffix: "_pose.npz", content: result.video ? npzVideo(result) : npz(result) }) },
];
