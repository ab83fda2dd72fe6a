// Keeps the page itself, so that it opens without a network; worker.js keeps the model.

const CACHE = "mmm-page-VERSION";
const PAGE = ["./", "style.css", "page.js", "worker.js", "worker-gpu.js", "files.json"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(PAGE)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("mmm-") && name !== CACHE && name !== "mmm-MODEL";
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const kept = () => caches.open(CACHE).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  const fresh = fetch(event.request);
  // the network first: a new version of the page must come through
  event.respondWith(fresh.catch(async (error) => (await kept()) ?? Promise.reject(error)));
});
