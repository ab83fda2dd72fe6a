"""Checkpoints of the paper's size under the authors' names: they convert, and the logits are the native model's.

    python tests/release/paper_size.py [--parts 2] [--keep FOLDER]

Random weights (tokenizer 512 wide with 8192 codes of 32; transformer 1024 wide, 2 + 16 layers, 16 heads, 236 M) are
written with torch.save as the release writes them, given to `mmm convert` in a process of its own, loaded again and
compared with the parts that they were taken from. Not part of the test suite: it takes half a minute or more, 4 GB of
memory and 2.5 GB of disk. The suite does the same at tiny size (test_convert.py). Exits 1 if any number differs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from made_up import release as made_up

from mmm import MMM
from mmm.tokenizer import TokenizerConfig

PAPER = {"text_dim": 512, "dim": 1024, "heads": 16, "layers": 16, "cross_layers": 2, "text_dropout": 0.0}
# What the child runs: the command, and the most memory it held, mapped files not counted.
CHILD = """
import sys
from mmm.lab.bench.memory import PeakMemory
from mmm.cli import main
code = 0
with PeakMemory() as memory:
    try:
        main(sys.argv[1:])
    except SystemExit as stop:
        code = stop.code
print(f"peak memory of the conversion: {(memory.peak or 0) / 1e9:.2f} GB")
sys.exit(code)
"""


def megabytes(*paths: Path) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6


def main(parts: int, place: Path) -> int:
    started = time.perf_counter()
    vq, net = made_up.make_parts(TokenizerConfig(parts=parts), PAPER)
    tokenizer, transformer, meta = made_up.write_release(place, vq, net)
    print(
        f"made and written in {time.perf_counter() - started:.1f} s: tokenizer {megabytes(tokenizer):.0f} MB, "
        f"transformer {megabytes(transformer):.0f} MB"
    )
    started = time.perf_counter()
    args = ["convert", "--tokenizer", tokenizer, "--transformer", transformer, "--mean-std", meta]
    subprocess.run([sys.executable, "-c", CHILD, *map(str, args), "--out", str(place / "model")], check=True)
    print(f"converted in {time.perf_counter() - started:.1f} s, start of Python included")
    files = list((place / "model").rglob("*.safetensors"))
    print(f"model folder: {len(files)} safetensors files, {megabytes(*files):.0f} MB")
    started = time.perf_counter()
    model = MMM.from_pretrained(place / "model")
    print(f"loaded in {time.perf_counter() - started:.1f} s")
    expected, found = made_up.random_logits(net), made_up.random_logits(model.transformer)
    features = torch.randn(2, 64, 263, generator=torch.Generator().manual_seed(0)) * vq.std + vq.mean
    tokens = vq.encode(features)
    logits = float((found - expected).abs().max())
    decoded = float((model.tokenizer.decode(tokens) - vq.decode(tokens)).abs().max())
    differing = int((model.tokenizer.encode(features) != tokens).sum())
    print(
        f"logits {tuple(found.shape)} of magnitude {float(expected.abs().max()):.2f}: largest difference {logits:g}"
    )
    print(
        f"decoded motions: largest difference {decoded:g}; tokens that differ: {differing} of {tokens.numel()}"
    )
    return int(bool(logits or decoded or differing))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, choices=(1, 2), default=1, help="2: the upper-body model")
    parser.add_argument("--keep", type=Path, help="folder for the files, which are removed by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(given.parts, given.keep or Path(scratch)))
