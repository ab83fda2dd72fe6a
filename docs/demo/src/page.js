// The page: what a visitor types, clicks and sees. The model is in worker.js, the figure in stage.js.

import { GIFEncoder, applyPalette, quantize } from "gifenc";
import { Body } from "./body.js";
import { MASK } from "./sampler.js";
import { Stage, grid } from "./stage.js";

const EXAMPLES = [
  "a person walks forward", "someone waves with the left hand", "a person runs in a circle", "a man bows",
  "a tired person walks and turns left", "a woman jumps up", "a person sits down on a chair", "someone raises both hands",
  "a person kicks with the right leg", "a person dances",
];
const LONGEST = 20_000; // characters that are looked at; the encoder reads some 250 words at most
const $ = (id) => document.getElementById(id);

const state = { config: undefined, selected: undefined, id: 0, busy: false, motions: [], waiting: [], passes: [], frame: 0, playing: false, body: undefined };
let worker, stage;
globalThis.mmm = state; // for tests, and for who looks around in the console

// ---- Loading

function say(text) {
  $("status").textContent = text;
}

function fail(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
  if (text) $("error").scrollIntoView({ block: "nearest" });
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(0);

/** @param note what to say when it is loaded */
async function load(note = "") {
  $("load").hidden = true;
  $("loading").hidden = false;
  $("loading-bar").hidden = false;
  $("loading-text").textContent = "Loading the model.";
  worker?.terminate();
  const gpu = $("gpu").checked;
  worker = new Worker(new URL(gpu ? "worker-gpu.js" : "worker.js", location.href), { type: "module" });
  worker.onmessage = ({ data }) => {
    heard[data.kind]?.(data);
    if (note && data.kind === "ready") fail(note);
  };
  worker.onerror = (event) => heard.failed({ during: "load", message: event.message ?? "the worker did not start" });
  try {
    const response = await fetch("files.json");
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    const { files, version } = await response.json();
    if (!gpu) for (const name of Object.keys(files)) if (name.startsWith("ort-gpu")) delete files[name];
    worker.postMessage({ kind: "load", files, version });
  } catch (error) {
    heard.failed({ during: "load", message: error.message });
  }
}

/** Offer the graphics card where the browser has one for WebGPU. It rounds in its own way, so it is not the default. */
async function offerGpu() {
  const card = await navigator.gpu?.requestAdapter().catch(() => null);
  $("gpu-row").hidden = !card;
  $("gpu").onchange = () => {
    fail("");
    state.config = undefined;
    state.pending = $("text").value.trim() ? $("text").value : undefined;
    load();
  };
}

const heard = {
  progress({ loaded, total }) {
    $("loading-bar").value = loaded / total;
    $("loading-text").textContent = `Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB. Later visits need no network.`;
  },
  starting() {
    $("loading-bar").removeAttribute("value");
    $("loading-text").textContent = "Starting the model.";
  },
  ready({ config }) {
    state.config = config;
    const { data, licence } = config.facts;
    $("facts").textContent = `Model trained on ${data}. Licence of the weights: ${licence}.`;
    $("guidance").value = config.sampler.guidance;
    $("length").max = config.sizes.max_tokens;
    $("rows").hidden = $("part").parentElement.hidden = config.sizes.parts === 1;
    $("length").disabled = false;
    showSettings();
    $("loading").hidden = true;
    if (state.pending) generate(state.pending);
    else generate();
  },
  failed({ during, id, message }) {
    if (during === "load") {
      worker.terminate(); // what still arrives must not be reported
      const offline = navigator.onLine === false || /fetch|network/i.test(message);
      const reason = offline ? "The connection was lost while the model was loading." : `The model could not be loaded (${message}).`;
      if ($("gpu").checked && !offline) {
        $("gpu").checked = false;
        load(`The graphics card could not be used (${message}). The processor is used instead.`);
        return;
      }
      $("loading-text").textContent = `${reason} Files that have arrived are kept.`;
      $("loading-bar").hidden = true;
      $("load").textContent = "Try again";
      $("load").hidden = false;
      $("load").focus();
      return;
    }
    if (id !== state.id) return;
    state.busy = false;
    fail(`This motion could not be made: ${message}. Try a shorter text, or load the page again.`);
    say("");
  },
  started({ id, frames, note }) {
    if (id !== state.id) return;
    state.frames = frames;
    const then = /\b(then|after that|afterwards|followed by|next|finally|before|after)\b/i.test(state.text) ? "A text with several actions is made in one go here, which may lose one of its actions; mmm generate splits it." : "";
    state.note = [note, then].filter(Boolean).join(" ");
    say("Generating.");
  },
  pass({ id, number, canvas, tokens, confidence }) {
    if (id !== state.id) return;
    state.passes.push({ canvas, tokens, confidence });
    drawTokens();
    const open = [...canvas].filter((token) => token < 0).length;
    const which = state.seeds.length > 1 ? `Motion ${number + 1} of ${state.seeds.length}, pass` : "Pass";
    $("pass").textContent = `${which} ${state.passes.length}: ${open} of ${canvas.length} cells were open. The darker a cell, the more confident the model.`;
  },
  motion({ id, number, seed, frames, joints, tokens, seconds }) {
    if (id !== state.id) return;
    state.waiting.push({ seed, frames, joints, tokens, passes: state.passes, text: state.text });
    if (!number) state.firstSeconds = seconds;
    if (number + 1 < state.seeds.length) say(`Motion ${number + 1} of ${state.seeds.length} is ready.`);
    state.passes = [];
  },
  done({ id, seconds }) {
    if (id !== state.id) return;
    state.busy = false;
    state.motions = state.waiting;
    state.body ??= new Body(state.config.skeleton, state.motions[0].joints);
    stage.show(state.body, state.motions, fps());
    state.frame = 0;
    $("frame").max = Math.max(...state.motions.map((motion) => motion.frames)) - 1;
    for (const name of ["frame", "play", "bvh", "gif", "edit"]) $(name).disabled = false;
    for (const name of ["from", "to"]) $(name).max = ((last() + 1) / fps()).toFixed(1);
    if (!state.edited) [$("from").value, $("to").value, state.selected] = [0, $("to").max, undefined];
    const what = state.edited ? `${state.edited} regenerated` : state.motions.length > 1 ? `${state.motions.length} motions` : `${(state.motions[0].frames / fps()).toFixed(1)} seconds of motion`;
    say([`${what}, made in ${seconds.toFixed(1)} s${$("gpu").checked ? " with the graphics card" : ""}.`, state.note].filter(Boolean).join(" "));
    $("pass").textContent = `${state.motions.length > 1 ? "The canvas of the first motion, filled" : "Filled"} in ${state.motions[0].passes.length} ${state.motions[0].passes.length > 1 ? "passes" : "pass"}. The darker a cell, the more confident the model.`;
    labelSeeds();
    $("stage").setAttribute("aria-label", `A mannequin moves: ${shorten(state.text, 100)}`);
    document.body.dataset.made = String(Number(document.body.dataset.made ?? 0) + 1);
    drawTokens();
    play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
    seek(0);
  },
};

// ---- Asking for a motion

const shorten = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** @param edit { name, canvases }: what is regenerated of the motions that are shown; everything without it */
function generate(text = $("text").value, edit = undefined) {
  fail("");
  if (!text.trim()) {
    fail("The text is empty. Write what the person does, for example: a person waves.");
    $("text").focus();
    return;
  }
  if (!state.config) {
    state.pending = text;
    say("The motion is made as soon as the model is loaded.");
    return;
  }
  state.pending = undefined;
  const tokens = Number($("length").value);
  const seed = Math.min(4294967295, Math.max(0, Math.trunc(Number($("seed").value)) || 0));
  state.seeds = Array.from({ length: edit?.canvases.length ?? Number($("count").value) }, (_, i) => seed + i);
  state.edited = edit?.name;
  say(state.busy ? "Stopped the last one. Reading the new text." : "Reading the text.");
  Object.assign(state, { busy: true, id: state.id + 1, text, waiting: [], passes: [] });
  worker.postMessage({
    kind: "generate", id: state.id, text: text.slice(0, LONGEST), seeds: state.seeds, guidance: Number($("guidance").value),
    canvases: edit?.canvases, frames: edit ? state.motions[0].frames : tokens ? Math.max(state.config.sizes.min_frames, tokens * state.config.sizes.ratio) : undefined,
  });
}

function showSettings() {
  const tokens = Number($("length").value);
  const ratio = state.config?.sizes.ratio ?? 4;
  const frames = Math.max(state.config?.sizes.min_frames ?? 24, tokens * ratio);
  $("length-shown").textContent = tokens ? `${(frames / fps()).toFixed(1)} s` : "by the text";
  $("guidance-shown").textContent = $("guidance").value;
  $("length").setAttribute("aria-valuetext", $("length-shown").textContent);
}

// ---- Regenerating a part

/** Columns and rows of the canvas that "from", "to" and "part" name. */
function chosen() {
  const columns = Math.ceil(state.motions[0].frames / state.config.sizes.ratio);
  const column = (name) => Math.round((Number($(name).value) * fps()) / state.config.sizes.ratio);
  const [first, stop] = [Math.max(0, column("from")), Math.min(columns, column("to"))];
  const rows = { whole: [0, 1], upper: [0], lower: [1] }[$("part").value].filter((row) => row < state.config.sizes.parts);
  return { columns, first, stop, rows };
}

function regenerate() {
  const { columns, first, stop, rows } = chosen();
  if (stop <= first) return fail("The part to regenerate is empty. Its end must come after its start, by at least 0.2 seconds.");
  const canvases = state.motions.map(({ tokens }) => Int32Array.from(tokens, (token, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    return rows.includes(row) && column >= first && column < stop ? MASK : token;
  }));
  const seconds = (column) => ((column * state.config.sizes.ratio) / fps()).toFixed(1);
  generate($("text").value, { name: `${seconds(first)} to ${seconds(stop)} s of the ${$("part").value} body`, canvases });
}

function select() {
  state.selected = state.motions.length ? chosen() : undefined;
  drawTokens();
}

function listenToTokens() {
  const canvas = $("tokens");
  let start;
  const cell = (event) => {
    const box = canvas.getBoundingClientRect(), { parts, ratio } = state.config.sizes;
    const columns = Math.ceil(state.motions[0].frames / ratio), within = (n, most) => Math.min(most - 1, Math.max(0, Math.floor(n)));
    return [within(((event.clientX - box.x) / box.width) * columns, columns), within(((event.clientY - box.y) / box.height) * parts, parts)];
  };
  canvas.onpointerdown = (event) => {
    if (state.busy || !state.motions.length) return;
    canvas.setPointerCapture(event.pointerId);
    start = cell(event);
  };
  canvas.onpointermove = (event) => {
    if (!start) return;
    const now = cell(event), seconds = (column) => ((column * state.config.sizes.ratio) / fps()).toFixed(1);
    $("from").value = seconds(Math.min(start[0], now[0]));
    $("to").value = seconds(Math.max(start[0], now[0]) + 1);
    $("part").value = start[1] !== now[1] || state.config.sizes.parts === 1 ? "whole" : ["upper", "lower"][now[1]];
    select();
  };
  canvas.onpointerup = canvas.onpointercancel = () => (start = undefined);
  for (const name of ["from", "to", "part"]) $(name).onchange = select;
  $("again").onclick = regenerate;
}

// ---- Time

const fps = () => state.config?.sizes.fps ?? 20;
const last = () => Number($("frame").max);

function seek(frame) {
  state.frame = Math.min(last(), Math.max(0, frame));
  $("frame").value = Math.round(state.frame);
  const seconds = (n) => (n / fps()).toFixed(1);
  $("clock").textContent = `${seconds(state.frame)} of ${seconds(last() + 1)} s`;
  $("frame").setAttribute("aria-valuetext", $("clock").textContent);
  stage?.draw(state.frame);
  if (!state.busy) drawTokens();
}

function play(on) {
  state.playing = on;
  $("play").textContent = on ? "Pause" : "Play";
}

let then;
function tick(now) {
  const passed = Math.min(0.1, (now - (then ?? now)) / 1000);
  then = now;
  if (state.playing && state.motions.length) {
    const next = state.frame + passed * fps() * Number($("speed").value);
    state.rest = next >= last() ? (state.rest ?? 0) + passed : 0; // the end is held for a moment
    seek(next >= last() ? (state.rest > 0.6 ? 0 : last()) : next);
  }
  requestAnimationFrame(tick);
}

// ---- The token canvas

function drawTokens() {
  const canvas = $("tokens"), pen = canvas.getContext("2d");
  const scale = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * scale;
  canvas.height = height * scale;
  pen.scale(scale, scale);
  const pass = state.busy ? state.passes.at(-1) : state.motions[0]?.passes.at(-1);
  if (!pass || !state.config) return;
  const parts = state.config.sizes.parts, columns = pass.tokens.length / parts;
  const [w, h] = [width / columns, height / parts];
  // a cell that the last pass wrote may be masked again, unless the model is confident
  pass.confidence.forEach((confidence, i) => {
    const [x, y] = [(i % columns) * w, Math.floor(i / columns) * h];
    const light = 96 - 62 * Math.sqrt(confidence);
    pen.fillStyle = `hsl(214 38% ${light}%)`;
    pen.fillRect(x + 0.5, y + 0.5, Math.max(1, w - 1), h - 1);
  });
  if (state.selected && !state.busy) {
    const { first, stop, rows } = state.selected;
    pen.strokeStyle = "#a85c0c";
    pen.lineWidth = 2.5;
    pen.strokeRect(first * w + 1, rows[0] * h + 1, (stop - first) * w - 2, rows.length * h - 2);
  }
  if (!state.busy) {
    pen.fillStyle = "#e08a33";
    pen.fillRect((state.frame / state.config.sizes.ratio) * w - 1, 0, 2, height);
  }
  const mean = pass.confidence.reduce((a, b) => a + b, 0) / pass.confidence.length;
  canvas.setAttribute("aria-label", `The token canvas: ${parts} rows of ${columns} cells, mean confidence ${(100 * mean).toFixed(0)} percent`);
}

/** The seed of each view, if there are several. */
function labelSeeds() {
  const labels = state.motions.length > 1 ? state.motions.map(({ seed }) => Object.assign(document.createElement("span"), { textContent: `seed ${seed}` })) : [];
  const [rows, columns] = grid(Math.max(1, labels.length), $("stage").clientWidth, $("stage").clientHeight);
  $("seeds").style.grid = `repeat(${rows}, 1fr) / repeat(${columns}, 1fr)`;
  $("seeds").replaceChildren(...labels);
}

// ---- Files

function download(name, bytes, type) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([bytes], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const fileName = () => (state.text ?? "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40) || "motion";

function saveBvh() {
  state.motions.forEach((motion) => {
    const name = state.motions.length > 1 ? `${fileName()}-${motion.seed}` : fileName();
    download(`${name}.bvh`, new Body(state.config.skeleton, motion.joints).bvh(motion.joints, fps()), "text/plain");
  });
  say("The BVH file is in your downloads.");
}

async function saveGif() {
  const size = 320, encoder = GIFEncoder(), [shown, playing] = [state.frame, state.playing];
  const picture = Object.assign(document.createElement("canvas"), { width: size, height: size }).getContext("2d", { willReadFrequently: true });
  play(false);
  $("gif").disabled = true;
  let palette, before; // what is shown so far, as colours of the palette
  for (let frame = 0; frame <= last(); frame++) {
    stage.draw(frame, size);
    picture.drawImage($("stage"), 0, 0, size, size);
    const { data } = picture.getImageData(0, 0, size, size);
    palette ??= [...quantize(data, 15), [0, 0, 0]];
    const colours = applyPalette(data, palette.slice(0, -1)), clear = palette.length - 1;
    // what hardly changes is left as it was, which makes the file half as large
    const near = palette.map((a) => palette.map((b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) < 16));
    const changed = before ? colours.map((colour, i) => (near[colour][before[i]] ? clear : colour)) : colours;
    encoder.writeFrame(changed, size, size, { palette: before ? undefined : palette, delay: 1000 / fps(), transparent: Boolean(before), transparentIndex: clear, dispose: 1 });
    before = before ? before.map((old, i) => (changed[i] === clear ? old : colours[i])) : colours;
    if (frame % 10 === 0) {
      say(`Drawing the GIF: ${Math.round((100 * frame) / (last() + 1))} %.`);
      await new Promise((done) => setTimeout(done));
    }
  }
  encoder.finish();
  download(`${fileName()}.gif`, encoder.bytes(), "image/gif");
  $("gif").disabled = false;
  say("The GIF is in your downloads.");
  seek(shown);
  play(playing);
}

// ---- Hands on the page

function listen() {
  for (const example of EXAMPLES) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: example });
    button.onclick = () => {
      $("text").value = example;
      generate();
    };
    document.querySelector(".examples").append(button);
  }
  $("form").onsubmit = (event) => {
    event.preventDefault();
    generate();
  };
  $("dice").onclick = () => {
    $("seed").value = crypto.getRandomValues(new Uint16Array(1))[0];
    generate();
  };
  for (const name of ["length", "guidance"]) $(name).oninput = showSettings;
  $("load").onclick = () => load();
  $("play").onclick = () => play(!state.playing);
  $("frame").oninput = () => {
    play(false);
    seek(Number($("frame").value));
  };
  $("bvh").onclick = saveBvh;
  $("gif").onclick = saveGif;
  addEventListener("resize", () => {
    stage?.draw(state.frame);
    drawTokens();
    if (state.motions.length) labelSeeds();
  });
  const canvas = $("stage"), pointers = new Map();
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => pointers.delete(event.pointerId);
  canvas.onpointermove = (event) => {
    const old = pointers.get(event.pointerId);
    if (!old || !stage) return;
    const [other] = [...pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    if (other) {
      const spread = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      stage.zoom(spread(old) / Math.max(1, spread(event)));
    } else {
      stage.orbit((event.clientX - old.clientX) / 150, (event.clientY - old.clientY) / 200);
    }
    pointers.set(event.pointerId, event);
    stage.draw(state.frame);
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    stage?.zoom(Math.exp(event.deltaY / 800));
    stage?.draw(state.frame);
  }, { passive: false });
  canvas.onkeydown = (event) => {
    const turns = { a: [0.15, 0], d: [-0.15, 0], w: [0, 0.1], s: [0, -0.1] };
    const zooms = { "+": 0.9, "=": 0.9, "-": 1.1 };
    if (turns[event.key]) stage?.orbit(...turns[event.key]);
    else if (zooms[event.key]) stage?.zoom(zooms[event.key]);
    else return;
    stage?.draw(state.frame);
  };
  addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, button, summary, textarea") || !state.motions.length) return;
    if (event.key === " ") play(!state.playing);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      play(false);
      seek(Math.round(state.frame) + (event.key === "ArrowLeft" ? -1 : 1));
    } else return;
    event.preventDefault();
  });
}

listen();
listenToTokens();
offerGpu();
showSettings();
try {
  stage = new Stage($("stage"));
} catch {
  fail("This browser cannot draw in 3D (WebGL is off), so no figure is shown. The model and the BVH file work all the same.");
  $("gif").hidden = true;
  stage = { show() {}, draw() {}, orbit() {}, zoom() {} };
}
requestAnimationFrame(tick);
navigator.serviceWorker?.register("sw.js").catch(() => {});
if (navigator.connection?.saveData) {
  $("loading-text").textContent = "The model is some 34 MB. Your browser is set to save data.";
  $("loading-bar").hidden = true;
  $("load").hidden = false;
} else load();
