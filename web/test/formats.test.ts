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
  expect(header(npzVideo(clip), "keypoints")).toBe("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 133, 2), }");
  expect(header(npzVideo(clip), "schema")).toBe("{'descr': '<U14', 'fortran_order': False, 'shape': (), }");
});
