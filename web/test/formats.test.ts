/** Files of people, byte for byte as the Python package writes them. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { coco, comfy, csv, csvVideo, npz, npzVideo, openpose, type Result } from "../src/formats";
import { golden } from "./pictures";
import { people } from "./people";

const [person] = people(0);
const named = { ...person, id: 7 };
const picture: Result = { name: "a picture, é.png", width: 320, height: 376, video: false, threshold: 0.3, frames: [{ time: 0, people: [named] }] };
const clip: Result = { ...picture, video: true, frames: [{ time: 0, people: [] }, { time: 0.5, people: [named] }] };

test.each([
  ["openpose.json", () => openpose([named])],
  ["comfy.json", () => comfy(clip)],
  ["coco.json", () => coco(picture)],
  ["picture.csv", () => csv(picture)],
  ["clip.csv", () => csvVideo(clip)],
])("%s", (name, write) => {
  expect(write()).toBe(readFileSync(golden(name), "utf8"));
});

test("arrays name their type and shape", () => {
  const header = (file: Uint8Array, name: string) => {
    const text = new TextDecoder("latin1").decode(file);
    const at = text.indexOf(`${name}.npy`);
    return text.slice(text.indexOf("{", at), text.indexOf("}", at) + 1);
  };
  expect(header(npz(picture), "keypoints")).toBe("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 133, 2), }");
  expect(header(npz(picture), "ids")).toBe("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }");
  expect(header(npzVideo(clip), "schema")).toBe("{'descr': '<U14', 'fortran_order': False, 'shape': (), }");
});

/** The numbers of an array in an NPZ file that is not compressed, and its shape. */
function numbers(file: Uint8Array, name: string): [number[], string] {
  const text = new TextDecoder("latin1").decode(file);
  const head = text.indexOf("{", text.indexOf(`${name}.npy`));
  const [, kind, shape] = /'descr': '(.*?)'.*'shape': \((.*?)\)/.exec(text.slice(head))!;
  const count = shape.split(",").reduce((product, side) => product * (side.trim() ? Number(side) : 1), 1);
  const data = file.slice(text.indexOf("\n", head) + 1).buffer;
  const arrays = { "<f4": Float32Array, "<f8": Float64Array, "<i8": BigInt64Array } as const;
  return [Array.from(new arrays[kind as keyof typeof arrays](data, 0, count), Number), shape];
}

test("arrays of a video have a row for each person of each frame, the lowest id first", () => {
  const other = { ...people(4)[1], id: 3 };
  const frames = [...clip.frames, { time: 0.75, people: [named, other] }];
  const file = npzVideo({ ...clip, frames });
  expect(numbers(file, "counts")).toEqual([[0, 1, 2], "3,"]);
  expect(numbers(file, "times")).toEqual([[0, 0.5, 0.75], "3,"]);
  expect(numbers(file, "ids")).toEqual([[7, 3, 7], "3,"]);
  const cast = [named, other, named];
  expect(numbers(file, "keypoints")).toEqual([cast.flatMap((p) => Array.from(Float32Array.from(p.keypoints))), "3, 133, 2"]);
  expect(numbers(file, "scores")).toEqual([cast.flatMap((p) => Array.from(Float32Array.from(p.scores))), "3, 133"]);
  expect(numbers(file, "boxes")).toEqual([cast.flatMap((p) => Array.from(Float32Array.from(p.box))), "3, 4"]);
  expect(numbers(file, "box_scores")).toEqual([cast.map((p) => Math.fround(p.boxScore)), "3,"]);
  expect(numbers(npzVideo({ ...clip, frames: [{ time: 0, people: [] }] }), "keypoints")).toEqual([[], "0, 133, 2"]);
});
