// node test/tokens.mjs EXPECTED MODEL BVH [SUFFIX]: the tokens of texts in onnxruntime-web, compared with those of Python
// (tests/demo_tokens.py wrote EXPECTED); their BVH files are written into the folder BVH, for Python to read.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import * as ort from "onnxruntime-web/wasm";
import { Body } from "../src/body.js";
import { Model } from "../src/model.js";

const [expected, folder, bvh, suffix = "-8bit"] = process.argv.slice(2);
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = readFileSync(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
const model = await Model.load(ort, async (name) => new Uint8Array(readFileSync(join(folder, name))), { suffix });
let equal = 0, cells = 0, all = 0, far = 0;
const { cases } = JSON.parse(readFileSync(expected, "utf8"));
const busy = () => process.cpuUsage().user / 1e6; // seconds of a core, whatever else the machine does
const start = busy();
mkdirSync(bvh, { recursive: true });
for (const [number, { text, frames, seed, estimated, tokens, joints }] of cases.entries()) {
  const condition = await model.embed(text);
  let last;
  for await (last of model.sample(condition, frames, { seed }));
  const same = tokens.filter((token, i) => token === last.tokens[i]).length;
  const length = await model.estimateLength(condition);
  const places = await model.decode(Int32Array.from(tokens), frames);
  writeFileSync(join(bvh, `${number}.bvh`), new Body(model.config.skeleton, places).bvh(places, model.sizes.fps));
  const worst = Math.max(...joints.map((number, i) => Math.abs(number - places[i])));
  far = Math.max(far, worst);
  console.log(`${same === tokens.length && length === estimated ? "same" : "OTHER"}  ${same}/${tokens.length} tokens, length ${length} of ${estimated}  ${text}`);
  equal += same === tokens.length && length === estimated;
  cells += same;
  all += tokens.length;
}
console.log(`${equal} of ${cases.length} texts equal, ${((100 * cells) / all).toFixed(2)} % of the tokens; joints of the same tokens differ by ${(1000 * far).toFixed(4)} mm; ${((busy() - start) / cases.length).toFixed(2)} s of a core per text`);
const condition = await model.embed("a person walks in a circle"), before = busy();
let last;
for await (last of model.sample(condition, model.sizes.max_frames));
await model.decode(last.tokens, model.sizes.max_frames);
console.log(`${model.sizes.max_frames} frames: ${(busy() - before).toFixed(2)} s of a core`);
process.exit(equal === cases.length ? 0 : 1);
