// The model runs here, so that the page stays smooth.

import * as ort from "onnxruntime-web/wasm";
import { Model } from "./model.js";

let model, newest = 0;

/** Bytes of a file, from the cache if it is there; reports every piece. A broken download leaves nothing behind. */
async function read(name, cache, report) {
  const url = new URL(name, self.location.href).href;
  const kept = await cache?.match(url);
  if (kept) {
    const bytes = new Uint8Array(await kept.arrayBuffer());
    report(bytes.length);
    return bytes;
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
  const pieces = [];
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    report(value.length);
  }
  const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
  await cache?.put(url, new Response(bytes)).catch(() => {}); // a full disk: it works without
  return bytes;
}

async function unzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function load({ files, version }) {
  const cache = await self.caches?.open(`mmm-${version}`).catch(() => undefined);
  const total = Object.values(files).reduce((sum, bytes) => sum + bytes, 0);
  let loaded = 0;
  const report = (bytes) => postMessage({ kind: "progress", loaded: (loaded += bytes), total });
  const bytes = Object.fromEntries(await Promise.all(Object.keys(files).map(async (name) => {
    const found = await read(name, cache, report);
    if (!name.endsWith(".gz")) return [name, found];
    return [name.slice(0, -3), await unzip(found).catch(async () => {
      await cache?.delete(new URL(name, self.location.href).href); // so that another try loads it again
      throw new Error(`${name} arrived damaged`);
    })];
  })));
  postMessage({ kind: "starting" });
  const gpu = self.gpuRuntime; // of worker-gpu.js
  for (const [library, name] of [[ort, "ort.wasm"], [gpu, "ort-gpu.wasm"]]) {
    if (!library) continue;
    library.env.wasm.numThreads = 1; // threads need headers that a static site does not send
    library.env.wasm.wasmBinary = bytes[name];
  }
  model = await Model.load(ort, async (name) => bytes[`model/${name}`], { gpu });
  const { sizes, skeleton, sampler, model: facts } = model.config;
  postMessage({ kind: "ready", config: { sizes, skeleton, sampler, facts } });
}

const breathe = () => new Promise((done) => setTimeout(done)); // lets a newer request come in

async function generate({ id, text, frames, seeds, guidance, canvases }) {
  newest = id;
  await breathe();
  if (id !== newest) return;
  const start = performance.now();
  const condition = await model.embed(text);
  frames ??= await model.estimateLength(condition);
  postMessage({ kind: "started", id, frames, note: model.note(text, condition) });
  for (const [number, seed] of seeds.entries()) {
    let last;
    for await (const pass of model.sample(condition, frames, { guidance, seed, canvas: canvases?.[number] })) {
      last = pass;
      postMessage({ kind: "pass", id, number, ...pass });
      await breathe();
      if (id !== newest) return;
    }
    const joints = await model.decode(last.tokens, frames);
    postMessage({ kind: "motion", id, number, seed, frames, joints, tokens: last.tokens, seconds: (performance.now() - start) / 1000 });
  }
  postMessage({ kind: "done", id, seconds: (performance.now() - start) / 1000 });
}

let chain = Promise.resolve(); // onnxruntime runs one thing at a time
self.onmessage = ({ data }) => {
  if (data.kind === "generate") newest = data.id;
  chain = chain.then(() => (data.kind === "load" ? load(data) : data.id === newest ? generate(data) : undefined)).catch((error) =>
    postMessage({ kind: "failed", during: data.kind, id: data.id, message: String(error?.message ?? error) }));
};
