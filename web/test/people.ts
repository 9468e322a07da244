/** The people of the golden pictures. */
import { readFileSync } from "node:fs";
import type { Person } from "../src/poses";
import { golden, type Recipe } from "./pictures";

export interface People {
  keypoints: number[][];
  scores: number[][];
  boxes: number[][];
  box_scores: number[];
}

export interface Golden {
  pictures: { recipe: Recipe; network: string; people: People }[];
  maps: { picture: number; style: Record<string, unknown>; size: [number, number] }[];
}

export const { pictures, maps } = JSON.parse(readFileSync(golden("pictures.json"), "utf8")) as Golden;

export function people(picture: number): Person[] {
  const found = pictures[picture].people;
  return found.keypoints.map((keypoints, n) => ({
    keypoints: Float32Array.from(keypoints),
    scores: Float32Array.from(found.scores[n]),
    box: Float32Array.from(found.boxes[n]),
    boxScore: found.box_scores[n],
    id: null,
  }));
}
