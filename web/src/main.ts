/** The page: what the buttons do, and which picture and people are on the stage. */
import type { Found } from "./detect";
import { FORMATS, type Frame, type Result } from "./formats";
import { area, type Person } from "./poses";
import { Networks } from "./remote";
import { element, refresh, settings } from "./settings";
import { draw, mapOf, nearest } from "./show";
import { Smoother } from "./smooth";
import { blank, close, grab, openCamera, openVideo, pixelsOf, readPicture, save, seek, type Canvas } from "./sources";
import { Follower } from "./track";

/** Boxes below this score are never shown, so that moving the slider asks the detector nothing. */
const FLOOR = 0.1;
const THREADS = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
const REMEMBERED = 20_000; // frames of a camera

const canvas = element<HTMLCanvasElement>("canvas");
const video = element<HTMLVideoElement>("video");
const play = element<HTMLButtonElement>("play");
const position = element<HTMLInputElement>("seek");
const recordButton = element<HTMLButtonElement>("record");

const loading = new Map<string, [loaded: number, total: number]>();
const networks = new Networks((name, loaded, total) => {
  loading.set(name, [loaded, total]);
  const [all, of] = [...loading.values()].reduce(([a, b], [c, d]) => [a + c, b + d]);
  busy(`Loading the networks, ${(all / 1e6).toFixed(1)} MB`, all / of);
});

let source: "photo" | "video" | "camera" | null = null;
/** Counts what was opened: an answer that comes for something older is dropped. */
let turn = 0;
let name = "picture";
let picture: Canvas = blank(1, 1);
let people: Person[] = [];
let hidden = new Set<number>();

let found: Found[] = []; // of a photo
let known = new Map<Found, Person>();
let frames: Frame[] = []; // of a video or camera, as estimated
let steady: Frame[] = []; // the same, smoothed

// --- What the page says -------------------------------------------------------------------------------------------

function busy(text: string | null, share?: number): void {
  const box = element("busy");
  box.hidden = text === null;
  box.querySelector("span")!.textContent = text;
  const bar = box.querySelector("progress")!;
  if (share === undefined) bar.removeAttribute("value");
  else bar.value = share;
}

function say(text: string, bad = false): void {
  element("status").textContent = text;
  element("status").classList.toggle("bad", bad);
}

function failed(error: unknown): void {
  busy(null);
  say(error instanceof Error ? error.message : String(error), true);
}

const seconds = (time: number) => `${Math.floor(time / 60)}:${(time % 60).toFixed(1).padStart(4, "0")}`;

// --- The stage ----------------------------------------------------------------------------------------------------

/** Who is shown: key and person. In a photo the key counts the people, in a video it is their id. */
function shown(): Person[] {
  return people.filter((person, n) => !hidden.has(person.id ?? n));
}

function render(): void {
  refresh(source);
  if (source === null) return;
  draw(canvas, picture, shown(), settings());
  listPeople();
}

function listPeople(): void {
  element("count").textContent = people.length ? `· ${people.length}` : "";
  const list = element("people");
  const labels = people.map((person, n) => ({ key: person.id ?? n, text: `${person.id ?? n + 1} · ${Math.round(100 * person.boxScore)} %` }));
  const keys = labels.map(({ key }) => key).join();
  if (list.dataset.keys !== keys) {
    list.dataset.keys = keys;
    list.replaceChildren(
      ...labels.map(({ key }) => {
        const label = document.createElement("label");
        label.innerHTML = '<input type="checkbox"><span></span>';
        label.querySelector("input")!.onchange = ({ target }) => {
          if ((target as HTMLInputElement).checked) hidden.delete(key);
          else hidden.add(key);
          render();
        };
        return label;
      }),
    );
  }
  labels.forEach(({ key, text }, n) => {
    list.children[n].querySelector("span")!.textContent = text;
    list.children[n].querySelector("input")!.checked = !hidden.has(key);
  });
}

function begin(kind: "photo" | "video" | "camera", title: string): number {
  stopRecording();
  close(video);
  [source, name, people, hidden, found, known, frames, steady] = [kind, title, [], new Set(), [], new Map(), [], []];
  element("empty").hidden = true;
  canvas.hidden = false;
  element("transport").hidden = kind !== "video";
  element("stop").hidden = true;
  element("camera").setAttribute("aria-pressed", String(kind === "camera"));
  say("");
  return ++turn;
}

// --- Networks -----------------------------------------------------------------------------------------------------

let opened: { pose: string; ready: Promise<void> } | null = null;

/** The networks that the settings name, loaded and run once. */
function ready(): Promise<void> {
  const pose = settings().network;
  if (opened?.pose !== pose) {
    const started = performance.now();
    const work = (async () => {
      busy("Loading the networks");
      const { threads } = await networks.open(pose, THREADS);
      busy("Warming up");
      await networks.warm();
      busy(null);
      document.documentElement.dataset.ready = pose;
      if (source === null) say(`ready in ${((performance.now() - started) / 1000).toFixed(1)} s · ${threads} thread${threads > 1 ? "s" : ""}`);
    })();
    opened = { pose, ready: work };
    work.catch(() => (opened = null));
  }
  return opened!.ready;
}

// --- Photos -------------------------------------------------------------------------------------------------------

async function openPhoto(file: Blob, title: string): Promise<void> {
  const canvasOfFile = await readPicture(file);
  const mine = begin("photo", title);
  picture = canvasOfFile;
  render();
  await ready();
  if (mine !== turn) return;
  busy("Finding people");
  const started = performance.now();
  await networks.look(pixelsOf(picture));
  const seen = await networks.eyes(FLOOR).detect();
  if (mine !== turn) return;
  found = seen;
  await choosePeople();
  if (mine !== turn) return;
  busy(null);
  const count = people.length === 1 ? "1 person" : people.length ? `${people.length} people` : "nobody found";
  say(`${count} · ${Math.round(performance.now() - started)} ms`);
  document.documentElement.dataset.done = title;
}

/** The people of a photo that the settings ask for; who was not asked for before is estimated now. */
async function choosePeople(): Promise<void> {
  const mine = turn;
  const { least, most } = settings();
  const sure = found.filter(({ score }) => score >= least);
  const largest = [...sure].sort((a, b) => area(b.box) - area(a.box)).slice(0, most);
  const wanted = sure.filter((one) => largest.includes(one));
  const missing = wanted.filter((one) => !known.has(one));
  if (missing.length) {
    const persons = await networks.eyes(FLOOR).estimate(missing);
    if (mine !== turn) return;
    missing.forEach((one, n) => known.set(one, persons[n]));
  }
  people = wanted.flatMap((one) => known.get(one) ?? []);
  render();
}

// --- Videos -------------------------------------------------------------------------------------------------------

async function openClip(file: Blob, title: string): Promise<void> {
  const mine = begin("video", title);
  await openVideo(video, file);
  if (mine !== turn) return;
  picture = blank(video.videoWidth, video.videoHeight);
  grab(video, picture);
  position.max = String(video.duration);
  render();
  await estimateClip(mine);
}

async function estimateClip(mine: number): Promise<void> {
  await ready();
  if (mine !== turn) return;
  const { rate, least, most } = settings();
  const follower = new Follower(Math.max(Math.round(rate / 4), 1), most);
  const eyes = networks.eyes(least);
  const count = Math.max(Math.floor(video.duration * rate), 1);
  const stop = element<HTMLButtonElement>("stop");
  const started = performance.now();
  let stopped = false;
  [frames, steady, stop.hidden, play.disabled] = [[], [], false, true];
  stop.onclick = () => (stopped = true);
  for (let n = 0; n < count && !stopped; n++) {
    await seek(video, Math.min((n + 0.5) / rate, video.duration));
    if (mine !== turn) return;
    grab(video, picture);
    await networks.look(pixelsOf(picture));
    const persons = await follower.step(eyes, n / rate, [picture.width, picture.height]);
    if (mine !== turn) return;
    frames.push({ time: n / rate, people: persons });
    people = persons;
    position.value = String(video.currentTime);
    element("clock").textContent = `${seconds(video.currentTime)} / ${seconds(video.duration)}`;
    render();
    const speed = (n + 1) / ((performance.now() - started) / 1000);
    busy(`Frame ${n + 1} of ${count}, ${speed.toFixed(1)} per second`, (n + 1) / count);
  }
  [stop.hidden, play.disabled] = [true, false];
  busy(null);
  smoothAll();
  await seek(video, 0);
  showFrame();
  const ids = new Set(frames.flatMap((frame) => frame.people.map(({ id }) => id)));
  say(`${frames.length} frames · ${ids.size} ${ids.size === 1 ? "person" : "people"} · ${(frames.length / ((performance.now() - started) / 1000)).toFixed(1)} frames per second`);
  document.documentElement.dataset.done = name;
}

function smoothAll(): void {
  const smoother = new Smoother();
  steady = frames.map(({ time, people }) => ({ time, people: smoother.step(people, time) }));
}

const kept = () => (settings().smooth ? steady : frames);

/** The video's picture of now with the people who were found nearest to it in time. */
function showFrame(): void {
  grab(video, picture);
  const { rate } = frames.length > 1 ? { rate: 1 / (frames[1].time - frames[0].time) } : { rate: 1 };
  people = kept()[Math.min(Math.floor(video.currentTime * rate), frames.length - 1)]?.people ?? [];
  position.value = String(video.currentTime);
  element("clock").textContent = `${seconds(video.currentTime)} / ${seconds(video.duration)}`;
  play.textContent = video.paused ? "▶" : "❚❚";
  play.setAttribute("aria-label", video.paused ? "Play" : "Pause");
  render();
  if (!video.paused) requestAnimationFrame(() => source === "video" && showFrame());
}

async function togglePlay(): Promise<void> {
  if (source !== "video" || play.disabled) return;
  if (video.paused) await video.play();
  else video.pause();
  showFrame();
}

async function moveTo(time: number): Promise<void> {
  if (source !== "video" || play.disabled) return;
  await seek(video, Math.min(Math.max(time, 0), video.duration));
  showFrame();
}

// --- Camera -------------------------------------------------------------------------------------------------------

async function startCamera(): Promise<void> {
  if (video.srcObject) return stopCamera();
  const mine = begin("camera", "camera");
  try {
    await openCamera(video);
  } catch (error) {
    stopCamera();
    throw error;
  }
  await ready();
  busy(null);
  let follower = new Follower();
  let followed = "";
  const smoother = new Smoother();
  const started = performance.now();
  let pace = 0;
  let before = started;
  while (mine === turn) {
    grab(video, picture);
    const now = settings();
    if (followed !== String(now.most)) [follower, followed] = [new Follower(8, now.most), String(now.most)];
    const time = (performance.now() - started) / 1000;
    await networks.look(pixelsOf(picture));
    const persons = await follower.step(networks.eyes(now.least), time, [picture.width, picture.height]);
    if (mine !== turn) return;
    if (frames.length < REMEMBERED) frames.push({ time, people: persons });
    const smoothed = smoother.step(persons, time);
    people = now.smooth ? smoothed : persons;
    if (frames.length < REMEMBERED) steady.push({ time, people: smoothed });
    render();
    const [spent, after] = [performance.now() - before, performance.now()];
    [pace, before] = [pace ? 0.9 * pace + 0.1 * spent : spent, after];
    say(`${(1000 / pace).toFixed(1)} pictures per second · ${people.length === 1 ? "1 person" : `${people.length} people`}`);
    document.documentElement.dataset.done = `camera ${frames.length}`;
    // A page that is not looked at need not look either.
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    else await new Promise(requestAnimationFrame);
  }
}

/** The camera goes off; its last picture stays as a photo whose people are known. */
function stopCamera(): void {
  turn += 1;
  stopRecording();
  close(video);
  element("camera").setAttribute("aria-pressed", "false");
  if (!frames.length) {
    [source, canvas.hidden, element("empty").hidden] = [null, true, false];
    refresh(source);
  }
}

// --- Saving -------------------------------------------------------------------------------------------------------

const stem = () => name.replace(/\.[^.]*$/, "") || "picture";

async function savePicture(): Promise<void> {
  if (source === null) return;
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob) save(`${stem()}_pose.png`, blob);
}

async function saveMap(): Promise<void> {
  if (source === null) return;
  const map = mapOf(shown(), picture.width, picture.height, settings());
  const into = blank(map.width, map.height);
  into.getContext("2d")!.putImageData(new ImageData(map.data, map.width, map.height), 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => into.toBlob(resolve, "image/png"));
  if (blob) save(`${stem()}_map.png`, blob);
}

function saveData(): void {
  if (source === null) return;
  const moving = source !== "photo";
  const visible = ({ time, people }: Frame): Frame => ({ time, people: people.filter(({ id }) => !hidden.has(id!)) });
  const result: Result = {
    name,
    width: picture.width,
    height: picture.height,
    video: moving,
    threshold: settings().threshold,
    frames: moving ? kept().map(visible) : [{ time: 0, people: shown() }],
  };
  const format = FORMATS.find(({ key }) => key === settings().format)!;
  const { suffix, content } = format.write(result);
  save(`${stem()}${suffix}`, new Blob([content as BlobPart]));
}

let recorder: MediaRecorder | null = null;

/** The stage as a video; a clip is recorded from its start to its end. */
async function toggleRecording(): Promise<void> {
  if (recorder) return stopRecording();
  if (source === "video") await moveTo(0);
  const chunks: Blob[] = [];
  recorder = new MediaRecorder(canvas.captureStream(30));
  recorder.ondataavailable = ({ data }) => chunks.push(data);
  const title = `${stem()}_pose.${recorder.mimeType.includes("mp4") ? "mp4" : "webm"}`;
  recorder.onstop = () => save(title, new Blob(chunks, { type: chunks[0]?.type }));
  recorder.start();
  [recordButton.textContent, recordButton.ariaPressed] = ["Stop", "true"];
  if (source === "video") {
    video.addEventListener("ended", stopRecording, { once: true });
    await togglePlay();
  }
}

function stopRecording(): void {
  recorder?.stop();
  recorder = null;
  [recordButton.textContent, recordButton.ariaPressed] = ["Record", "false"];
}

// --- Wiring -------------------------------------------------------------------------------------------------------

function openFile(file: File | Blob, title: string): void {
  const moving = file.type.startsWith("video/");
  (moving ? openClip(file, title) : openPhoto(file, title)).catch(failed);
}

const actions: Record<string, () => void> = {
  open: () => element("file").click(),
  camera: () => void startCamera().catch(failed),
  sample: () => {
    fetch("sample.jpg")
      .then((response) => response.blob())
      .then((blob) => openPhoto(blob, "sample.jpg"))
      .catch(failed);
  },
};

const KEYS: [key: string, what: string, act: () => void][] = [
  ["o", "Open a photo or video", actions.open],
  ["c", "Camera on or off", actions.camera],
  ["1", "Skeleton", () => choose("skeleton")],
  ["2", "Points", () => choose("points")],
  ["3", "Map for ControlNet", () => choose("map")],
  ["b", "Picture or black background", () => element("ground").click()],
  ["p", "Save the picture", () => void savePicture()],
  ["m", "Save the map", () => void saveMap()],
  ["k", "Save the keypoints", saveData],
  [" ", "Play or pause", () => void togglePlay()],
  ["ArrowLeft", "Previous frame", () => void moveTo(video.currentTime - 1 / settings().rate)],
  ["ArrowRight", "Next frame", () => void moveTo(video.currentTime + 1 / settings().rate)],
  ["?", "This list", () => element<HTMLDialogElement>("help").showModal()],
];

function choose(view: string): void {
  document.querySelector<HTMLInputElement>(`[name=view][value=${view}]`)!.checked = true;
  render();
}

function wire(): void {
  const shownKey: Record<string, string> = { " ": "space", ArrowLeft: "←", ArrowRight: "→" };
  const list = element("help").querySelector("dl")!;
  for (const [key, what] of KEYS) {
    list.insertAdjacentHTML("beforeend", `<dt><kbd>${shownKey[key] ?? key}</kbd></dt><dd>${what}</dd>`);
  }
  element("keys").onclick = () => element<HTMLDialogElement>("help").showModal();
  for (const button of document.querySelectorAll<HTMLElement>("[data-act]")) button.onclick = actions[button.dataset.act!];
  for (const { key, label } of FORMATS) element<HTMLSelectElement>("format").add(new Option(label, key));

  const file = element<HTMLInputElement>("file");
  file.onchange = () => {
    if (file.files?.[0]) openFile(file.files[0], file.files[0].name);
    file.value = "";
  };
  document.onkeydown = (event) => {
    const target = event.target as HTMLElement;
    const action = KEYS.find(([key]) => key === event.key);
    // What a control does with the key itself comes first.
    const native =
      target.matches("select") ||
      (event.key === " " && target.matches("button, input")) ||
      (event.key.startsWith("Arrow") && target.matches("input"));
    if (!action || native || event.ctrlKey || event.metaKey || event.altKey || element<HTMLDialogElement>("help").open) return;
    event.preventDefault();
    action[2]();
  };
  document.ondragover = (event) => {
    event.preventDefault();
    element("drop").hidden = false;
  };
  document.ondragleave = (event) => {
    if (!event.relatedTarget) element("drop").hidden = true;
  };
  document.ondrop = (event) => {
    event.preventDefault();
    element("drop").hidden = true;
    const dropped = event.dataTransfer?.files[0];
    if (dropped) openFile(dropped, dropped.name);
  };
  document.onpaste = (event) => {
    const pasted = event.clipboardData?.files[0];
    if (pasted) openFile(pasted, pasted.name);
  };

  element("save-picture").onclick = () => void savePicture();
  element("save-map").onclick = () => void saveMap();
  element("save-data").onclick = saveData;
  recordButton.onclick = () => void toggleRecording().catch(failed);
  play.onclick = () => void togglePlay();
  position.oninput = () => void moveTo(Number(position.value));

  for (const control of document.querySelectorAll<HTMLInputElement>("aside input, aside select")) {
    control.oninput = () => {
      if (source === "photo" && ["least", "most"].includes(control.id)) choosePeople().catch(failed);
      else if (source === "video" && control.id === "smooth") showFrame();
      else render();
    };
  }
  element("network").onchange = () => again();
  element("rate").onchange = () => again();

  canvas.onpointermove = (event) => {
    const tip = element("tip");
    const bounds = canvas.getBoundingClientRect();
    const scale = Math.min(bounds.width / canvas.width, bounds.height / canvas.height);
    const [left, top] = [(bounds.width - scale * canvas.width) / 2, (bounds.height - scale * canvas.height) / 2];
    const [x, y] = [(event.offsetX - left) / scale, (event.offsetY - top) / scale];
    const point = nearest(shown(), settings(), x, y, 12 / scale);
    tip.hidden = !point;
    if (!point) return;
    tip.textContent = `${point.name.replaceAll("_", " ")} · ${Math.round(100 * point.score)} %`;
    tip.style.left = `${Math.min(event.offsetX + 12, bounds.width - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.max(event.offsetY - 30, 4)}px`;
  };
  canvas.onpointerleave = () => (element("tip").hidden = true);
}

/** The same picture or video with other networks. */
function again(): void {
  const mine = ++turn;
  if (source === "photo") {
    known = new Map();
    const work = async () => {
      await ready();
      if (mine !== turn) return;
      busy("Estimating");
      await choosePeople();
      if (mine !== turn) return;
      busy(null);
      document.documentElement.dataset.done = `${name} ${settings().network}`;
    };
    work().catch(failed);
  } else if (source === "video") {
    estimateClip(mine).catch(failed);
  } else if (source === "camera") {
    source = null;
    startCamera().catch(failed);
  } else {
    ready().catch(failed);
  }
}

/** Without a connection the page comes from the service worker; it also brings the headers that threads need. */
async function keepForLater(): Promise<void> {
  if (!("serviceWorker" in navigator) || !import.meta.env.PROD) return;
  await navigator.serviceWorker.register("sw.js");
  if (crossOriginIsolated || sessionStorage.getItem("reloaded")) return;
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (source !== null) return;
    sessionStorage.setItem("reloaded", "yes");
    location.reload();
  });
}

wire();
refresh(source);
void keepForLater().catch(() => undefined);
ready().catch(failed);
