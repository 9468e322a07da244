/** What is on the stage: a picture and the people in it, drawn as the settings say. Nothing here estimates. */
import { openposeMap } from "./map";
import { partRows, WHOLEBODY, type Person } from "./poses";
import type { Raster } from "./raster";
import type { Settings } from "./settings";
import { drawBoxes, drawSkeletons } from "./skeleton";

/** Scores of the parts that are not wanted become 0; negative thresholds do not exist, so 0 is still drawn at 0. */
export function withParts(person: Person, { parts }: Settings): Person {
  const scores = person.scores.slice();
  const off = (part: string) => scores.fill(-1, ...partRows(WHOLEBODY, part));
  if (!parts.body) off("body");
  if (!parts.feet) off("feet");
  if (!parts.face) off("face");
  if (!parts.hands) ["left_hand", "right_hand"].forEach(off);
  return { ...person, scores };
}

export function mapOf(people: Person[], width: number, height: number, { parts, threshold, xinsir }: Settings): Raster {
  return openposeMap(people, width, height, { ...parts, threshold, xinsir });
}

export function draw(canvas: HTMLCanvasElement, picture: HTMLCanvasElement, people: Person[], now: Settings): void {
  const { width, height } = picture;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d")!;
  if (now.view === "map") {
    context.putImageData(new ImageData(mapOf(people, width, height, now).data, width, height), 0, 0);
    return;
  }
  if (now.ground) {
    context.drawImage(picture, 0, 0);
  } else {
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
  }
  const longer = Math.max(width, height);
  if (now.boxes || people.some(({ id }) => id !== null)) {
    drawBoxes(context, now.boxes ? people : people.map((person) => ({ ...person, box: labelBox(person) })), longer, now.boxes);
  }
  drawSkeletons(context, people.map((person) => withParts(person, now)), now.threshold, [width, height], now.view === "skeleton");
}

/** Where the number of somebody goes whose box is not drawn: above the head. */
function labelBox({ box, keypoints, scores }: Person): Float32Array {
  const rows = [0, 1, 2, 3, 4].filter((row) => scores[row] >= 0.3);
  if (!rows.length) return box;
  const x = rows.reduce((sum, row) => sum + keypoints[2 * row], 0) / rows.length;
  const y = Math.min(...rows.map((row) => keypoints[2 * row + 1]));
  const up = 0.12 * (box[3] - box[1]);
  return Float32Array.of(x, Math.max(y - up, 0), box[2], box[3]);
}

/** The keypoint that is drawn nearest to a place in the picture, within `reach` pixels of it. */
export function nearest(people: Person[], now: Settings, x: number, y: number, reach: number): { name: string; score: number } | null {
  let best: { name: string; score: number } | null = null;
  let closest = reach;
  for (const person of people.map((one) => withParts(one, now))) {
    person.scores.forEach((score, row) => {
      const away = Math.hypot(person.keypoints[2 * row] - x, person.keypoints[2 * row + 1] - y);
      if (score >= now.threshold && away < closest) [closest, best] = [away, { name: WHOLEBODY.names[row], score }];
    });
  }
  return best;
}
