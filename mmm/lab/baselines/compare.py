"""The masked transformer and the baselines, evaluated alike: same clips, texts, lengths, evaluator and seeds.

Each model goes through `mmm.evaluation.protocol.evaluate` (and `mmm.lab.edits`), and gets a folder below `out`; here
their results become one table.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from mmm.data import MotionFolder
from mmm.errors import atomic_write, require
from mmm.evaluation.actions import MEASURES
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.metrics import interval
from mmm.evaluation.protocol import evaluate, model_hash
from mmm.evaluation.results import PHYSICAL, QUALITY, Results
from mmm.lab.baselines.autoregressive import Autoregressive
from mmm.lab.baselines.costs import (
    Entrant,
    budget_note,
    budget_of,
    cost,
    device_of,
    items_of,
    times,
    training_cost,
)
from mmm.lab.baselines.models import Baseline, load_network
from mmm.lab.edits import EditConfig, evaluate_edits
from mmm.lab.edits.run import load_edits, markdown
from mmm.model import MMM
from mmm.training.run_folder import write_json, write_manifest

SAMPLERS = ("ddim-50", "ddim-10")
GUIDANCE = {
    "masked": None,
    "autoregressive": 1.0,
    "diffusion": 2.5,
}  # None: the model's own; diffusion: MDM's
EDITED = ("mpjpe_world", "mpjpe_local", "kept_error", "seam_jerk", "interior_jerk", "skating", "fid", "r1")
TITLES = {
    "parameters": "parameters (M)",
    "steps": "training steps",
    "batch": "batch",
    "TFLOPs": "training (TFLOPs)",
    "guidance": "guidance",
    "passes": "passes",
    "GFLOPs": "GFLOPs",
    "aits": "AITS (CPU s)",
}
NOTE = (
    "The first row is real motion. All models got the same texts, lengths and seeds, except “own END”: the "
    "autoregressive model ends where it says. Else it does not know the length: END is forbidden and it is cut there. "
    "± is half of the 95 % interval over the repeats, that of sampling; each model was trained with one seed. Speed "
    "and what follows: Wasserstein distance to the real clips of the same action class, mean over the classes by their "
    "clips. AITS: CPU seconds from a text to its features, batch size 1, text encoder included, all models in turn in "
    "one process, median over the clips. Passes through the network and GFLOPs are those of one motion of the mean "
    "length, GFLOPs without the text encoder; with guidance a pass has two rows. Training: three forward passes for "
    "each clip of each step, of the mean length. {facts} {budget}"
)
GAPS_NOTE = (
    "In-betweening with the caption, by the length of the gap (`mmm.lab.edits`): errors in the gap and at kept frames "
    "(cm), jerk at the seams and within the gap (m/s³), after the same joining for all. The autoregressive model sees "
    "only what comes before the gap."
)


def models_of(
    whole: MMM,
    runs: Sequence[str | os.PathLike[str] | nn.Module],
    samplers: Sequence[str] = SAMPLERS,
    guidance: Mapping[str, float | None] = GUIDANCE,
    own: str | os.PathLike[str] | None = None,
) -> dict[str, Entrant]:
    """The models to compare by name: the masked one and those of the runs.

    Args:
        runs: folders of trainings, or networks.
        samplers: of diffusion, such as "ddim-50" or "ddpm-1000", and of the masked model, "masked-5": an entrant for
            each, beside the masked model with its own steps.
        guidance: by kind; kinds that are left out take that of GUIDANCE.
        own: run of the masked model, which says how long it was trained.
    Raises:
        ValueError: two runs of one kind; another sampler. FileNotFoundError: no run.
    """
    guidance = GUIDANCE | dict(guidance)
    budget = {} if own is None else budget_of(Path(own) / "transformer")
    split = [_sampler(name) for name in samplers]
    models = {"masked": Entrant(whole, {"guidance": guidance["masked"]}, budget)}
    for kind, steps in split:
        if kind == "masked":
            how = {"guidance": guidance["masked"], "steps": steps}
            models[f"masked-{steps}"] = Entrant(whole, how, budget)
    for run in runs:
        network = run if isinstance(run, nn.Module) else load_network(run)
        network, budget = network.to(whole.device), {} if network is run else budget_of(run)
        if isinstance(network, Autoregressive):
            how = {"guidance": guidance["autoregressive"]}
            new = {
                name: Entrant(Baseline(whole, network, own_end=own_end), how, budget)
                for name, own_end in (("autoregressive", False), ("autoregressive-own-end", True))
            }
        else:
            new = {
                f"diffusion-{kind}-{steps}": Entrant(
                    Baseline(whole, network, sampler=kind, steps=steps),
                    {"guidance": guidance["diffusion"], "steps": steps},
                    budget,
                )
                for kind, steps in split
                if kind != "masked"
            }
        require(
            not models.keys() & new.keys(),
            f"{run} is another run of {next(iter(new), 'diffusion')}; compare one run of each kind.",
        )
        models |= new
    return models


def _sampler(name: str) -> tuple[str, int]:
    kind, _, steps = name.partition("-")
    require(
        kind in ("ddim", "ddpm", "masked") and steps.isdecimal() and int(steps) > 0,
        f"the sampler is {name!r}, expected ddim-STEPS, ddpm-STEPS or masked-STEPS, such as ddim-50.",
    )
    return kind, int(steps)


def compare(
    models: Mapping[str, Entrant],
    folder: MotionFolder,
    evaluator: Evaluator,
    config: ProtocolConfig,
    out: str | os.PathLike[str],
    gaps: EditConfig | None = None,
    timed: int = 20,
    **options: Any,
) -> pd.DataFrame:
    """One row for each model, all evaluated in this run; `out` gets NAME/ of each, results.json and results.md.

    Args:
        config: with given lengths; its guidance and steps are those of each entrant. gaps: also evaluate
            in-betweening. timed: with `config.aits`, clips for the times.
        options: of `mmm.evaluation.protocol.evaluate` (resume, progress, cpu, other_splits).
    Returns:
        means by model, and half of their 95 % intervals in columns NAME_half. results.json also has `differences`:
        each model minus the masked one, repeat by repeat, with intervals.
    """
    out, rows, edited, every = Path(out), {}, [], {}
    plain = dataclasses.replace(config, aits=False)
    for name, entrant in models.items():
        own = dataclasses.replace(plain, **entrant.sampler)
        every[name] = results = evaluate(entrant.model, folder, evaluator, own, out / name, **options)
        if not rows:
            rows["real"] = _means(results, "real")
        rows[name] = _means(results, "given") | _of_classes(results)
        frames = int(results.stored(0)["frames"].float().mean())
        rows[name] |= training_cost(entrant, frames)
        rows[name]["guidance"] = entrant.model.guidance if own.guidance is None else own.guidance
        rows[name] |= cost(entrant.model, "a person walks forward", frames, own.sampler())
        if gaps and not getattr(entrant.model, "own_end", False):
            how = {name: value for name, value in options.items() if name in ("progress", "other_splits")}
            place = out / name / "gaps"
            settings = dataclasses.replace(gaps, **entrant.sampler)
            summary = _gaps(
                entrant.model, folder, evaluator, settings, place, options.get("resume", True), how
            )
            edited.append(summary[summary.method == "text"].assign(method=name))
    if config.aits:
        for name, seconds in times(models, items_of(folder.pack(config.split), timed), config.seed).items():
            rows[name] |= {"aits": float(np.median(seconds)), "aits_all": [round(s, 5) for s in seconds]}
    differences = {
        name: _differences(results, every["masked"]) for name, results in every.items() if name != "masked"
    }
    content = {"rows": rows, "differences": differences, "budget": budget_note(rows)}
    table = pd.DataFrame(rows).T.rename_axis("model").drop(columns="aits_all", errors="ignore")
    table = table.apply(pd.to_numeric)
    titles = {**QUALITY, **PHYSICAL, **MEASURES, **TITLES}
    titles |= {f"{name}_half": f"{title}_half" for name, title in titles.items()}
    shown = table.rename(columns=titles).reset_index()
    facts = f"Data {folder.name} ({config.split}), {config.repeats} repeats, evaluator {evaluator.name}."
    columns = (
        "model",
        *(titles[name] for name in (*TITLES, *QUALITY, *PHYSICAL, *MEASURES) if name in table),
    )
    text = ["# Three ways from text to motion", NOTE.format(facts=facts, budget=content["budget"])]
    text.append(markdown(shown, columns))
    if edited:
        edits = pd.concat(edited).sort_values("gap", kind="stable", key=_by_appearance)
        text += ["## In-betweening", GAPS_NOTE, markdown(edits, ("gap", "method", "clips", *EDITED))]
        content["gaps"] = json.loads(edits.to_json(orient="records"))  # NaN becomes null
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "results.json", content)
    facts = {"data": folder.name, "data_hash": folder.content_hash, "evaluator": evaluator.name}
    facts |= {
        "device": str(device_of(models)),
        "models": {name: model_hash(each.model) for name, each in models.items()},
    }
    write_manifest(out / "manifest.json", dataclasses.asdict(config) | facts)
    with atomic_write(out / "results.md") as part:
        part.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return table


def _gaps(
    model: MMM,
    folder: MotionFolder,
    evaluator: Evaluator,
    config: EditConfig,
    place: Path,
    resume: bool,
    how: dict[str, Any],
) -> pd.DataFrame:
    """The summary of in-betweening: of the folder, if it holds that of the same model and settings."""
    if resume and (place / "results.json").is_file():
        done = load_edits(place)
        asked = dataclasses.asdict(config) | {"model": model_hash(model), "data_hash": folder.content_hash}
        if all(done.config.get(name) == value for name, value in asked.items()):
            return done.tables["summary"]
    return evaluate_edits("gaps", model, folder, evaluator, config, place, **how).tables["summary"]


def _differences(results: Results, masked: Results) -> dict[str, float]:
    """Mean and half of the 95 % interval of the differences to the masked model, repeat by repeat."""
    differences = {}
    for name in (*QUALITY, *PHYSICAL):
        ours, theirs = (each.rows["given"].get(name) for each in (results, masked))
        if ours and theirs and len(ours) == len(theirs):
            value = interval([a - b for a, b in zip(ours, theirs, strict=True)])
            differences |= {name: value.mean, f"{name}_half": value.half}
    return differences


def _by_appearance(column: pd.Series) -> pd.Series:
    return column.map({value: i for i, value in enumerate(column.unique())})


def _means(results: Results, row: str) -> dict[str, float]:
    """Means over the repeats of what the table shows of a row, and half of their intervals where there are any."""
    numbers = {}
    for name in (*QUALITY, *PHYSICAL):
        if value := results.interval(row, name):
            numbers[name] = value.mean
            if value.half is not None and np.isfinite(value.half) and value.half > 0:
                numbers[f"{name}_half"] = value.half
    return numbers


def _of_classes(results: Results) -> dict[str, float]:
    """The distance of each number of `mmm.evaluation.actions` to real motion, a mean over the action classes."""
    classes = [about for about in results.classes.values() if "given" in about]
    if not classes:
        return {}
    weights = [about["clips"] for about in classes]
    return {
        key: float(np.average([about["given"][key]["distance"] for about in classes], weights=weights))
        for key in MEASURES
    }
