// For tests/test_demo.py: reads questions (JSON) from standard input, writes what the page's modules answer.

import { readFileSync } from "node:fs";
import { Philox, defaultSteps, fill, maskedCounts } from "../src/sampler.js";
import { WordPiece } from "../src/wordpiece.js";

const asked = JSON.parse(readFileSync(0, "utf8"));
const answers = {};
if (asked.texts) {
  const reader = new WordPiece(readFileSync(asked.vocabulary, "utf8"), asked.special, asked.mostIds);
  answers.ids = asked.texts.map((text) => reader.encode(text));
}
if (asked.seeds) {
  answers.uniform = asked.seeds.map((seed) => {
    const random = new Philox(seed);
    return [...random.uniform(6), ...random.uniform(5)];
  });
}
if (asked.counts) answers.counts = asked.counts.map(([open, steps]) => maskedCounts(open, steps));
if (asked.lengths) answers.steps = asked.lengths.map(defaultSteps);
if (asked.fills) {
  answers.fills = [];
  for (const { canvas, codes, logits, ...options } of asked.fills) {
    let pass = 0;
    const seen = [];
    const predict = (before) => {
      seen.push([...before]);
      const [conditional, unconditional] = logits[pass++].map((numbers) => numbers && Float32Array.from(numbers));
      return { conditional, unconditional };
    };
    let last = { tokens: canvas, confidence: [] };
    for await (last of fill(Int32Array.from(canvas), codes, predict, options));
    answers.fills.push({ seen, tokens: [...last.tokens], confidence: [...last.confidence] });
  }
}
if (asked.figure) {
  const { skeleton, table, joints, frame, aspects } = asked.figure;
  // as one text, as in player.py: Node.js 20 would read the files as CommonJS
  const sources = ["figure.js", "stage.js"].map((name) => readFileSync(new URL(`../../../mmm/viz/${name}`, import.meta.url), "utf8"));
  const source = sources.join("\n").replace(/^import .*\n/gm, "");
  const { Body, Clip, add, mannequin, project, times } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
  const body = new Body(skeleton, joints), bones = body.bones(body.pose(joints, frame).at, table.spread);
  const { points, owners, normals, tints } = mannequin(body, table, table.colours);
  const carried = (vertex, moved) => owners[vertex].reduce((sum, [owner, weight]) => {
    const { turn, shift } = bones[owner], point = times(turn, (moved ? points : normals)[vertex]);
    return add(sum, moved ? add(point, shift) : point, weight);
  }, [0, 0, 0]);
  const skin = points.map((_, i) => carried(i, true)), clip = new Clip(body, joints, 20, table);
  answers.figure = { points: skin, normals: points.map((_, i) => carried(i, false)), tints };
  answers.figure.seen = aspects.map((aspect) => { // the farthest vertex from the middle of the picture, whose edge is at 1
    const camera = clip.camera(frame, aspect, { pitch: 0.22 });
    return Math.max(...skin.flatMap((point) => project(camera, point).slice(0, 2).map(Math.abs)));
  });
}
process.stdout.write(JSON.stringify(answers));
