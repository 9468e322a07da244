/**
 * The people of one picture, as plain arrays. Everything in the page takes or gives `Person[]`.
 *
 * The schemas (names, parts, bones, colours, how one is made of another) come from the Python package, see schema.json.
 */
import tables from "./schema.json";

export interface Schema {
  name: string;
  names: string[];
  /** Rows [start, end) of each part: body, feet, face, left_hand, right_hand. */
  parts: Record<string, [number, number]>;
  /** Bones: row, row, and colour (R, G, B). */
  edges: [number, number, [number, number, number]][];
  /** Constants of OKS, null where none is published. */
  sigmas: (number | null)[];
}

export interface Person {
  /** (2 K) x, y in pixels of the picture. */
  keypoints: Float32Array;
  /** (K) how sure the network is of each point. */
  scores: Float32Array;
  /** x0, y0, x1, y1 in pixels of the picture. */
  box: Float32Array;
  boxScore: number;
  /** The number of the person in a video or at a camera. */
  id: number | null;
}

const schemas = tables.schemas as unknown as Record<string, Schema>;
export const WHOLEBODY = schemas.coco_wholebody;
export const OPENPOSE = schemas.openpose;
export const OPENPOSE_25 = schemas.openpose_25;

export const HAND_EDGES = tables.hand_edges as [number, number][];
export const FINGER_COLORS = tables.finger_colors as [number, number, number][];
export const OPENPOSE_COLORS = tables.openpose_colors as [number, number, number][];

/** For each row of the schema, the rows of WHOLEBODY whose mean it is. */
const sources: Record<string, number[][]> = tables.conversions;

/** The same person as points of another schema: a point made of several has their mean and lowest score. */
export function convert(person: Person, schema: Schema): Person {
  if (schema === WHOLEBODY) return person;
  const rows = sources[schema.name];
  const keypoints = new Float32Array(2 * rows.length);
  const scores = new Float32Array(rows.length);
  rows.forEach((parents, row) => {
    scores[row] = Math.min(...parents.map((parent) => person.scores[parent]));
    for (const axis of [0, 1]) {
      let sum = 0;
      for (const parent of parents) sum = Math.fround(sum + person.keypoints[2 * parent + axis]);
      keypoints[2 * row + axis] = sum / parents.length;
    }
  });
  return { ...person, keypoints, scores };
}

/** Rows of a part, or none where the schema has no such part. */
export function partRows(schema: Schema, part: string): [number, number] {
  return schema.parts[part] ?? [0, 0];
}

/** Mean score of the body's points. */
export function bodyScore(person: Person): number {
  const [start, end] = partRows(WHOLEBODY, "body");
  let sum = 0;
  for (let row = start; row < end; row++) sum += person.scores[row];
  return sum / (end - start);
}

export function area(box: ArrayLike<number>): number {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

/** Intersection over union of two boxes xyxy; 0 where one has no area. */
export function iou(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const w = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
  const h = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const sides = (box: ArrayLike<number>) => Math.max(box[2] - box[0], 0) * Math.max(box[3] - box[1], 0);
  const union = sides(a) + sides(b) - w * h;
  return union > 0 ? (w * h) / union : 0;
}
