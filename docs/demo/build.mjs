// node build.mjs MODEL [OUT]: the page in OUT (dist), with the model that `mmm export` wrote into the folder MODEL.

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const [model, out = join(here, "dist")] = process.argv.slice(2);
if (!model) {
  console.error("build: give the folder that `mmm export` wrote: node build.mjs MODEL");
  process.exit(2);
}
const { resolve } = createRequire(import.meta.url);
const runtimes = {
  "ort.wasm": resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"),
  "ort-gpu.wasm": resolve("onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm"),
};
const sources = { ...runtimes }; // the second one is loaded only by who computes on a graphics card
for (const name of ["config.json", "vocabulary.txt", "known.bin", ...["text", "transformer", "length", "decoder"].map((n) => `${n}-8bit.onnx`)]) {
  const path = join(model, name);
  if (statSync(path, { throwIfNoEntry: false })) sources[`model/${name}`] = path;
  else if (name !== "known.bin") {
    console.error(`build: there is no ${path}; write it with: mmm export --out ${model}`);
    process.exit(2);
  }
}

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "model"), { recursive: true });
const files = {}, hash = createHash("sha256");
for (const [name, path] of Object.entries(sources)) {
  const bytes = readFileSync(path), small = gzipSync(bytes, { level: 9 });
  const [kept, suffix] = small.length < 0.9 * bytes.length ? [small, ".gz"] : [bytes, ""];
  writeFileSync(join(out, name + suffix), kept);
  files[name + suffix] = kept.length;
  hash.update(kept);
}
await build({
  entryPoints: ["page", "worker", "worker-gpu"].map((name) => join(here, `src/${name}.js`)),
  outdir: out, bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "linked",
  logLevel: "warning",
});
for (const name of ["index.html", "style.css"]) cpSync(join(here, name), join(out, name));
const model_version = hash.copy().digest("hex").slice(0, 8); // a new page does not load the model again
const pages = ["index.html", "style.css", "page.js", "worker.js", "worker-gpu.js"];
for (const name of pages) hash.update(readFileSync(join(out, name)));
const version = hash.digest("hex").slice(0, 8);
writeFileSync(join(out, "files.json"), JSON.stringify({ version: model_version, files }));
const worker = readFileSync(join(here, "src/sw.js"), "utf8");
writeFileSync(join(out, "sw.js"), worker.replaceAll("VERSION", version).replaceAll("MODEL", model_version));
const megabytes = (sizes) => (sizes.reduce((a, b) => a + b) / 1e6).toFixed(1);
const page = pages.map((name) => statSync(join(out, name)).size);
const [processor, card] = Object.keys(runtimes).map((runtime) => files[runtime] ?? files[`${runtime}.gz`]);
const rest = Object.values(files).filter((size) => ![processor, card].includes(size));
console.log(`${out}: page ${megabytes(page)} MB, model ${megabytes(rest)} MB, runtime ${megabytes([processor])} MB (with WebGPU ${megabytes([card])} MB)`);
