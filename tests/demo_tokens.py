"""What the page must find: tokens of 20 texts by Python, for docs/demo/test/tokens.mjs; and what it wrote, read.

python tests/demo_tokens.py MODEL EXPORTED OUT.json [--torch]
python tests/demo_tokens.py --bvh OUT.json FOLDER      the BVH files that tokens.mjs wrote there

Without --torch Python runs the exported files in 8 bits, as the page does; with it, the model in PyTorch, for the files
in float32.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from mmm.bvh.reading import read_bvh
from mmm.export_check import TEXTS, Exported
from mmm.model import MMM
from mmm.motion import features_to_joints, get_skeleton
from mmm.sampling import fill
from mmm.text import TextEmbedding


def check_bvh(expected: str, folder: str) -> None:
    """The joints of the page's BVH files are those of the motions, up to the stretch of their bones."""
    names, away = get_skeleton("humanml3d").joints, []
    for number, case in enumerate(json.loads(Path(expected).read_text())["cases"]):
        found = read_bvh(Path(folder) / f"{number}.bvh")
        joints = found.joints[:, [found.names.index(name) for name in names]]
        away.append(np.linalg.norm(joints - np.reshape(case["joints"], joints.shape), axis=-1).ravel())
    mean = 1000 * float(np.concatenate(away).mean())
    print(f"joints of {len(away)} BVH files are {mean:.1f} mm from those of the motions in the mean")
    assert mean < 15 and found.fps == 20


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
    check_bvh(*sys.argv[2:]) if sys.argv[1] == "--bvh" else main(*sys.argv[1:])
