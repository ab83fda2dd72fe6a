"""Text to motion without torch. pip install numpy onnxruntime tokenizers; files by: mmm export --out onnx

python docs/examples/onnx_without_torch.py onnx "a person waves" wave.npy    (frames, joints, 3), metres, 20 per second
"""

import json
import sys

import numpy as np
from onnxruntime import InferenceSession
from tokenizers import BertWordPieceTokenizer

folder, text, out = sys.argv[1:4]
config = json.load(open(f"{folder}/config.json", encoding="utf-8"))
sizes, guidance, MASK = config["sizes"], config["sampler"]["guidance"], config["sampler"]["mask"]
run = {n: InferenceSession(f"{folder}/{n}.onnx").run for n in ("text", "transformer", "length", "decoder")}

ids = BertWordPieceTokenizer(f"{folder}/vocabulary.txt").encode(text).ids[: config["text"]["most_ids"]]
words, sentence = run["text"](None, {"ids": np.array([ids])})
chances = np.exp(run["length"](None, {"sentence": sentence})[0][0])
n = int((chances.cumsum() < chances.sum() / 2).sum()) + 1  # the median length, in tokens of 4 frames
n = max(n, sizes["min_frames"] // sizes["ratio"])

inputs = {
    "lengths": np.array([n, n]),
    "words": np.concatenate([words, words]),
    "word_mask": np.ones((2, len(ids)), bool),
    "sentence": np.concatenate([sentence, sentence]),
}
if config["sampler"]["can_drop_text"]:
    inputs["drop_text"] = np.array([False, True])  # with and without the text
random, steps = np.random.default_rng(0), max(1, round(10 * n / 49))
tokens, confidence = np.full(sizes["parts"] * n, MASK), np.zeros(sizes["parts"] * n)
for step in range(steps):  # the most confident tokens stay, the others are drawn again
    masked = np.argsort(confidence, kind="stable")[: max(1, int(np.cos(np.pi / 2 * step / steps) * len(tokens)))]
    tokens[masked], confidence[:] = MASK, np.inf  # what is not masked now is final
    inputs["canvas"] = np.stack([tokens.reshape(sizes["parts"], n)] * 2)
    with_text, without = run["transformer"](None, inputs)[0].reshape(2, len(tokens), -1)[:, masked]
    logits = without + guidance * (with_text - without)
    tokens[masked] = (logits + random.gumbel(size=logits.shape)).argmax(1)
    chances = np.exp(logits - logits.max(1, keepdims=True))
    confidence[masked] = chances[range(len(masked)), tokens[masked]] / chances.sum(1)
_, joints = run["decoder"](None, {"tokens": tokens.reshape(1, sizes["parts"], n)})
np.save(out, joints[0])
print(f"{out}: {len(joints[0])} frames of {text!r}")
