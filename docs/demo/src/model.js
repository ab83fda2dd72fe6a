// A model that `mmm export` wrote, run by onnxruntime: text → tokens → joints.

import { MASK, defaultSteps, fill } from "./sampler.js";
import { WordPiece } from "./wordpiece.js";

export const NETWORKS = ["text", "transformer", "length", "decoder"];

export class Model {
  /**
   * @param ort the library onnxruntime-web
   * @param read (name) → Promise of the bytes of a file of the folder
   * @param gpu the same library with WebGPU, for the transformer
   */
  static async load(ort, read, { suffix = "-8bit", gpu } = {}) {
    const model = new Model();
    const text = async (name) => new TextDecoder().decode(await read(name));
    model.ort = ort;
    model.config = JSON.parse(await text("config.json"));
    model.sizes = model.config.sizes;
    model.sessions = {};
    for (const name of NETWORKS) {
      const bytes = await read(`${name}${suffix}.onnx`);
      // Weights in 8 bits become float32 when they are loaded, not in every pass. Further optimizations cost more time
      // than they save: 0.9 s of a core for the text encoder, whose run takes 0.02 s.
      const options = { graphOptimizationLevel: "basic", extra: { session: { disable_quant_qdq: "1" } } };
      const [library, providers] = gpu && name === "transformer" ? [gpu, ["webgpu", "wasm"]] : [ort, ["wasm"]];
      model.sessions[name] = await library.InferenceSession.create(bytes, { executionProviders: providers, ...options });
    }
    const { special, most_ids: mostIds } = model.config.text;
    model.wordpiece = new WordPiece(await text("vocabulary.txt"), special, mostIds);
    if (model.config.known) model.known = new Int8Array((await read("known.bin")).slice().buffer);
    return model;
  }

  #integers(numbers, shape) {
    return new this.ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), shape);
  }

  #truths(numbers, shape) {
    return new this.ort.Tensor("bool", Uint8Array.from(numbers), shape);
  }

  /** Embedding of a text: words (S · E), sentence (E). */
  async embed(text) {
    const ids = this.wordpiece.encode(text);
    const found = await this.sessions.text.run({ ids: this.#integers(ids, [1, ids.length]) });
    return { words: found.words.data, sentence: found.sentence.data, count: ids.length };
  }

  /** Length in frames: the median of the estimator's distribution. */
  async estimateLength({ sentence }) {
    const input = new this.ort.Tensor("float32", sentence, [1, sentence.length]);
    const logits = Array.from((await this.sessions.length.run({ sentence: input })).logits.data);
    const most = Math.max(...logits);
    const chances = logits.map((logit) => Math.exp(logit - most));
    const half = chances.reduce((a, b) => a + b) / 2;
    let sum = 0;
    const tokens = chances.findIndex((chance) => (sum += chance) >= half) + 1;
    return Math.max(this.sizes.min_frames, tokens * this.sizes.ratio);
  }

  /** What the encoder does not know of a text, or what the model has not learned, as a sentence, or "". */
  note(text, { sentence }) {
    const [known, count] = this.wordpiece.known(text);
    if (2 * known <= count) {
      return `The text encoder knows ${known || "none"} of the ${count} word pieces of this text. It reads English.`;
    }
    const most = this.config.text.most_ids - 2;
    if (count > most) return `The text encoder reads the first ${most} of the ${count} word pieces of this text.`;
    const [caption, cosine] = this.nearest(sentence);
    if (caption === undefined || cosine >= this.config.known.threshold) return "";
    return `The model has learned nothing like this. The nearest it knows is “${caption}” (similarity ${cosine.toFixed(2)}), so the motion may show something else.`;
  }

  /** The nearest caption that the model has learned, and its cosine. */
  nearest(sentence) {
    const width = sentence.length;
    let best = [undefined, -1];
    (this.config.known?.captions ?? []).forEach((caption, row) => {
      let dot = 0, square = 0;
      for (let i = 0; i < width; i++) {
        const number = this.known[row * width + i];
        dot += number * sentence[i];
        square += number * number;
      }
      const cosine = dot / Math.sqrt(square);
      if (cosine > best[1]) best = [caption, cosine];
    });
    return best;
  }

  /** Passes of the sampler for an empty canvas of `frames` frames, or one (P · N) that is filled in part; see `fill`. */
  async *sample({ words, sentence, count }, frames, { guidance = this.config.sampler.guidance, canvas, ...options } = {}) {
    const { parts, codes, ratio, text_dim: width } = this.sizes;
    const tokens = Math.ceil(frames / ratio);
    const guided = guidance !== 1;
    const rows = guided ? 2 : 1; // with and without the text
    const twice = (numbers) => Float32Array.from({ length: rows * numbers.length }, (_, i) => numbers[i % numbers.length]);
    const input = {
      lengths: this.#integers(Array(rows).fill(tokens), [rows]),
      words: new this.ort.Tensor("float32", twice(words), [rows, count, width]),
      word_mask: this.#truths(Array(rows * count).fill(1), [rows, count]),
      sentence: new this.ort.Tensor("float32", twice(sentence), [rows, width]),
    };
    if (this.config.sampler.can_drop_text) input.drop_text = this.#truths([0, 1].slice(0, rows), [rows]);
    const predict = async (canvas) => {
      const both = Array.from({ length: rows }, () => [...canvas]).flat();
      input.canvas = this.#integers(both, [rows, parts, tokens]);
      const logits = (await this.sessions.transformer.run(input)).logits.data;
      const size = parts * tokens * codes;
      return { conditional: logits.subarray(0, size), unconditional: guided ? logits.subarray(size) : null };
    };
    canvas ??= new Int32Array(parts * tokens).fill(MASK);
    yield* fill(canvas, codes, predict, { steps: defaultSteps(tokens), guidance, ...options });
  }

  /** World joints (frames · J · 3) in metres of tokens (P · N). */
  async decode(tokens, frames) {
    const { parts } = this.sizes;
    const input = this.#integers(tokens, [1, parts, tokens.length / parts]);
    const { joints } = await this.sessions.decoder.run({ tokens: input });
    return joints.data.slice(0, frames * this.config.skeleton.joints.length * 3);
  }
}
