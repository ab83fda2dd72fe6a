"""A tiny random CLIP text tower on disk, whose byte-pair tokenizer knows letters and a few marks only."""

import json

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + ["'", '"', "&", ";", "."]
# As in OpenAI's vocabulary "!" is 0, which is also what they fill the places behind END with, and END is last.
TOKENS = ["!", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), START, END]
IDS = {token: number for number, token in enumerate(TOKENS)}


def write_clip(folder, width=16, seed=0, **changes):
    """Weights and tokenizer; `changes` to the config."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(IDS))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    sizes = {"vocab_size": len(TOKENS), "hidden_size": width, "intermediate_size": 2 * width}
    sizes |= {"projection_dim": width, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(seed)
    config = CLIPTextConfig(**{**sizes, "bos_token_id": IDS[START], "eos_token_id": IDS[END], **changes})
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return folder
