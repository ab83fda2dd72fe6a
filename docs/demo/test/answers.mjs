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
process.stdout.write(JSON.stringify(answers));
