/** The page against the Python package: golden numbers and maps that runs/web/goldens.py wrote. */
import * as ort from "onnxruntime-web/wasm";
import { expect, test } from "vitest";
import { detect, estimate, open } from "../src/engine";
import { openposeMap } from "../src/map";
import { maps, people as peopleOf, pictures } from "./people";
import { derived, golden, network, readPng } from "./pictures";

const base = readPng(golden("base.png"));
const FILES: Record<string, string> = { fast: "fast", "wholebody-133": "pose" };

ort.env.wasm.numThreads = 1;

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (v, i) => Math.abs(v - b[i])));

test("keypoints of ten pictures", { timeout: 120_000 }, async () => {
  const detector = await open(network("detector"));
  const networks = { fast: await open(network(FILES.fast)), "wholebody-133": await open(network(FILES["wholebody-133"])) };
  expect(pictures).toHaveLength(10);
  let [points, ties] = [0, 0];
  for (const { recipe, network, people } of pictures) {
    const image = derived(base, recipe);
    const found = await detect(detector, image, detector.notes.threshold!);
    const persons = await estimate(networks[network as "fast"], image, found);
    expect(persons, JSON.stringify(recipe)).toHaveLength(people.boxes.length);
    persons.forEach((person, n) => {
      expect(furthest(person.box, people.boxes[n])).toBeLessThan(1e-2);
      expect(Math.abs(person.boxScore - people.box_scores[n])).toBeLessThan(1e-3);
      expect(furthest(person.scores, people.scores[n])).toBeLessThan(1e-2);
      person.scores.forEach((_, row) => {
        const [x, y] = [2 * row, 2 * row + 1].map((i) => Math.abs(person.keypoints[i] - people.keypoints[n][i]));
        points += 1;
        ties += Number(Math.max(x, y) >= 1e-2);
      });
    });
  }
  // Where two places are equally likely for a point, the last bit decides between them: on another processor too.
  console.log(`${ties} of ${points} points sit at another place of the same height`);
  expect(ties / points).toBeLessThan(0.005);
});

test.each(maps.map((map, n) => ({ ...map, n })))("map $n", ({ picture, style, size, n }) => {
  const expected = readPng(golden(`map${n}.png`));
  const { stick_scale, ...rest } = style;
  const map = openposeMap(peopleOf(picture), ...size, {
    body: true,
    hands: true,
    face: true,
    feet: false,
    threshold: 0.3,
    xinsir: stick_scale === "xinsir",
    ...rest,
  });
  let [painted, different] = [0, 0];
  for (let i = 0; i < expected.data.length; i += 4) {
    const pixel = (data: ArrayLike<number>) => [data[i], data[i + 1], data[i + 2]];
    painted += Number(pixel(expected.data).some(Boolean) || pixel(map.data).some(Boolean));
    different += Number(pixel(expected.data).join() !== pixel(map.data).join());
  }
  expect(painted).toBeGreaterThan(100);
  console.log(`map ${n}: ${different} of ${painted} painted pixels differ`);
  expect(different).toBeLessThan(0.01 * painted);
});
