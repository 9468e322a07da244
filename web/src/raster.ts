/**
 * Drawing to the pixel, without smooth edges: filled polygons, lines and discs as OpenCV rasterises them.
 *
 * A browser's own canvas smooths every edge, and ControlNets were trained on maps that OpenCV drew.
 */

export type Color = readonly [number, number, number];
type Point = readonly [number, number];

/** Fixed point: 16 bits behind the point. */
const ONE = 65536;

export class Raster {
  readonly data: Uint8ClampedArray<ArrayBuffer>;

  /** Black, opaque. */
  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.data = new Uint8ClampedArray(4 * width * height);
    for (let i = 3; i < this.data.length; i += 4) this.data[i] = 255;
  }

  /** Pixels x0 to x1 of row y, both included; what lies outside is left out. */
  private span(y: number, x0: number, x1: number, color: Color): void {
    if (y < 0 || y >= this.height) return;
    const end = Math.min(x1, this.width - 1);
    for (let x = Math.max(x0, 0); x <= end; x++) {
      const at = 4 * (y * this.width + x);
      this.data[at] = color[0];
      this.data[at + 1] = color[1];
      this.data[at + 2] = color[2];
    }
  }

  /** A filled circle, by the midpoint algorithm. */
  disc([cx, cy]: Point, radius: number, color: Color): void {
    let [long, short, error] = [radius, 0, 0];
    while (long >= short) {
      for (const side of [-1, 1]) {
        this.span(cy + side * short, cx - long, cx + long, color);
        this.span(cy + side * long, cx - short, cx + short, color);
      }
      error += 2 * short + 1;
      short++;
      if (error > 0) {
        error -= 2 * long - 1;
        long--;
      }
    }
  }

  /** A line one pixel wide between whole pixels (Bresenham), from left to right. */
  private line(a: Point, b: Point, color: Color): void {
    const [from, to] = a[0] <= b[0] ? [a, b] : [b, a];
    let [x, y] = from;
    const [dx, dy] = [to[0] - x, Math.abs(to[1] - y)];
    const down = to[1] < y ? -1 : 1;
    const steep = dy > dx;
    const [major, minor] = steep ? [dy, dx] : [dx, dy];
    let error = major - 2 * minor;
    for (let n = 0; n <= major; n++) {
      this.span(y, x, x, color);
      const aside = error < 0;
      error += (aside ? 2 * major : 0) - 2 * minor;
      if (steep || aside) y += down;
      if (!steep || aside) x += 1;
    }
  }

  /** The same between points in fixed point. */
  private fineLine(a: Point, b: Point, color: Color): void {
    const steep = Math.abs(b[1] - a[1]) > Math.abs(b[0] - a[0]);
    const [u, v] = steep ? [1, 0] : [0, 1];
    const [from, to] = a[u] <= b[u] ? [a, b] : [b, a];
    const slope = to[u] > from[u] ? ((to[v] - from[v]) * ONE) / (to[u] - from[u]) : 0;
    const put = (along: number, aside: number) => (steep ? this.span(along, aside, aside, color) : this.span(aside, along, along, color));
    const whole = (value: number) => Math.floor((value + ONE / 2) / ONE);
    // What is behind the point at the start is not made up for along the way: it counts aside alone.
    const count = Math.floor((to[u] - from[u]) / ONE);
    for (let n = 0; n <= count; n++) put(whole(from[u]) + n, whole(from[v] + Math.trunc(slope) * n));
    put(whole(to[u]), whole(to[v]));
  }

  /** A filled convex polygon, its outline included, of points in whole pixels, or in fixed point where `fine`. */
  polygon(points: Point[], color: Color, fine = false): void {
    const corners: Point[] = fine ? points : points.map(([x, y]) => [x * ONE, y * ONE]);
    points.forEach((point, n) => {
      const before = points.at(n - 1)!;
      if (fine) this.fineLine(before, point, color);
      else this.line(before, point, color);
    });
    if (points.length < 3) return;
    // The leftmost and rightmost place where an edge crosses each row.
    const rows = corners.map(([, y]) => Math.floor((y + ONE / 2) / ONE));
    const first = Math.max(Math.min(...rows), 0);
    const last = Math.min(Math.max(...rows), this.height - 1);
    const left = new Array<number>(Math.max(last - first + 1, 0)).fill(Infinity);
    const right = left.map(() => -Infinity);
    corners.forEach((b, n) => {
      let [a, top, bottom] = [corners.at(n - 1)!, rows.at(n - 1)!, rows[n]];
      if (top > bottom) [a, b, top, bottom] = [b, a, bottom, top];
      const slope = bottom > top ? Math.round((b[0] - a[0]) / (bottom - top)) : 0;
      for (let y = Math.max(top, first); y <= Math.min(bottom, last); y++) {
        const x = y === bottom ? b[0] : a[0] + slope * (y - top);
        left[y - first] = Math.min(left[y - first], x);
        right[y - first] = Math.max(right[y - first], x);
      }
    });
    left.forEach((x, n) => this.span(first + n, Math.floor(x / ONE + 0.5), Math.floor(right[n] / ONE + 0.5), color));
  }

  /** A line two pixels wide with round ends, between whole pixels. */
  thickLine(a: Point, b: Point, color: Color): void {
    const [dx, dy] = [a[0] - b[0], b[1] - a[1]];
    const length = Math.hypot(dx, dy);
    if (length > 0) {
      const [ox, oy] = [Math.round((dy * ONE) / length), Math.round((dx * ONE) / length)];
      const [ax, ay, bx, by] = [a[0] * ONE, a[1] * ONE, b[0] * ONE, b[1] * ONE];
      const corners: Point[] = [[ax + ox, ay + oy], [ax - ox, ay - oy], [bx - ox, by - oy], [bx + ox, by + oy]];
      this.polygon(corners, color, true);
    }
    this.disc(a, 1, color);
    this.disc(b, 1, color);
  }

  /** A filled ellipse: its outline has a corner for each degree, at whole pixels. `angle` in whole degrees. */
  ellipse(center: Point, axes: Point, angle: number, color: Color): void {
    const turn = ((angle % 360) + 360) % 360;
    const [cos, sin] = [sine(turn + 90), sine(turn)];
    const outline: Point[] = [];
    for (let degree = 0; degree <= 360; degree++) {
      const [u, v] = [axes[0] * sine(degree + 90), axes[1] * sine(degree)];
      const x = Math.round(center[0] + u * cos - v * sin);
      const y = Math.round(center[1] + u * sin + v * cos);
      const before = outline.at(-1);
      if (!before || before[0] !== x || before[1] !== y) outline.push([x, y]);
    }
    this.polygon(outline.length > 1 ? outline : [center, center], color);
  }
}

/** Of whole degrees, to seven digits: with more, corners that lie between two pixels would fall to the other one. */
function sine(degrees: number): number {
  return Math.fround(Math.round(Math.sin(((degrees % 360) * Math.PI) / 180) * 1e7) / 1e7);
}
