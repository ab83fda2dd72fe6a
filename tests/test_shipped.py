"""The tokens of the shipped models are pinned: ten texts, lengths and seeds for each of the three.

A difference means that every user gets other motions. If it is intended (a new model is shipped, the sampler's
semantics change), renew the file, look at its difference, and say in the commit message why it changed:

    OMP_NUM_THREADS=1 PYTHONPATH=. python tests/test_shipped.py

The tokens were computed on one thread in float32. SSE4, AVX2 and AVX-512 instructions gave the same ones.
"""

import json
from pathlib import Path

import pytest
import torch

from mmm.model import MMM, PRETRAINED

GOLDEN = Path(__file__).resolve().parent / "golden" / "shipped_tokens.json"
MODELS = ("everyday-small", "bandai-small", "open-small")


def sample(name: str, texts: list[str], lengths: list[int], seeds: list[int]) -> dict[str, list]:
    """For each text: its estimated length in frames, and the tokens (parts, tokens) of its motion of a given length."""
    model = MMM.from_pretrained(PRETRAINED / name)
    filled = model.sample(texts, lengths, seeds)
    count = [-(-frames // model.tokenizer.config.ratio) for frames in lengths]
    tokens = [row[:, :n].tolist() for row, n in zip(filled.tokens, count, strict=True)]
    return {"estimated": model.estimate_length(texts), "tokens": tokens}


@pytest.mark.parametrize("name", MODELS)
def test_the_shipped_model_gives_the_pinned_tokens(name):
    golden = json.loads(GOLDEN.read_text())
    assert sample(name, *(golden[key] for key in ("texts", "lengths", "seeds"))) == golden[name]


if __name__ == "__main__":
    torch.set_num_threads(1)
    golden = json.loads(GOLDEN.read_text())
    inputs = {key: golden[key] for key in ("texts", "lengths", "seeds")}
    lines = [f'"{key}":{json.dumps(value, separators=(",", ":"))}' for key, value in inputs.items()]
    for name in MODELS:
        lines.append(f'"{name}":{json.dumps(sample(name, *inputs.values()), separators=(",", ":"))}')
    GOLDEN.write_text("{" + ",\n".join(lines) + "}\n")
