/** Where pictures come from: files, videos and cameras, as canvases. */

/** More pixels than a phone's canvas may have are scaled down. */
const MAX_PIXELS = 16_000_000;

export type Canvas = HTMLCanvasElement;

export function blank(width: number, height: number): Canvas {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
}

export function pixelsOf(canvas: Canvas): { width: number; height: number; data: Uint8ClampedArray } {
  const { width, height } = canvas;
  return { width, height, data: canvas.getContext("2d", { willReadFrequently: true })!.getImageData(0, 0, width, height).data };
}

/** A picture file: turned upright, its colours as they are stored, transparency laid on white. */
export async function readPicture(file: Blob): Promise<Canvas> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("The browser cannot read this picture. Use JPEG, PNG or WebP.");
  }
  const shrink = Math.min(Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)), 1);
  const canvas = blank(Math.floor(bitmap.width * shrink), Math.floor(bitmap.height * shrink));
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

function once(target: EventTarget, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    target.addEventListener(event, () => resolve(), { once: true });
    target.addEventListener("error", () => reject(new Error("The browser cannot play this video. Use MP4 (H.264) or WebM.")), { once: true });
  });
}

/** Load a video file; its size and length are known afterwards. */
export async function openVideo(video: HTMLVideoElement, file: Blob): Promise<void> {
  video.srcObject = null;
  const ready = once(video, "loadeddata");
  video.src = URL.createObjectURL(file);
  await ready;
  if (!Number.isFinite(video.duration)) {
    // Recordings of browsers do not say how long they are until their end was seen.
    const known = once(video, "durationchange");
    video.currentTime = 1e7;
    await known;
    await seek(video, 0);
  }
}

export async function seek(video: HTMLVideoElement, time: number): Promise<void> {
  const there = once(video, "seeked");
  video.currentTime = time;
  await there;
}

export async function openCamera(video: HTMLVideoElement): Promise<void> {
  if (!navigator.mediaDevices) throw new Error("The camera works only on pages from https:// or from this machine (localhost).");
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 } }, audio: false });
  } catch (error) {
    const denied = error instanceof DOMException && error.name === "NotAllowedError";
    throw new Error(denied ? "Access to the camera was denied. Allow it in the address bar." : "The camera cannot be opened. Is it in use elsewhere?");
  }
  video.removeAttribute("src");
  video.srcObject = stream;
  await video.play();
}

export function close(video: HTMLVideoElement): void {
  video.pause();
  if (video.srcObject instanceof MediaStream) for (const track of video.srcObject.getTracks()) track.stop();
  video.srcObject = null;
  if (video.src) {
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }
}

/** The picture that a video shows now, into a canvas of its size. */
export function grab(video: HTMLVideoElement, canvas: Canvas): void {
  if (canvas.width !== video.videoWidth || canvas.height !== video.videoHeight) {
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  }
  canvas.getContext("2d", { willReadFrequently: true })!.drawImage(video, 0, 0);
}

export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
