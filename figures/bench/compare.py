"""Two states of the package against each other, on a machine that need not be idle.

    git worktree add ../before COMMIT
    python -m figures.bench.compare --before ../before

For each case processes of both states run in turn (before, after, before, …), with one thread each. What is compared
are neighbours; the figure is the median ratio of the processor seconds, with that of the wall clock beside it. Models
have random weights, as in `mmm bench`. `limit` is the time of the matrix products alone: the same shapes with as many
different weights, in the same process, in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = "a person walks forward slowly, then turns around and waves with one hand"
MIXED = [40, 48, 60, 64, 72, 84, 96, 100, 112, 120, 132, 144, 160, 168, 180, 196]  # frames of 16 texts


def shell(suffix: str) -> list[str]:
    """Arguments of Python for one motion, from the shell to the file."""
    text = "a person waves with the left hand"
    return ["-m", "mmm.cli", "generate", text, "--out", f"{tempfile.gettempdir()}/compare{suffix}"]


def timed(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """The median of the processor seconds of a call, and of the wall clock."""
    cpu, wall = [], []
    for _ in range(repeats):
        begin = time.process_time(), time.perf_counter()
        call()
        cpu.append(time.process_time() - begin[0])
        wall.append(time.perf_counter() - begin[1])
    return {"cpu": statistics.median(cpu), "wall": statistics.median(wall)}


def products(config: Any, rows: list[tuple[int, int]]) -> Callable[[], None]:
    """The matrix products of forward passes of a transformer: for each pass the rows of motion and those of words."""
    import torch
    import torch.nn.functional as F

    def weights(*shapes: tuple[int, int]) -> list[torch.Tensor]:
        return [torch.randn(shape) for shape in shapes]

    d, hidden = config.dim, config.dim * config.mlp_ratio
    cross = [weights((d, d), (d, d), (hidden, d), (d, hidden)) for _ in range(config.cross_layers)]
    words = weights(*[(2 * d, d)] * config.cross_layers)
    layers = [weights((3 * d, d), (d, d), (hidden, d), (d, hidden)) for _ in range(config.layers)]
    head = weights((config.predicted_parts * config.codes, d))
    x = {width: torch.randn(max(max(pair) for pair in rows), width) for width in (d, hidden)}

    @torch.no_grad()
    def run() -> None:
        for count, count_words in rows:
            for weight in [w for layer in (*cross, *layers, head) for w in layer]:
                F.linear(x[weight.shape[1]][:count], weight)
            for weight in words:
                F.linear(x[d][:count_words], weight)

    return run


def child(case: str) -> dict[str, Any]:
    """Measure a case in this process, with the package that Python finds."""
    import torch

    torch.set_num_threads(1)
    kind, preset = case.split()[:2]
    repeats = 1 if preset == "paper" or kind == "mixed" else 3
    if kind.startswith("train"):
        return train(kind.removeprefix("train-"), preset)
    from mmm.lab.bench.parts import random_tokenizer, random_transformer
    from mmm.model import MMM
    from mmm.sampling import default_steps
    from mmm.text import load_text_encoder

    encoder = load_text_encoder("minilm")
    tokenizer = random_tokenizer(preset).eval()
    transformer = random_transformer(preset, tokenizer.config, encoder.width).eval()
    for quantizer, codes in zip(tokenizer.quantizers, transformer.codebook, strict=True):
        quantizer.set_codebook(codes)
    guidance = 2.0 if transformer.config.text_dropout > 0 else 1.0
    info = {"fps": 20.0, "skeleton": "humanml3d", "text_encoder": "minilm", "guidance": guidance}
    model = MMM(tokenizer, transformer, None, info, encoder)
    branches, options = (1 if guidance == 1 else 2), {"precision": "bf16"} if "bf16" in case else {}
    if kind == "single":
        frames = [int(case.split()[2])]

        def call() -> None:
            model.generate(TEXT, frames[0], split=False, **options)
    else:  # mixed
        frames, embedding = MIXED, model.embed([TEXT] * len(MIXED))

        def call() -> None:
            model.generate_bulk(embedding, frames, range(len(frames)), **({"precision": "no"} | options))

    model.generate(TEXT, 40, split=False)  # warm-up
    result = timed(call, repeats)
    pieces = encoder.count_words([TEXT])[0]
    lengths = [-(-count // 4) for count in frames]
    rows = [(branches * (n + 2), branches * pieces) for n in lengths for _ in range(default_steps(n))]
    limit = products(transformer.config, rows)
    return result | {"limit": timed(limit, repeats)["cpu"]}


def train(part: str, preset: str) -> dict[str, Any]:
    """Seconds of a training step, after a warm-up; at paper size the transformer gets 16 clips."""
    import torch

    from mmm import recipes
    from mmm.lab.bench import parts
    from mmm.lab.bench.run import BenchSettings, Job

    few = preset == "paper"
    steps, warm, marks = (2, 1, []) if few else (20, 5, [])

    def stop(step: int) -> bool:
        if step in (warm, warm + steps):
            usage = resource.getrusage(resource.RUSAGE_SELF)
            marks.append((time.process_time(), time.perf_counter(), usage.ru_stime))
        return step == warm + steps

    if few:
        budgets = recipes.PRESETS[preset]
        budgets[f"{part}_training"] = budgets[f"{part}_training"] | {"batch_size": 16}
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(BenchSettings(preset=preset, precision="no"), Path(scratch))
        options = {"resume": False, "cpu": True, "progress": False, "stop": stop}
        config, trained = parts.__dict__[f"train_a_{part}"](job, options)
    (cpu, wall, system), last = marks
    found = {
        "cpu": (last[0] - cpu) / steps,
        "wall": (last[1] - wall) / steps,
        "system": (last[2] - system) / steps,
    }
    if part == "transformer":
        module = trained.module
        rows = [(config.batch_size * (parts.FRAMES // 4 + 2), config.batch_size * 12)]
        with torch.no_grad():
            found["limit"] = (
                3 * timed(products(module.config, rows), 1 if few else 5)["cpu"]
            )  # forward and backward
    return found | {"batch_size": config.batch_size}


CASES = {
    "shell .gif": 5, "shell .npy": 5, "single small 40": 5, "single small 196": 5, "mixed small": 5,
    "train-transformer small": 5, "train-tokenizer small": 5, "single paper 196": 5, "mixed paper": 3,
    "train-transformer paper": 3,
}  # fmt: skip


def run(case: str, folder: Path) -> dict[str, Any]:
    """One process of a state of the package."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    arguments = (
        shell(case.split()[1])
        if case.startswith("shell")
        else [str(Path(__file__).resolve()), "--child", case]
    )
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        if status:
            raise SystemExit(f"{case} failed in {folder}")
        out.seek(0)
        lines = out.read().decode().splitlines()
    if case.startswith("shell"):
        return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall}
    return json.loads(lines[-1])


def revision(folder: Path) -> str:
    """The commit of a checkout."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, help="a checkout of the older state")
    parser.add_argument("--after", type=Path, default=ROOT)
    parser.add_argument("--only", action="append", choices=CASES, default=[])
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--out", type=Path, default=ROOT / "runs/compare.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(given.child)))
        return
    if given.before is None or not (given.before / "mmm").is_dir():
        parser.error("--before is missing: a checkout of the older state (git worktree add ../before COMMIT)")
    results = json.loads(given.out.read_text()) if given.out.exists() else {}
    for case in given.only or CASES:
        pairs = []
        for _ in range(given.pairs or CASES[case]):
            pairs.append({name: run(case, getattr(given, name).resolve()) for name in ("before", "after")})
            ratios = {
                key: [pair["before"][key] / pair["after"][key] for pair in pairs] for key in ("cpu", "wall")
            }
            found = {f"{key}_ratio": statistics.median(values) for key, values in ratios.items()}
            print(
                case,
                f"{found['cpu_ratio']:.2f} x (wall {found['wall_ratio']:.2f} x), {len(pairs)} pairs",
                flush=True,
            )
            medians = {
                name: {
                    key: round(statistics.median(pair[name][key] for pair in pairs), 4)
                    for key in pairs[0][name]
                }
                for name in ("before", "after")
            }
            least, most = min(ratios["cpu"]), max(ratios["cpu"])
            results[case] = found | {"least": least, "most": most, "pairs": len(pairs)} | medians
            results[case]["revisions"] = {
                name: revision(getattr(given, name)) for name in ("before", "after")
            }
            given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
