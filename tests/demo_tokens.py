"""What the page must find: tokens of 20 texts by Python, for docs/demo/test/tokens.mjs.

python tests/demo_tokens.py MODEL EXPORTED OUT.json [--torch]

Without --torch Python runs the exported files in 8 bits, as the page does; with it, the model in PyTorch, for the files
in float32.
"""

import json
import sys
from pathlib import Path

import torch

from mmm.export import TEXTS, Exported
from mmm.model import MMM
from mmm.motion import features_to_joints
from mmm.sampling import fill
from mmm.text import TextEmbedding


def main(name: str, folder: str, out: str, *flags: str) -> None:
    model, files, cases = MMM.from_pretrained(name), Exported(Path(folder), "-8bit"), []
    for seed, text in enumerate(TEXTS):
        if "--torch" in flags:
            condition, transformer = model.embed([text]), model.transformer
        else:
            words, sentence = files.run("text", torch.tensor(model.encoder._ids([text])))
            condition = TextEmbedding(words, torch.ones(words.shape[:2], dtype=torch.bool), sentence)
            transformer = files.transformer(model.transformer)
        tokens = model.length.estimate(condition.sentence)
        frames = max(24, int(tokens) * model.tokenizer.config.ratio)
        canvas, lengths = model.empty_canvas([frames])
        how = {"guidance": model.guidance, "random": "portable"}
        filled = fill(transformer, canvas, lengths, condition, seeds=[seed], **how).tokens
        joints = features_to_joints(model.tokenizer.decode(filled), model.info["skeleton"])[0, :frames]
        case = {"text": text, "frames": frames, "estimated": frames, "seed": seed}
        cases.append(case | {"tokens": filled.flatten().tolist(), "joints": joints.flatten().tolist()})
    Path(out).write_text(json.dumps({"cases": cases}))


if __name__ == "__main__":
    main(*sys.argv[1:])
