/** The OpenPose map that ControlNets were trained on, as `wholebody.draw.openpose` draws it. */
import { convert, FINGER_COLORS, HAND_EDGES, OPENPOSE, OPENPOSE_25, OPENPOSE_COLORS, partRows, type Person } from "./poses";
import { Raster, type Color } from "./raster";

export interface MapStyle {
  body: boolean;
  hands: boolean;
  face: boolean;
  /** Sticks to toes and heel, for networks that were trained with them. */
  feet: boolean;
  /** Wider sticks, as the xinsir ControlNets for SDXL expect. */
  xinsir: boolean;
  /** The score that a point must have to be drawn. */
  threshold: number;
}

const FAR = 1e6;
const LIMBS = OPENPOSE.edges.filter(([, b]) => b < 18);
const FOOT_BONES = ["right", "left"].flatMap((side) =>
  [["ankle", "big_toe"], ["big_toe", "small_toe"], ["ankle", "heel"]].map(([a, b]) => {
    const row = (name: string) => OPENPOSE_25.names.indexOf(`${side}_${name}`);
    return { a: row(a), b: row(b), color: OPENPOSE_COLORS[OPENPOSE.names.indexOf(`${side}_ankle`)] };
  }),
);

const dark = ([r, g, b]: Color): Color => [Math.trunc(r * 0.6), Math.trunc(g * 0.6), Math.trunc(b * 0.6)];

/** Positions as the official code has them: fractions of the picture and back; `sure` and `shown` by its own rules. */
function placed(person: Person, width: number, height: number, threshold: number) {
  return Array.from(person.scores, (score, row) => {
    const x = (person.keypoints[2 * row] / width) * width;
    const y = (person.keypoints[2 * row + 1] / height) * height;
    const there = Math.abs(x) < FAR && Math.abs(y) < FAR;
    const pixel: [number, number] = there ? [Math.trunc(x), Math.trunc(y)] : [-1, -1];
    // A body point has to be above the threshold, others not below it, and row 0 and column 0 count as missing there.
    return { x, y, pixel, sure: there && score > threshold, shown: there && score >= threshold && pixel[0] >= 1 && pixel[1] >= 1 };
  });
}

type Placed = ReturnType<typeof placed>;

export function openposeMap(people: Person[], width: number, height: number, style: MapStyle): Raster {
  const raster = new Raster(width, height);
  const stick = 4 * (style.xinsir ? xinsirScale(Math.max(width, height)) : 1);
  const points = people.map((person) => placed(convert(person, OPENPOSE), width, height, style.threshold));
  const feet = people.map((person) => placed(convert(person, OPENPOSE_25), width, height, style.threshold));
  const bone = (all: Placed[], a: number, b: number, color: Color) => {
    for (const person of all) if (person[a].sure && person[b].sure) drawStick(raster, person[a], person[b], dark(color), stick);
  };
  const dot = (all: Placed[], row: number, color: Color) => {
    for (const person of all) if (person[row].sure) raster.disc(person[row].pixel, 4, color);
  };
  if (style.body) LIMBS.forEach(([a, b], n) => bone(points, a, b, OPENPOSE_COLORS[n]));
  if (style.feet) {
    for (const { a, b, color } of FOOT_BONES) bone(feet, a, b, color);
    for (const { b, color } of FOOT_BONES) dot(feet, b, color);
  }
  if (style.body) OPENPOSE_COLORS.forEach((color, row) => dot(points, row, color));
  if (style.hands) {
    for (const part of ["left_hand", "right_hand"]) for (const person of points) drawHand(raster, person.slice(...partRows(OPENPOSE, part)));
  }
  if (style.face) {
    const start = partRows(OPENPOSE, "face")[0];
    for (const person of points) {
      for (const { pixel, shown } of person.slice(start, start + 68)) if (shown) raster.disc(pixel, 3, [255, 255, 255]);
    }
  }
  return raster;
}

function xinsirScale(longerSide: number): number {
  return longerSide < 500 ? 1 : Math.min(2 + Math.floor(longerSide / 1000), 7);
}

function drawStick(raster: Raster, a: { x: number; y: number }, b: { x: number; y: number }, color: Color, width: number): void {
  const center = [Math.trunc((a.x + b.x) / 2), Math.trunc((a.y + b.y) / 2)] as const;
  const half = Math.trunc(Math.hypot(a.x - b.x, a.y - b.y) / 2);
  const angle = Math.trunc((Math.atan2(a.y - b.y, a.x - b.x) * 180) / Math.PI);
  raster.ellipse(center, [half, width], angle, color);
}

function drawHand(raster: Raster, hand: Placed): void {
  HAND_EDGES.forEach(([a, b], n) => {
    if (hand[a].shown && hand[b].shown) raster.thickLine(hand[a].pixel, hand[b].pixel, FINGER_COLORS[n]);
  });
  for (const { pixel, shown } of hand) if (shown) raster.disc(pixel, 4, [0, 0, 255]);
}
