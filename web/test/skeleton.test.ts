/** What is drawn of people who are partly outside the picture. */
import { expect, test } from "vitest";
import { strokes } from "../src/skeleton";
import { people } from "./people";

test("points outside the picture are not drawn, and the rest looks as before", () => {
  const [person] = people(0);
  const whole = strokes(person, 0.3, [2000, 2000]);
  const [height, width] = [Math.floor(whole.dots[0].at[1]) + 20, 2000];
  const cut = strokes(person, 0.3, [width, height]);
  const inside = ([x, y]: [number, number]) => x < width - 0.5 && y < height - 0.5;
  expect(cut.dots.length).toBeGreaterThan(0);
  expect(cut.dots.length).toBeLessThan(whole.dots.length);
  expect(cut.dots.every(({ at }) => inside(at))).toBe(true);
  expect(cut.bones).toEqual(whole.bones.filter(({ a, b }) => inside(a) && inside(b)));
  expect(cut.size).toBe(whole.size);
});
