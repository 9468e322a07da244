/**
 * Bones and dots over a picture, for people to look at: the shapes of `wholebody.draw.skeleton`, painted on a canvas.
 *
 * Widths follow the size of the person in the picture, those of a hand or face the size of that part. Left limbs are
 * green, right ones orange; a dark rim keeps them legible on any ground.
 */
import { partRows, WHOLEBODY, type Person, type Schema } from "./poses";

export interface Bone {
  a: [number, number];
  b: [number, number];
  /** Half of the width of the bone, and of its rim. */
  radius: number;
  rim: number;
  color: string;
}

export interface Dot {
  row: number;
  at: [number, number];
  radius: number;
  rim: number;
  color: string;
}

const RIM = "rgb(22 22 28)";
const FAR = 1e6;
const SMALLEST_DOTTED = 2.4;
const DETAILS = [["face", 1 / 55], ["left_hand", 1 / 26], ["right_hand", 1 / 26]] as const;

function plan(schema: Schema) {
  const color = ([r, g, b]: readonly number[]) => `rgb(${r} ${g} ${b})`;
  const pointColors = schema.names.map(() => "rgb(255 255 255)");
  for (const [a, b, rgb] of schema.edges) pointColors[a] = pointColors[b] = color(rgb);
  const body = schema.names.map(() => true);
  for (const [part] of DETAILS) body.fill(false, ...partRows(schema, part));
  return { pointColors, body, bones: schema.edges.map(([a, b, rgb]) => ({ a, b, color: color(rgb) })) };
}

const PLAN = plan(WHOLEBODY);

/** The diagonal of the bounding box of the points that are seen, 0 where none is. */
function extent(person: Person, seen: boolean[], start: number, end: number): number {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let row = start; row < end; row++) {
    if (!seen[row]) continue;
    const [x, y] = [person.keypoints[2 * row], person.keypoints[2 * row + 1]];
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
  }
  return x1 < x0 ? 0 : Math.hypot(x1 - x0, y1 - y0);
}

/** What to draw of one person in a picture of (width, height); points below the threshold or outside are left out. */
export function strokes(
  person: Person,
  threshold: number,
  picture: [number, number],
): { size: number; bones: Bone[]; dots: Dot[] } {
  const k = WHOLEBODY.names.length;
  const at = (row: number): [number, number] => [person.keypoints[2 * row], person.keypoints[2 * row + 1]];
  const sure = Array.from(person.scores, (score, row) => score >= threshold && at(row).every((v) => Math.abs(v) < FAR));
  const seen = sure.map((there, row) => there && at(row).every((v, axis) => v >= -0.5 && v < picture[axis] - 0.5));
  // Widths follow the whole person, what is outside the picture as well.
  const whole = extent(person, sure, 0, k);
  const details = DETAILS.map(([part, share]) => {
    const rows = partRows(WHOLEBODY, part);
    return { rows, share, extent: extent(person, sure, ...rows) };
  });
  // A close-up shows little but a face or a hand: the person is larger than what is seen.
  const size = Math.max(whole, 3 * Math.max(...details.map((detail) => detail.extent)));
  const base = Math.min(Math.max(size / 85, 1.2), Math.max(Math.max(...picture) / 130, 1.2));
  const width = new Array<number>(k).fill(base);
  for (const { rows, share, extent } of details) width.fill(Math.min(Math.max(extent * share, 0.5), 0.6 * base), ...rows);

  const thinnest = new Array<number>(k).fill(Infinity);
  const bones: Bone[] = [];
  for (const { a, b, color } of PLAN.bones) {
    if (!seen[a] || !seen[b]) continue;
    let boneWidth = Math.min(width[a], width[b]);
    if (PLAN.body[a]) {
      // Short bones of the body (eyes, ears, toes) are thinner, or a small face would vanish behind them.
      const length = Math.hypot(at(a)[0] - at(b)[0], at(a)[1] - at(b)[1]);
      boneWidth = Math.min(Math.max(length / 5, 0.45 * boneWidth), boneWidth);
    }
    thinnest[a] = Math.min(thinnest[a], boneWidth);
    thinnest[b] = Math.min(thinnest[b], boneWidth);
    bones.push({ a: at(a), b: at(b), color, ...radii(boneWidth, 0.5, 0.7) });
  }
  const dots: Dot[] = [];
  for (let row = 0; row < k; row++) {
    // No dot is wider than the thinnest bone at it. Small hands show their points as the bends of the fingers.
    const dotWidth = Math.min(width[row], thinnest[row]);
    const hidden = thinnest[row] < Infinity && dotWidth < SMALLEST_DOTTED && !PLAN.body[row];
    if (seen[row] && !hidden) dots.push({ row, at: at(row), color: PLAN.pointColors[row], ...radii(dotWidth, 0.83, 0.4) });
  }
  return { size: whole, bones, dots };
}

function radii(width: number, share: number, thinnest: number): { radius: number; rim: number } {
  const radius = share * width;
  return { radius, rim: radius + Math.min(Math.max(0.3 * width, thinnest), 2.5) };
}

/** Everyone, smaller people first, so that whoever stands in front mostly ends up in front. */
export function drawSkeletons(
  context: CanvasRenderingContext2D,
  people: Person[],
  threshold: number,
  picture: [number, number],
  bones: boolean,
): void {
  const drawn = people.map((person) => strokes(person, threshold, picture)).sort((a, b) => a.size - b.size);
  context.lineCap = "round";
  for (const person of drawn) {
    for (const rim of [true, false]) {
      for (const bone of bones ? person.bones : []) {
        context.strokeStyle = rim ? RIM : bone.color;
        context.lineWidth = Math.max(2 * (rim ? bone.rim : bone.radius), 0.5);
        context.beginPath();
        context.moveTo(bone.a[0] + 0.5, bone.a[1] + 0.5);
        context.lineTo(bone.b[0] + 0.5, bone.b[1] + 0.5);
        context.stroke();
      }
      for (const dot of person.dots) {
        context.fillStyle = rim ? RIM : dot.color;
        context.beginPath();
        context.arc(dot.at[0] + 0.5, dot.at[1] + 0.5, Math.max(rim ? dot.rim : dot.radius, 0.5), 0, 2 * Math.PI);
        context.fill();
      }
    }
  }
}

/** The boxes of people, with their ids where there are; or the ids alone, at the corner where the box would begin. */
export function drawBoxes(context: CanvasRenderingContext2D, people: Person[], longerSide: number, lines: boolean): void {
  const thin = Math.max(1, Math.round((1.5 * longerSide) / 1000));
  const size = Math.max(14, Math.round((22 * longerSide) / 1000));
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.lineJoin = "round";
  for (const { box, id } of people) {
    for (const [shift, color] of lines ? ([[thin, RIM], [0, "#fff"]] as const) : []) {
      context.strokeStyle = color;
      context.lineWidth = thin;
      context.strokeRect(box[0] + shift + 0.5, box[1] + shift + 0.5, box[2] - box[0], box[3] - box[1]);
    }
    if (id === null) continue;
    const [x, y] = [Math.max(box[0], 0) + 3 + thin, Math.max(box[1], 0) + 3 + thin];
    context.strokeStyle = RIM;
    context.lineWidth = thin + 3;
    context.strokeText(String(id), x, y);
    context.fillStyle = "#fff";
    context.fillText(String(id), x, y);
  }
}
