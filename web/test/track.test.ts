/** Ids from frame to frame, on people that are moved about. */
import { expect, test } from "vitest";
import type { Found } from "../src/detect";
import type { Person } from "../src/poses";
import { Smoother } from "../src/smooth";
import { distinct, Follower, Tracker } from "../src/track";
import { people } from "./people";

const [left, right] = people(4);

function shifted(person: Person, dx: number): Person {
  const move = (values: Float32Array) => values.map((value, i) => (i % 2 ? value : value + dx));
  return { ...person, keypoints: move(person.keypoints), box: move(person.box) };
}

test("two people who pass each other keep their ids", () => {
  const tracker = new Tracker();
  const gap = right.box[0] - left.box[0];
  const ids: (number | null)[][] = [];
  for (let frame = 0; frame <= 20; frame++) {
    const share = frame / 20;
    const now = [shifted(left, 1.2 * gap * share), shifted(right, -1.2 * gap * share)];
    // The order in which a detector gives them says nothing.
    const order = frame % 2 ? [now[1], now[0]] : now;
    const named = tracker.update(order, frame / 10, new Set(order));
    ids.push((frame % 2 ? [named[1], named[0]] : named).map(({ id }) => id));
  }
  expect(new Set(ids.map((pair) => pair.join()))).toEqual(new Set([ids[0].join()]));
  expect(new Set(ids[0]).size).toBe(2);
});

test("somebody hidden for a second is known again, after three seconds is somebody new", () => {
  const tracker = new Tracker();
  const id = (time: number) => tracker.update([left], time, new Set([left]))[0].id;
  expect(id(0)).toBe(1);
  tracker.update([], 0.5, new Set());
  expect(id(1)).toBe(1);
  tracker.update([], 3.5, new Set());
  expect(id(4)).toBe(2);
});

test("the detector looks at every eighth frame, and at once when somebody is lost", async () => {
  const follower = new Follower();
  let searches = 0;
  let there = true;
  const eyes = {
    detect: async () => {
      searches += 1;
      return there ? [{ box: left.box, score: left.boxScore }] : [];
    },
    estimate: async (boxes: Found[]) =>
      boxes.map(({ box, score }) => ({ ...left, box, boxScore: score, scores: there ? left.scores : left.scores.map(() => 0.01) })),
  };
  const size: [number, number] = [640, 376];
  for (let frame = 0; frame < 17; frame++) expect((await follower.step(eyes, frame / 25, size))[0].id).toBe(1);
  expect(searches).toBe(3);
  there = false;
  for (let frame = 17; frame < 24; frame++) expect(await follower.step(eyes, frame / 25, size)).toHaveLength(0);
  expect(searches).toBeGreaterThan(3);
});

test("of two poses that are alike the better one stays", () => {
  const worse = { ...left, scores: left.scores.map((score) => 0.9 * score) };
  expect(distinct([worse, left, right])).toEqual([left, right]);
});

test("smoothing holds who rests and follows who moves", () => {
  const tremble = new Smoother();
  const named = { ...left, id: 1 };
  let [raw, smooth] = [0, 0];
  let before: Person[] = [];
  for (let frame = 0; frame < 30; frame++) {
    const now = shifted(named, frame % 2 ? 1 : -1);
    const [steady] = tremble.step([now], frame / 30);
    if (before.length) {
      raw += Math.abs(now.keypoints[10] - before[0].keypoints[10]);
      smooth += Math.abs(steady.keypoints[10] - before[1].keypoints[10]);
    }
    before = [now, steady];
  }
  expect(smooth).toBeLessThan(0.5 * raw);
  const moving = new Smoother();
  let last = named;
  for (let frame = 0; frame < 30; frame++) [last] = moving.step([{ ...shifted(named, 10 * frame), id: 1 }], frame / 30) as (typeof named)[];
  expect(Math.abs(last.keypoints[10] - (named.keypoints[10] + 290))).toBeLessThan(10);
});
