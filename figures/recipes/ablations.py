"""The effect of each choice of a recipe: one factor at a time around ours, same training budget, same seed.

    python -m figures.recipes.ablations --data data/bandai --out runs/ablations

Every row of the two tables is a training of its own. For a choice of the tokenizer it is a tokenizer, evaluated by its
reconstruction of the val split. For a choice of the transformer it is a transformer on a fixed tokenizer, evaluated by
masked-token accuracy and loss (always over masked positions with the cosine schedule, on clean tokens, whatever its
training task was) and by `mmm evaluate` with and without guidance. "ours" is trained with two more seeds: differences
smaller than theirs mean nothing.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from accelerate import Accelerator

from mmm.data import MotionFolder
from mmm.errors import require
from mmm.evaluation.evaluator import Evaluator, load_evaluator
from mmm.evaluation.metrics import fid
from mmm.evaluation.protocol import ProtocolConfig, evaluate
from mmm.evaluation.rows import evaluate_motions, reconstruct
from mmm.fit import fit_tokenizer, fit_transformer
from mmm.model import SHIPPED
from mmm.pretrained import load_tokenizer
from mmm.recipes import PresetName, Recipe, get_recipe
from mmm.tokenizer import Tokenizer
from mmm.tokenizer.train import evaluate_tokenizer
from mmm.training.data import captions_source, facts, token_sets
from mmm.training.run_folder import git_state, write_json
from mmm.transformer.tokens import TokenSet
from mmm.transformer.train import evaluate_transformer

SEEDS = {"ours, seed 1": {"seed": 1}, "ours, seed 2": {"seed": 2}}
TOKENIZERS: dict[str, dict[str, Any]] = {
    "ours": {},
    **SEEDS,
    "dead codes: the release's rule": {"reset": "release"},
    "dead codes: never replaced": {"reset": "none"},
    "feature bias 1": {"feature_bias": 1.0},
    "feature bias 25 (release)": {"feature_bias": 25.0},
    "short clips dropped (release)": {"short": "drop"},
    "authors' optimizer": {"optimizer": "authors"},
    "recipe paper": {"recipe": "paper"},
    "recipe release": {"recipe": "release"},
}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "ours": {},
    **SEEDS,
    "random codes 0": {"random_codes": 0.0},
    "random codes 0.5 (release)": {"random_codes": 0.5},
    "mask U(0.5, 1) (release)": {"mask_schedule": "uniform(0.5, 1)"},
    "mask U(0.3, 1) (paper)": {"mask_schedule": "uniform(0.3, 1)"},
    "mask U(0, 1)": {"mask_schedule": "uniform(0, 1)"},
    "loss on masked places (paper)": {"loss_on": "masked"},
    "no token dropped": {"drop_edge": 0.0},
    "no text dropped (release)": {"text_dropout": 0.0},
    "one phase (release)": {"all_phases": False},
    "contents as in the data (release)": {"transformer_balance": 1.0},
    "authors' optimizer": {"optimizer": "authors"},
    "recipe paper": {"recipe": "paper"},
    "recipe release": {"recipe": "release"},
}
METRICS = ("r1", "r3", "fid", "mm_dist", "skating", "jerk_mean")
EVALUATED = get_recipe("ours", loss_on="masked")  # the cosine schedule on clean tokens


def variant(changes: Mapping[str, Any]) -> tuple[Recipe, int]:
    """The recipe and the seed of a row of the table."""
    changes = dict(changes)
    seed, name = changes.pop("seed", 0), changes.pop("recipe", "ours")
    return get_recipe(name, **changes), seed


def continued(file: Path, facts_of_run: Mapping[str, Any]) -> dict[str, Any]:
    """What the file holds, or {}. Raises ValueError if it was made with other data, sizes or budgets."""
    results = json.loads(file.read_text()) if file.is_file() else {}
    differing = [name for name, value in facts_of_run.items() if results.get(name, value) != value]
    require(
        not differing,
        f"{file} was made with other {', '.join(differing)}; name another --out, or remove it.",
    )
    return results


def ablate_tokenizer(
    folder: MotionFolder, evaluator: Evaluator, changes: Mapping[str, Any], out: Path, preset: str, steps: int
) -> dict[str, float]:
    """Train one tokenizer in OUT (or continue) and evaluate its reconstruction of val.

    Returns:
        mpjpe_local, mpjpe_global (cm), usage, perplexity; FID against val itself, skating, jerk_mean; seconds, CPU time
        of the training.
    """
    changes = dict(changes)
    model = changes.pop("model", None)  # sizes instead of the preset's
    recipe, seed = variant(changes)
    began = time.process_time()
    fit_tokenizer(folder, out, preset, recipe=recipe, model=model, steps=steps, seed=seed, eval_every=0)
    seconds = time.process_time() - began  # of a training that was not stopped in between
    tokenizer, val = load_tokenizer(out), folder.pack("val")
    numbers = evaluate_tokenizer(tokenizer, val, folder.skeleton) | {"seconds": seconds}
    clips = [np.asarray(val.clip(i)) for i in range(len(val))]
    how = (evaluator, folder, Accelerator(cpu=True), 32)
    real = evaluate_motions(val.lengths, lambda items: [clips[i] for i in items], *how)
    decoded = evaluate_motions(
        val.lengths, lambda items: reconstruct(tokenizer, [clips[i] for i in items], 32), *how
    )
    numbers["fid"] = fid(real.embeddings, decoded.embeddings)
    return numbers | {name: float(decoded.numbers[name].mean()) for name in ("skating", "jerk_mean")}


def ablate_transformer(
    folder: MotionFolder,
    evaluator: Evaluator,
    tokenizer: Tokenizer,
    changes: Mapping[str, Any],
    out: Path,
    preset: str,
    steps: int,
    repeats: int,
    pool: int = 32,
    sets: tuple[TokenSet, TokenSet] | None = None,
    guidances: tuple[float, ...] = (1.0, 2.0),
) -> dict[str, float]:
    """Train one transformer in OUT (or continue) and evaluate it on val.

    Returns:
        accuracy and loss on masked positions; for each guidance the metrics of `mmm evaluate`, with "_half" the half
        of their 95 % interval over the repeats. Guidance above 1 only for a model that can be guided.
    """
    recipe, seed = variant(changes)
    sets = sets or token_sets(folder, tokenizer, recipe=recipe)
    settings = {"steps": steps, "seed": seed, "eval_every": 0, "length_steps": 100}
    model = fit_transformer(folder, tokenizer, out, preset, recipe=recipe, sets=sets, **settings)
    val = sets[1]
    text = captions_source(folder, val.texts(), model.encoder, progress=False)
    rated = [
        evaluate_transformer(model.transformer, val, text, EVALUATED, seed=number) for number in range(4)
    ]
    numbers = {
        f"masked_{name}": float(np.mean([row[key] for row in rated]))
        for name, key in (("accuracy", "accuracy_masked"), ("loss", "loss"))
    }
    for guidance in guidances:
        if guidance != 1 and not model.transformer.config.text_dropout:
            continue
        config = ProtocolConfig(
            repeats=repeats,
            pool=pool,
            lengths=("given",),
            multimodality="none",
            aits=False,
            guidance=guidance,
        )
        results = evaluate(model, folder, evaluator, config, out / f"guidance-{guidance:g}", progress=False)
        for metric in METRICS:
            interval = results.interval("given", metric)
            numbers[f"{metric}@{guidance:g}"] = interval.mean
            numbers[f"{metric}@{guidance:g}_half"] = interval.half
    return numbers


@dataclasses.dataclass
class Arguments:
    """Train and evaluate every choice of the recipe, one at a time; rows that are complete are kept."""

    data: Path = Path("data/bandai")
    """The data folder."""
    out: Path = Path("runs/ablations")
    """A run for each row, and results.json. The same call continues."""
    part: Literal["tokenizer", "transformer", "both"] = "both"
    """Whose choices."""
    only: tuple[str, ...] = ()
    """Only rows whose name contains one of these."""
    tokenizer: Path = SHIPPED
    """The tokenizer under the transformers; the shipped model's by default."""
    preset: PresetName = "small"
    """Sizes."""
    tokenizer_steps: int = 1500
    """Steps of each tokenizer."""
    transformer_steps: int = 1000
    """Steps of each transformer."""
    repeats: int = 5
    """Repeats of each evaluation."""
    pool: int = 32
    """Motions among which a text has to find its own (R-precision)."""

    def run(self) -> None:
        """Compute what is missing; results.json grows row by row."""
        folder = MotionFolder.open(self.data)
        evaluator = load_evaluator(folder)
        tokenizer = load_tokenizer(self.tokenizer).eval()
        facts_of_run = {
            "evaluator": evaluator.name,
            **facts(folder),
            "preset": self.preset,
            "repeats": self.repeats,
        }
        facts_of_run["pool"] = self.pool
        facts_of_run |= {"tokenizer_steps": self.tokenizer_steps, "transformer_steps": self.transformer_steps}
        file = self.out / "results.json"
        results = continued(file, facts_of_run) or {"tokenizer": {}, "transformer": {}}
        results |= facts_of_run
        sets: dict[tuple, tuple[TokenSet, TokenSet]] = {}
        for part, lines in (("tokenizer", TOKENIZERS), ("transformer", TRANSFORMERS)):
            for name, changes in lines.items():
                wanted = self.part in (part, "both") and (not self.only or any(o in name for o in self.only))
                if not wanted or name in results[part]:
                    continue
                print(f"{part}: {name}", flush=True)
                place = self.out / part / name.replace(" ", "-").replace("/", "-")
                if part == "tokenizer":
                    numbers = ablate_tokenizer(
                        folder, evaluator, changes, place, self.preset, self.tokenizer_steps
                    )
                else:
                    recipe = variant(changes)[0]
                    phases, power = recipe.all_phases, recipe.transformer_balance
                    if (phases, power) not in sets:  # encoding takes as long as some trainings
                        sets[phases, power] = token_sets(folder, tokenizer, recipe=recipe)
                    numbers = ablate_transformer(
                        folder,
                        evaluator,
                        tokenizer,
                        changes,
                        place,
                        self.preset,
                        self.transformer_steps,
                        self.repeats,
                        self.pool,
                        sets[phases, power],
                    )
                results[part][name] = {"changes": changes, "numbers": numbers, **git_state()}
                self.out.mkdir(parents=True, exist_ok=True)
                write_json(file, results)
        print(file)


if __name__ == "__main__":
    tyro.cli(Arguments).run()
