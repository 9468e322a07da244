/**
 * Who is who from frame to frame, and where to look: a small version of `wholebody.tracking`.
 *
 * A person is looked for where a constant speed takes them. The detector runs on every eighth frame and when somebody
 * seems lost; in between, the boxes follow the keypoints.
 */
import type { Found } from "./detect";
import { area, bodyScore, iou, partRows, WHOLEBODY, type Person } from "./poses";

const SEEN = 0.3; // points below this score say nothing about where a person is
const LEAST = 0.25; // similarity from which a person is taken for a known one
const MEMORY = 2; // seconds that somebody who is not seen is remembered
const TRUST = 1.5; // seconds that somebody whom no detector confirms is believed in
const RECENT = 0.3; // seconds that somebody not seen is still looked for
const FADE = 1; // seconds for which a speed carries on
const STEADY = 0.15; // seconds over which a speed is averaged
const SAME = 0.6; // two poses more alike are one person
const SURE = 0.5; // a box with this score needs no body to get an id
const BODY = 0.4;

interface Track {
  id: number;
  person: Person;
  velocity: [number, number];
  seen: number;
  confirmed: number;
  typical: number;
}

const WEIGHTS = WHOLEBODY.names.map(() => 1);
for (const [part, total] of Object.entries({ feet: 3, face: 4, left_hand: 2, right_hand: 2 })) {
  const [start, end] = partRows(WHOLEBODY, part);
  WEIGHTS.fill(total / (end - start), start, end);
}
const SIGMAS = WHOLEBODY.sigmas.map((sigma) => Math.max(sigma ?? 0.05, 0.05) * 1.5);

/** The person where they would be by now. */
function expected(track: Track, time: number): Person {
  const fade = FADE * (1 - Math.exp(-Math.max(time - track.seen, 0) / FADE));
  const shift = track.velocity.map((speed) => speed * fade);
  const moved = (values: Float32Array) => values.map((value, i) => value + shift[i % 2]);
  return { ...track.person, keypoints: moved(track.person.keypoints), box: moved(track.person.box) };
}

/** A box around the keypoints that are seen, a little larger; the own box of who shows fewer than four. */
export function extents(person: Person, margin = 0.1): Float32Array {
  let [x0, y0, x1, y1, count] = [Infinity, Infinity, -Infinity, -Infinity, 0];
  person.scores.forEach((score, row) => {
    if (score < SEEN) return;
    const [x, y] = [person.keypoints[2 * row], person.keypoints[2 * row + 1]];
    [x0, y0, x1, y1, count] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y), count + 1];
  });
  if (count < 4 || x1 - x0 <= 2 || y1 - y0 <= 2) return person.box;
  const [dx, dy] = [margin * (x1 - x0), margin * (y1 - y0)];
  return Float32Array.of(x0 - dx, y0 - dy, x1 + dx, y1 + dy);
}

/** How alike the keypoints of two people are: COCO's OKS with both scores as weights, wider with the `age` of `a`. */
export function wholeBodyOks(a: Person, b: Person, age = 0): number {
  const sides = (box: Float32Array) => Math.max(box[2] - box[0], 1) * Math.max(box[3] - box[1], 1);
  const areas = sides(a.box) / 2 + sides(b.box) / 2;
  const wider = 1 + age / 0.5;
  let [alike, total] = [0, 0];
  WEIGHTS.forEach((weight, row) => {
    const lower = Math.min(a.scores[row], b.scores[row]);
    if (lower < SEEN) return;
    const squared = (a.keypoints[2 * row] - b.keypoints[2 * row]) ** 2 + (a.keypoints[2 * row + 1] - b.keypoints[2 * row + 1]) ** 2;
    const counted = Math.min(lower, 1) * weight;
    alike += counted * Math.exp(-squared / (2 * areas * (2 * SIGMAS[row] * wider) ** 2 + 1e-9));
    total += counted;
  });
  return total > 0 ? alike / total : 0;
}

function similarity(a: Person, b: Person, age: number): number {
  return (wholeBodyOks(a, b, age) + iou(extents(a), extents(b))) / 2;
}

/** The different people, in order: of two poses that are alike, the one with lower scores goes. */
export function distinct(people: Person[]): Person[] {
  const mean = (person: Person) => person.scores.reduce((sum, score) => sum + score, 0);
  const kept: Person[] = [];
  for (const person of [...people].sort((a, b) => mean(b) - mean(a))) {
    if (kept.every((other) => wholeBodyOks(person, other) <= SAME)) kept.push(person);
  }
  return people.filter((person) => kept.includes(person));
}

export class Tracker {
  private tracks: Track[] = [];
  private nextId = 1;

  /** Where the people of a moment ago are now. */
  recent(time: number, within: number): { person: Person; typical: number }[] {
    return this.tracks
      .filter((track) => time - track.seen <= within)
      .map((track) => ({ person: expected(track, time), typical: track.typical }));
  }

  /** The people of the next frame, with ids; `confirmed` are those whom the detector found. */
  update(people: Person[], time: number, confirmed: Set<Person>): Person[] {
    const named = new Map<Person, Track | null>();
    for (const [track, person] of this.match(people, time)) named.set(person, track);
    for (const person of people) {
      const plain = person.boxScore >= SURE || bodyScore(person) >= BODY;
      if (!named.has(person) && confirmed.has(person) && plain) named.set(person, null);
    }
    const result: Person[] = [];
    for (const person of people) {
      if (!named.has(person)) continue;
      const track = this.moved(named.get(person)!, person, time, confirmed.has(person));
      this.tracks = [...this.tracks.filter((other) => other.id !== track.id), track];
      result.push({ ...person, id: track.id });
    }
    this.tracks = this.tracks.filter((track) => time - track.seen <= MEMORY && track.seen - track.confirmed <= TRUST);
    return result;
  }

  /** Pairs of the same person, the surest first. */
  private match(people: Person[], time: number): [Track, Person][] {
    const ages = this.tracks.map((track) => Math.max(time - track.seen, 0));
    const youngest = Math.min(...ages);
    const scored = this.tracks.flatMap((track, n) => {
      const there = expected(track, time);
      return people.map((person) => {
        const alike = similarity(there, person, ages[n]);
        // Where one person hides another, the one seen last is the one still seen.
        return { track, person, score: (alike < LEAST ? 0 : alike) - (ages[n] > youngest + 1e-6 ? 0.15 : 0) };
      });
    });
    const pairs: [Track, Person][] = [];
    for (const { track, person, score } of scored.sort((a, b) => b.score - a.score)) {
      if (score > 0 && !pairs.some(([t, p]) => t === track || p === person)) pairs.push([track, person]);
    }
    return pairs;
  }

  private moved(track: Track | null, person: Person, time: number, confirmed: boolean): Track {
    const score = bodyScore(person);
    const pose = { ...person, box: extents(person) };
    if (!track) return { id: this.nextId++, person: pose, velocity: [0, 0], seen: time, confirmed: time, typical: score };
    const step = Math.max(time - track.seen, 1e-3);
    const gain = 1 - Math.exp(-step / STEADY);
    const away = [0, 1].map((axis) => this.shift(track.person, pose, axis));
    const velocity = track.velocity.map((speed, axis) => speed + gain * (away[axis] / step - speed)) as [number, number];
    // Half of the box is the one expected: boxes that tremble would make the next keypoints tremble.
    const there = expected(track, time).box;
    pose.box = pose.box.map((value, i) => (value + there[i]) / 2);
    const typical = 0.9 * track.typical + 0.1 * score;
    return { id: track.id, person: pose, velocity, seen: time, confirmed: confirmed ? time : track.confirmed, typical };
  }

  /** How far somebody went: the median of the body's points, as neither a waving arm nor a jumping point is motion. */
  private shift(before: Person, now: Person, axis: number): number {
    const away: number[] = [];
    for (let row = 0; row < 17; row++) {
      if (before.scores[row] >= SEEN && now.scores[row] >= SEEN) away.push(now.keypoints[2 * row + axis] - before.keypoints[2 * row + axis]);
    }
    if (!away.length) return (now.box[axis] + now.box[axis + 2] - before.box[axis] - before.box[axis + 2]) / 2;
    away.sort((a, b) => a - b);
    const half = away.length >> 1;
    return away.length % 2 ? away[half] : (away[half - 1] + away[half]) / 2;
  }
}

/** What follows people needs of the networks. */
export interface Eyes {
  detect(): Promise<Found[]>;
  estimate(boxes: Found[]): Promise<Person[]>;
}

/** Finds people in the frames of one video and follows them. */
export class Follower {
  private tracker = new Tracker();
  private since = Infinity;
  private worried = false;
  private before: number | null = null;

  constructor(
    readonly every = 8,
    readonly people = Infinity,
  ) {}

  /** The people of a frame of `size` (w, h) at a time in seconds, with ids. */
  async step(eyes: Eyes, time: number, [width, height]: [number, number]): Promise<Person[]> {
    const within = this.before === null ? RECENT : Math.min(Math.max(RECENT, time - this.before), MEMORY);
    const known = this.tracker.recent(time, within);
    this.since += 1;
    const search = !known.length || this.since >= this.every || (this.worried && this.since >= this.every / 3);
    const found = search ? await eyes.detect() : [];
    if (search) [this.since, this.worried] = [0, false];
    const inside = ({ person: { box } }: { person: Person }) =>
      box[0] < width - 1 && box[1] < height - 1 && box[2] > 1 && box[3] > 1 && box[2] - box[0] > 1 && box[3] - box[1] > 1;
    const open = known.filter(inside).filter(({ person }) => found.every(({ box }) => iou(person.box, box) < 0.4));
    let boxes = [
      ...found.map((one) => ({ ...one, sure: true, needed: 0 })),
      ...open.map(({ person, typical }) => ({ box: person.box, score: person.boxScore, sure: false, needed: 0.5 * typical })),
    ];
    if (boxes.length > this.people) boxes = [...boxes].sort((a, b) => area(b.box) - area(a.box)).slice(0, this.people);
    const people = await eyes.estimate(boxes);
    // A box that goes on without a detector has to show somebody.
    const showing = distinct(people).filter((person) => bodyScore(person) >= boxes[people.indexOf(person)].needed);
    const named = this.tracker.update(showing, time, new Set(people.filter((_, n) => boxes[n].sure)));
    this.worried ||= known.some(({ typical, person }) => {
      const now = named.find((one) => iou(one.box, person.box) > 0.2);
      return !now || bodyScore(now) < 0.75 * typical;
    });
    this.before = time;
    return named;
  }
}
