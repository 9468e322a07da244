/** The controls beside the picture, read as plain values. */

export type View = "skeleton" | "points" | "map";

export interface Settings {
  view: View;
  parts: { body: boolean; feet: boolean; face: boolean; hands: boolean };
  /** Draw over the picture, or on black. */
  ground: boolean;
  boxes: boolean;
  xinsir: boolean;
  /** Lowest score of a person's box, and of a keypoint. */
  least: number;
  threshold: number;
  /** Most people, the largest first. */
  most: number;
  smooth: boolean;
  network: string;
  rate: number;
  format: string;
}

export function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found as T;
}

const input = (id: string) => element<HTMLInputElement>(id);
const checked = (value: string) => document.querySelector<HTMLInputElement>(`[name=part][value=${value}]`)!.checked;

export function settings(): Settings {
  const most = Number(input("most").value);
  return {
    view: document.querySelector<HTMLInputElement>("[name=view]:checked")!.value as View,
    parts: { body: checked("body"), feet: checked("feet"), face: checked("face"), hands: checked("hands") },
    ground: input("ground").checked,
    boxes: input("boxes").checked,
    xinsir: input("xinsir").checked,
    least: Number(input("least").value),
    threshold: Number(input("threshold").value),
    most: most > 20 ? Infinity : most,
    smooth: input("smooth").checked,
    network: element<HTMLSelectElement>("network").value,
    rate: Number(element<HTMLSelectElement>("rate").value),
    format: element<HTMLSelectElement>("format").value,
  };
}

/** Show the value of each slider, and only the controls that mean something now. */
export function refresh(source: "photo" | "video" | "camera" | null): void {
  for (const slider of document.querySelectorAll<HTMLInputElement>(".slider input")) {
    const value = Number(slider.value);
    const text = slider.id === "most" ? (value > 20 ? "all" : String(value)) : `${Math.round(100 * value)} %`;
    slider.parentElement!.querySelector("output")!.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  }
  const { view } = settings();
  for (const control of document.querySelectorAll<HTMLElement>("[data-view]")) control.hidden = control.dataset.view !== view;
  for (const control of document.querySelectorAll<HTMLElement>("[data-source]")) {
    control.hidden = !source || !control.dataset.source!.split(" ").includes(source);
  }
  input("ground").closest("label")!.hidden = view === "map";
  input("boxes").closest("label")!.hidden = view === "map";
}
