"""Short trainings of real tokenizers and real transformers, for one process or for several that share each batch.

test_process.py starts `joint.py OUT` twice, and compares with the same trainings in one process. No dropout: its
random numbers are each process's own, as many processes cannot draw the numbers of one without drawing them all.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from accelerate.state import PartialState

from mmm.data import PackedSplit
from mmm.data.captions import Caption
from mmm.data.text_cache import TextCache
from mmm.recipes import get_recipe
from mmm.tokenizer import Tokenizer, TokenizerConfig
from mmm.tokenizer.train import Windows, train_tokenizer
from mmm.training.config import TrainConfig
from mmm.training.launch import main_process_first
from mmm.transformer import MaskedTransformer, TransformerConfig
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import train_transformer

CODES, WIDTH = 16, 12
CONFIG = TrainConfig(steps=22, batch_size=8, lr=1e-3, log_every=1, ema=0.9, grad_clip=1.0)
QUIET = {"cpu": True, "progress": False}


def swings(lengths):
    """Clips of a few waves; some are far shorter than a window, so that padding must not count."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rng, time = np.random.default_rng(0), np.arange(starts[-1])[:, None]
    waves = np.concatenate([np.sin(time * 0.2), np.cos(time * 0.3), np.sin(time * 0.05)], 1)
    features = (waves @ rng.standard_normal((3, 263))).astype(np.float32)
    captions = [[Caption("a person walks")] for _ in lengths]
    return PackedSplit([f"clip{i}" for i in range(len(lengths))], features, starts, captions)


def learn_tokenizer(out, reset="dead"):
    torch.manual_seed(0)
    sizes = TokenizerConfig(width=16, depth=1, codes=CODES, code_dim=8, reset=reset)
    windows = Windows(swings((9, 12, 40, 7, 90, 33)), 32)
    return train_tokenizer(windows, None, Tokenizer(sizes), CONFIG, out, **QUIET)


def learn_transformer(out, loss_on="all"):
    torch.manual_seed(0)
    lengths = (3, 11, 7, 12, 5, 9)
    tokens = torch.randint(CODES, (len(lengths), 1, max(lengths)), dtype=torch.int16)
    captions = [f"caption {i}" for i in range(len(lengths))]
    words = torch.randn(4 * len(lengths), WIDTH).half()
    text = TextCache("made-up", captions, words, torch.arange(0, len(words) + 1, 4), words[::4].clone())
    ids, starts = list("abcdef"), torch.arange(len(lengths) + 1)
    data = TokenSet(
        tokens, torch.tensor(lengths), starts, [[c] for c in captions], np.ones(len(lengths)), ids
    )
    sizes = TransformerConfig(
        codes=CODES, code_dim=8, text_dim=WIDTH, dim=32, layers=1, cross_layers=1, heads=4, max_tokens=12,
        dropout=0.0, text_dropout=0.1,
    )  # fmt: skip
    model = MaskedTransformer(sizes, torch.randn(1, CODES, 8))
    recipe = get_recipe("ours", loss_on=loss_on)
    return train_transformer(data, text, model, CONFIG, out, recipe=recipe, **QUIET)


def learn(out):
    """Everything once, each in a folder of its own below `out`; `out`/order holds the order of the processes."""
    with main_process_first(cpu=True) as device:
        assert device.type == "cpu"
        Path(out).mkdir(exist_ok=True)
        with Path(out, "order").open("a") as file:
            file.write(str(PartialState().process_index))
    for reset in ("dead", "release", "none"):
        learn_tokenizer(Path(out) / f"tokenizer, reset {reset}", reset)
    for loss_on in ("all", "masked"):
        learn_transformer(Path(out) / f"transformer, loss {loss_on}", loss_on)


if __name__ == "__main__":
    torch.set_num_threads(1)
    learn(sys.argv[1])
