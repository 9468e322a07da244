/**
 * The page without a connection, and with threads on hosts that do not send the headers for them.
 *
 * FILES and VERSION are filled in when the page is built. Files with a hash in their name never change; all others are
 * asked for anew, and taken from the store where that fails.
 */
const FILES = ["./","assets/index-7VFUW-3A.js","assets/index-BWYCmUh6.css","assets/ort-3398c10d.wasm.gz","assets/ort-wasm-simd-threaded-qyIweqWS.js","assets/worker-Ci4tFjeP.js","icon.svg","manifest.webmanifest","sample.jpg"];
const STORE = `wholebody-page-${"18c5c70427ad"}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(STORE)
      .then((store) => store.addAll(FILES))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("wholebody-page-") && name !== STORE;
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

/** A page needs the first two to share memory between threads, its files the third. */
function isolated(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

async function answer(request) {
  const store = await caches.open(STORE);
  const stored = () => store.match(request, { ignoreSearch: request.mode === "navigate" });
  if (new URL(request.url).pathname.includes("/assets/")) {
    const known = await stored();
    if (known) return isolated(known);
  }
  try {
    return isolated(await fetch(request));
  } catch (error) {
    const known = await stored();
    if (known) return isolated(known);
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  // Networks are kept by the page itself, and a service beside the page is none of our business.
  const ours = FILES.some((file) => new URL(file, self.registration.scope).pathname === pathname);
  if (request.method === "GET" && origin === self.location.origin && ours) event.respondWith(answer(request));
});
