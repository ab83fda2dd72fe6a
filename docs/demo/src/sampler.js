// The sampler: the same tokens as mmm.sampling.fill with random="portable" (MMM, arXiv 2312.03596, section 3.3).

export const MASK = -1;

/** A stream of random numbers that depends on the seed alone: Philox4x32-10, as mmm/philox.py. */
export class Philox {
  constructor(seed) {
    this.key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.blocks = 0;
  }

  /** The next numbers, multiples of 2⁻²⁴ in [0, 1); a call begins a new block of four. */
  uniform(count) {
    const numbers = new Float32Array(count);
    for (let i = 0; i < count; i += 4) {
      philox([this.blocks++, 0, 0, 0], this.key).forEach((word, j) => {
        if (i + j < count) numbers[i + j] = (word >>> 8) * 2 ** -24;
      });
    }
    return numbers;
  }
}

/** Four random words for a counter of four words. */
export function philox([c0, c1, c2, c3], [k0, k1]) {
  for (let round = 0; round < 10; round++) {
    const [highA, lowA] = multiply(0xd2511f53, c0);
    const [highB, lowB] = multiply(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(highB ^ c1 ^ k0) >>> 0, lowB, (highA ^ c3 ^ k1) >>> 0, lowA];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** High and low 32 bits of a product; 16 bits at a time, so that every sum stays below 2⁵³. */
function multiply(a, b) {
  const low = (a & 0xffff) * b; // below 2⁴⁸
  const high = (a >>> 16) * b + Math.floor(low / 65536);
  return [Math.floor(high / 65536), Math.imul(a, b) >>> 0];
}

export const defaultSteps = (tokens) => Math.max(1, Math.round((10 * tokens) / 49));

/** How many of the open positions are masked before each pass: the cosine schedule. */
export function maskedCounts(open, steps) {
  if (!open) return [];
  return Array.from({ length: steps }, (_, step) =>
    Math.max(1, Math.floor(Math.cos(Math.fround((Math.PI / 2) * (step / steps))) * open)));
}

/**
 * Fill a canvas: every MASK becomes a code, the most confident positions first. Yields after every pass.
 *
 * @param canvas Int32Array (P · N): code ids and MASK, part after part
 * @param predict canvas → { conditional, unconditional } Float32Array (P · N · K) of logits; the second only if guided
 */
export async function* fill(canvas, codes, predict, { steps, guidance = 1, temperature = 1, seed = 0 }) {
  const tokens = Int32Array.from(canvas);
  const confidence = Float64Array.from(canvas, (token) => (token === MASK ? 0 : 1));
  const random = new Philox(seed);
  let masked = [...canvas.keys()].filter((i) => canvas[i] === MASK); // what the next pass predicts
  for (const count of maskedCounts(masked.length, steps)) {
    // the least confident stay masked; of equal ones the first (sort is stable)
    masked = masked.sort((a, b) => confidence[a] - confidence[b] || a - b).slice(0, count).sort((a, b) => a - b);
    for (const i of masked) tokens[i] = MASK;
    const before = Int32Array.from(tokens);
    const { conditional, unconditional } = await predict(before);
    const noise = random.uniform(masked.length * codes);
    const logits = new Float32Array(codes);
    masked.forEach((position, row) => {
      for (let k = 0; k < codes; k++) {
        const yes = conditional[position * codes + k];
        const no = unconditional ? unconditional[position * codes + k] : 0;
        logits[k] = unconditional ? no + Math.fround(guidance * Math.fround(yes - no)) : yes;
      }
      [tokens[position], confidence[position]] = choose(logits, noise.subarray(row * codes, (row + 1) * codes), temperature);
    });
    yield { canvas: before, tokens: Int32Array.from(tokens), confidence: Float32Array.from(confidence) };
  }
}

/** A code drawn with Gumbel noise, and its confidence: the model's probability of it, without temperature. */
function choose(logits, uniform, temperature) {
  let best = 0, highest = -Infinity, most = -Infinity;
  for (let k = 0; k < logits.length; k++) {
    const gumbel = Math.fround(Math.log(-Math.fround(Math.log(uniform[k]))));
    const noisy = Math.fround(Math.fround(logits[k] / temperature) - gumbel);
    if (noisy > highest) [highest, best] = [noisy, k];
    most = Math.max(most, logits[k]);
  }
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return [best, Math.exp(logits[best] - most - Math.log(sum))];
}
