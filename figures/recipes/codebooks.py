"""Claim 7 of the paper: how do codebook size and code width trade quality for cost?

    python -m figures.recipes.codebooks --data data/bandai --out runs/codebooks

trains a tokenizer for each of 4 sizes × 4 widths with the same budget and seed, and one size and width with two more
seeds: differences smaller than theirs mean nothing. Each is evaluated by its reconstruction of the val split. Rows
that are complete are kept, so that the same call continues. OUT/codebooks.json and OUT/codebooks.png are the result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
import tyro
from matplotlib.figure import Figure

from figures.recipes.ablations import ablate_tokenizer, continued
from mmm.data import MotionFolder
from mmm.evaluation.evaluator import load_evaluator
from mmm.pretrained import load_tokenizer
from mmm.recipes import PresetName
from mmm.training.data import facts
from mmm.training.run_folder import git_state, write_json
from mmm.viz.style import panels, small_png, styled

SIZES, WIDTHS = (128, 512, 2048, 8192), (4, 16, 32, 128)
AGAIN = (512, 16)  # trained with seeds 1 and 2 too
SHOWN = {
    "mpjpe_local": ("error of the pose, cm (lower is better)", ".2f"),
    "fid": ("FID of the reconstruction (lower is better)", ".2f"),
    "dead": ("codes that val does not use, %", ".0f"),
    "seconds": ("training, CPU seconds", ".0f"),
}


@styled
def heat_maps(table: pd.DataFrame) -> Figure:
    """One map for each entry of SHOWN. The table: columns codes, width, seed and SHOWN; seed 0 is drawn."""
    figure, axes = panels((9, 6.6), 2, 2)
    first = table[table.seed == 0]
    for ax, (name, (title, form)) in zip(axes.flat, SHOWN.items(), strict=True):
        grid = first.pivot(index="codes", columns="width", values=name)
        sns.heatmap(grid, annot=True, fmt=form, cmap="viridis", cbar=False, ax=ax)
        ax.set(title=title, xlabel="numbers in a code", ylabel="codes")
    return figure


def spread(table: pd.DataFrame) -> dict[str, float]:
    """Largest difference between the seeds of AGAIN, for each entry of SHOWN."""
    seeds = table[(table.codes == AGAIN[0]) & (table.width == AGAIN[1])]
    return {name: float(np.ptp(seeds[name])) for name in SHOWN}


def rows(results: Mapping[str, dict]) -> pd.DataFrame:
    """The table of `heat_maps` from the file's rows."""
    return pd.DataFrame([row["setting"] | row["numbers"] for row in results.values()])


@dataclasses.dataclass
class Arguments:
    """Train and evaluate tokenizers of 4 codebook sizes and 4 code widths; rows that are complete are kept."""

    data: Path = Path("data/bandai")
    """The data folder."""
    out: Path = Path("runs/codebooks")
    """A run for each row, codebooks.json and codebooks.png. The same call continues."""
    preset: PresetName = "tiny"
    """Sizes of everything but the codebook."""
    steps: int = 600
    """Steps of each tokenizer, 32 windows each."""

    def run(self) -> None:
        """Compute what is missing; codebooks.json grows row by row."""
        folder = MotionFolder.open(self.data)
        evaluator = load_evaluator(folder)
        file = self.out / "codebooks.json"
        about = {"evaluator": evaluator.name, **facts(folder), "preset": self.preset, "steps": self.steps}
        results = about | {"rows": {}} | continued(file, about)
        settings = [(*sizes, 0) for sizes in product(SIZES, WIDTHS)] + [(*AGAIN, seed) for seed in (1, 2)]
        for codes, width, seed in settings:
            name = f"{codes} codes of {width}, seed {seed}"
            if name in results["rows"]:
                continue
            print(name, flush=True)
            place = self.out / f"{codes}-{width}-{seed}"
            changes = {"seed": seed, "model": {"codes": codes, "code_dim": width}}
            numbers = ablate_tokenizer(folder, evaluator, changes, place, self.preset, self.steps)
            numbers["dead"] = 100 * (1 - numbers["usage"])
            numbers["parameters"] = sum(p.numel() for p in load_tokenizer(place).parameters())
            setting = {"codes": codes, "width": width, "seed": seed}
            results["rows"][name] = {"setting": setting, "numbers": numbers, **git_state()}
            self.out.mkdir(parents=True, exist_ok=True)
            write_json(file, results)
        table = rows(results["rows"])
        (self.out / "codebooks.png").write_bytes(small_png(heat_maps(table)))
        columns = ["codes", "width", "seed", *SHOWN, "perplexity", "parameters"]
        print(table[columns].round(2).to_string(index=False))
        print("spread of three seeds:", {name: round(value, 3) for name, value in spread(table).items()})


if __name__ == "__main__":
    tyro.cli(Arguments).run()
