/** Keypoints that do not tremble: the One-Euro filter (Casiez, Roussel, Vogel 2012), as `wholebody.tracking.smooth` has it. */
import { WHOLEBODY, type Person } from "./poses";

const BETA = 10; // by how many hertz the cut-off rises at a speed of one size of the person in a second
const SPEED_CUTOFF = 1.5;
const AWAY = 0.4; // who was away for this many seconds starts anew
const [UNSURE, CERTAIN] = [0.05, 0.4];

/** Lowest cut-off of each keypoint, hertz. */
const CUTOFFS = WHOLEBODY.names.map((_, row) => (row >= WHOLEBODY.parts.left_hand[0] ? 3 : 2));

interface State {
  time: number;
  points: Float64Array;
  speed: Float64Array;
  started: boolean[];
}

const alpha = (cutoff: number, step: number) => 1 / (1 + 1 / (2 * Math.PI * cutoff * step));

export class Smoother {
  private states = new Map<number, State>();

  /** People with ids, at a time in seconds later than the last one. */
  step(people: Person[], time: number): Person[] {
    for (const [id, state] of this.states) if (time - state.time > AWAY) this.states.delete(id);
    return people.map((person) => {
      if (person.id === null) return person;
      const size = Math.max(person.box[2] - person.box[0], person.box[3] - person.box[1], 1);
      const state = moved(this.states.get(person.id), time, person, size);
      this.states.set(person.id, state);
      return { ...person, keypoints: Float32Array.from(state.points) };
    });
  }
}

function moved(state: State | undefined, time: number, { keypoints, scores }: Person, size: number): State {
  const trust = Array.from(scores, (score) => Math.min(Math.max((score - UNSURE) / (CERTAIN - UNSURE), 0), 1));
  if (!state) {
    return { time, points: Float64Array.from(keypoints), speed: new Float64Array(keypoints.length), started: trust.map((t) => t > 0.5) };
  }
  const step = Math.max(time - state.time, 1e-3);
  const points = state.points.slice();
  const speed = state.speed.slice();
  trust.forEach((sure, row) => {
    const axes = [2 * row, 2 * row + 1];
    const gain = alpha(SPEED_CUTOFF, step) * sure;
    for (const i of axes) speed[i] += gain * ((keypoints[i] - points[i]) / step - speed[i]);
    const fast = Math.hypot(speed[2 * row], speed[2 * row + 1]) / size;
    // What was never seen surely so far is not worth holding on to.
    const weight = state.started[row] ? alpha(CUTOFFS[row] + BETA * fast, step) * sure : 1;
    for (const i of axes) {
      points[i] += weight * (keypoints[i] - points[i]);
      if (!state.started[row]) speed[i] = 0;
    }
  });
  return { time, points, speed, started: state.started.map((was, row) => was || trust[row] > 0.5) };
}
