// node test/browser.mjs EXPECTED [PICTURES]: the built page (dist) in headless Chromium. Tokens of all texts of EXPECTED
// (tests/demo_tokens.py), what the page says to odd input, without a network, and how long things take.

import assert from "node:assert/strict";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [expected, pictures] = process.argv.slice(2);
const dist = process.env.DIST ?? join(dirname(fileURLToPath(import.meta.url)), "../dist");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json" };
const MINUTES = 60_000;
let broken = false, damaged = false, bytes = 0;

const server = createServer((request, response) => {
  const path = join(dist, decodeURIComponent(new URL(request.url, "http://x").pathname).replace(/\/$/, "/index.html"));
  if (!existsSync(path)) return response.writeHead(404).end();
  if (damaged && path.includes("ort-gpu")) return response.writeHead(200).end("damaged");
  response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream", "content-length": statSync(path).size });
  bytes += statSync(path).size;
  if (broken && path.includes("transformer")) return setTimeout(() => response.destroy(), 200); // in the middle of a file
  createReadStream(path).pipe(response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const address = `http://127.0.0.1:${server.address().port}/`;

const open = (...args) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", ...args],
});
const browser = await open();
const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce", acceptDownloads: true });
const page = await context.newPage();
page.setDefaultTimeout(5 * MINUTES);
const errors = [];
page.on("pageerror", (error) => errors.push(error.message));

// seconds of a core in all processes of the browser: the clock also counts what else the machine does
const system = await browser.newBrowserCDPSession();
const busy = async () => (await system.send("SystemInfo.getProcessInfo")).processInfo.reduce((sum, one) => sum + one.cpuTime, 0);
const timed = (seconds, core) => `${seconds.toFixed(1)} s (${core.toFixed(1)} s of a core)`;

const said = (id) => page.textContent(`#${id}`);
const made = () => page.evaluate(() => Number(document.body.dataset.made ?? 0));
const motion = async (act) => {
  const before = await made(), start = Date.now();
  await act();
  await page.waitForFunction((n) => Number(document.body.dataset.made) > n, before, { polling: 100 });
  return (Date.now() - start) / 1000;
};
const write = async (text) => {
  await page.fill("#text", text);
  await page.click("#go");
};
const picture = (name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });

// the connection breaks while the model is loading, and comes back
broken = true;
await page.goto(address);
await page.waitForSelector("#load:not([hidden])");
console.log("lost connection:", await said("loading-text"));
assert.match(await said("loading-text"), /connection was lost/);
await picture("lost");
broken = false;
await motion(() => page.click("#load"));

// a first visit
await context.clearCookies();
const fresh = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce" });
const visitor = await fresh.newPage();
bytes = 0;
const [opened, worked] = [Date.now(), await busy()];
await visitor.goto(address);
await visitor.waitForFunction(() => document.body.dataset.made, null, { timeout: 5 * MINUTES, polling: 100 });
console.log(`first visit: first motion after ${timed((Date.now() - opened) / 1000, (await busy()) - worked)}, ${(bytes / 1e6).toFixed(1)} MB`);
await fresh.close();

// the same tokens as Python
const { cases } = JSON.parse(readFileSync(expected, "utf8"));
let equal = 0;
for (const { text, seed, tokens, frames } of cases) {
  await page.evaluate((number) => (document.getElementById("seed").value = number), seed);
  await motion(() => write(text));
  const found = await page.evaluate(() => globalThis.mmm.motions[0]);
  const same = found.frames === frames && tokens.every((token, i) => token === found.tokens[i]);
  if (!same) console.log("OTHER:", text);
  equal += same;
}
console.log(`${equal} of ${cases.length} texts have the same tokens as in Python`);
assert.equal(equal, cases.length);

// time of the longest motion
await page.evaluate(() => {
  document.querySelector("details").open = true;
  const length = document.getElementById("length");
  length.value = length.max;
  length.dispatchEvent(new Event("input"));
});
const idle = await busy();
const longest = await motion(() => write("a person walks in a circle"));
console.log(`196 frames: ${timed(longest, (await busy()) - idle)}`);
await picture("wide");
for (const kind of ["bvh", "gif"]) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(`#${kind}`)]);
  const path = pictures ? join(pictures, file.suggestedFilename()) : await file.path();
  if (pictures) await file.saveAs(path);
  console.log(`${file.suggestedFilename()}: ${statSync(path).size} bytes`);
  assert.ok(statSync(path).size > 10_000 && statSync(path).size < 1_500_000);
}

// a part is regenerated, the rest of the tokens stays
const whole = await page.evaluate(() => [...globalThis.mmm.motions[0].tokens]);
await page.fill("#from", "2");
await page.fill("#to", "4");
await page.selectOption("#part", "upper");
await page.fill("#text", "a person waves");
console.log(`upper body of 2 s: ${(await motion(() => page.click("#again"))).toFixed(2)} s; ${await said("status")}`);
const partly = await page.evaluate(() => [...globalThis.mmm.motions[0].tokens]);
const changed = whole.flatMap((token, i) => (token === partly[i] ? [] : [i]));
assert.ok(changed.length > 0 && changed.every((i) => i >= 10 && i < 20), `changed: ${changed}`);
await page.fill("#to", "1");
await page.click("#again");
assert.match(await said("error"), /end must come after its start/);
await page.fill("#to", "4");
await page.dispatchEvent("#to", "change");
await picture("part");

// odd input
await write("   ");
console.log("empty:", await said("error"));
assert.match(await said("error"), /empty/);
await page.evaluate(() => {
  document.getElementById("length").value = 0;
});
await motion(() => write("xqzv blorf wug"));
console.log("nonsense:", await said("status"));
await motion(() => write("一个人走路"));
console.log("another language:", await said("status"));
assert.match(await said("status"), /reads English/);
await motion(() => write("walk and run ".repeat(770)));
console.log("10,000 characters:", await said("status"));
assert.match(await said("status"), /first 254/);
const before = await made();
await motion(() => page.evaluate(() => {
  for (const text of ["a person walks forward", "a man bows"]) {
    document.getElementById("text").value = text;
    document.getElementById("go").click();
  }
}));
await page.waitForTimeout(1500);
assert.equal(await made(), before + 1);
assert.equal(await page.evaluate(() => globalThis.mmm.text), "a man bows");
console.log("two clicks: the second one counts:", await said("status"));

// side by side, and a phone
await page.selectOption("#count", "4");
await motion(() => write("a person walks forward"));
await page.evaluate(() => document.getElementById("frame").dispatchEvent(new Event("input")));
await picture("four");
const places = await page.$$eval("#seeds span", (labels) => labels.map((label) => label.getBoundingClientRect()).map(({ x, y }) => [x, y]));
for (const axis of [0, 1]) assert.equal(new Set(places.map((place) => Math.round(place[axis]))).size, 2, "each seed is written in its view");
await page.selectOption("#count", "1");
await page.setViewportSize({ width: 390, height: 844 });
await page.evaluate(() => (document.querySelector("details").open = false));
await motion(() => write("someone waves with the left hand"));
await page.waitForTimeout(300);
await page.evaluate(() => scrollTo(0, 0));
await picture("phone");
const wide = await page.evaluate(() => document.documentElement.scrollWidth);
assert.ok(wide <= 390, `the page is ${wide} pixels wide on a phone`);

// by keyboard alone: the text, Enter, then play
await page.focus("#text");
await motion(() => page.keyboard.press("Enter"));
await page.focus("#play");
await page.keyboard.press("Enter");
assert.equal(await said("play"), "Pause");
await page.keyboard.press("Enter");

// without a network
await context.setOffline(true);
const start = Date.now();
await page.reload();
await page.waitForFunction(() => document.body.dataset.made, null, { polling: 100 });
console.log(`offline: opens and makes a motion, ${((Date.now() - start) / 1000).toFixed(1)} s`);
assert.equal(await page.isVisible("#gpu-row"), false); // this browser has no WebGPU
assert.deepEqual(errors, []);
await browser.close();

// the same with WebGPU, here a graphics card in software: half a minute for each text
const carded = await open("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader");
const gpu = await carded.newPage({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce" });
gpu.setDefaultTimeout(5 * MINUTES);
const shown = (count) => gpu.waitForFunction((n) => Number(document.body.dataset.made) >= n, count, { polling: 100 });
await gpu.goto(address);
await shown(1);
damaged = true;
await gpu.evaluate(() => (document.querySelector("details").open = true));
await gpu.check("#gpu");
await shown(2);
console.log("damaged WebGPU runtime:", await gpu.textContent("#error"));
assert.match(await gpu.textContent("#error"), /processor is used instead/);
assert.equal(await gpu.isChecked("#gpu"), false);
damaged = false;
await gpu.check("#gpu");
await shown(3);
const short = [...cases].sort((one, other) => one.frames - other.frames).slice(0, 2);
let [agreeing, count] = [0, 3];
for (const { text, seed, tokens } of short) {
  await gpu.evaluate((number) => (document.getElementById("seed").value = number), seed);
  await gpu.fill("#text", text);
  await gpu.click("#go");
  await shown(++count);
  const found = await gpu.evaluate(() => globalThis.mmm.motions[0].tokens);
  agreeing += tokens.every((token, i) => token === found[i]);
}
console.log(`WebGPU (software): ${agreeing} of ${short.length} texts have the same tokens as in Python; ${await gpu.textContent("#status")}`);
assert.match(await gpu.textContent("#status"), /with the graphics card/);
assert.equal(agreeing, short.length);
if (pictures) await gpu.screenshot({ path: join(pictures, "webgpu.png") });
await carded.close();
server.close();
