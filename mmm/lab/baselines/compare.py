"""The masked transformer and the baselines, evaluated alike: same clips, texts, lengths, evaluator and seeds.

Each model goes through `mmm.evaluation.protocol.evaluate` (and `mmm.lab.edits`), and gets a folder below `out`; here
their results become one table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmm.data import MotionFolder
from mmm.errors import atomic_write, require
from mmm.evaluation.actions import MEASURES
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.protocol import evaluate
from mmm.evaluation.results import PHYSICAL, QUALITY, Results
from mmm.lab.baselines.autoregressive import Autoregressive
from mmm.lab.baselines.models import Baseline, load_network
from mmm.lab.edits import EditConfig, evaluate_edits
from mmm.lab.edits.run import markdown
from mmm.model import MMM
from mmm.training.run_folder import write_json

SAMPLERS = ("ddim-50", "ddim-10")
EDITED = ("mpjpe_world", "mpjpe_local", "kept_error", "seam_jerk", "interior_jerk", "skating", "fid", "r1")
NOTE = (
    "The first row is real motion. All models got the same texts, lengths and seeds, except “own END”: the "
    "autoregressive model ends where it says. Else it does not know the length: END is forbidden and it is cut there. "
    "It has learned END from crops and repeated actions, too, so that its own lengths are short. Intervals are "
    "those of sampling; each model was trained with one seed. Speed, …: Wasserstein distance to the real clips of the "
    "same action class, mean over the classes by their clips. AITS: seconds from a text to its features, batch size 1, "
    "text encoder included. Passes through the network and GFLOPs are those of one motion of the mean length, GFLOPs "
    "without the text encoder; with guidance a pass has two rows. {facts}"
)
GAPS_NOTE = (
    "In-betweening with the caption, by the length of the gap (`mmm.lab.edits`): errors in the gap and at kept frames "
    "(cm), jerk at the seams and within the gap (m/s³), after the same joining for all. The autoregressive model sees "
    "only what comes before the gap."
)


def models_of(
    whole: MMM, runs: Sequence[str | os.PathLike[str]], samplers: Sequence[str] = SAMPLERS
) -> dict[str, MMM]:
    """The models to compare by name: the masked one and those of the runs.

    Args:
        samplers: of diffusion, such as "ddim-50" or "ddpm-1000": a model for each.
    Raises:
        ValueError: two runs of one kind; another sampler. FileNotFoundError: no run.
    """
    models = {"masked": whole}
    for run in runs:
        network = load_network(run).to(whole.device)
        if isinstance(network, Autoregressive):
            new = {"autoregressive": {}, "autoregressive-own-end": {"own_end": True}}
        else:
            new = {f"diffusion-{name}": _sampler(name) for name in samplers}
        require(
            not models.keys() & new.keys(),
            f"{run} is another run of {next(iter(new))}; compare one run of each kind.",
        )
        models |= {name: Baseline(whole, network, **how) for name, how in new.items()}
    return models


def _sampler(name: str) -> dict[str, Any]:
    kind, _, steps = name.partition("-")
    require(
        kind in ("ddim", "ddpm") and steps.isdecimal() and int(steps) > 0,
        f"the sampler is {name!r}, expected ddim-STEPS or ddpm-STEPS, such as ddim-50.",
    )
    return {"sampler": kind, "steps": int(steps)}


def compare(
    models: Mapping[str, MMM],
    folder: MotionFolder,
    evaluator: Evaluator,
    config: ProtocolConfig,
    out: str | os.PathLike[str],
    gaps: EditConfig | None = None,
    **options: Any,
) -> pd.DataFrame:
    """One row for each model, all evaluated in this run; `out` gets NAME/ of each, results.json and results.md.

    Args:
        config: with given lengths. gaps: also evaluate in-betweening.
        options: of `mmm.evaluation.protocol.evaluate` (resume, progress, cpu, other_splits).
    """
    out, rows, edited = Path(out), {}, []
    for name, model in models.items():
        results = evaluate(model, folder, evaluator, config, out / name, **options)
        if not rows:
            rows["real"] = _means(results, "real")
        rows[name] = _means(results, "given") | _of_classes(results)
        rows[name] |= {"aits": results.timing["aits"]} if "aits" in results.timing else {}
        frames = int(results.stored(0)["frames"].float().mean())
        rows[name] |= cost(model, "a person walks forward", frames, config.sampler())
        if gaps and not getattr(model, "own_end", False):
            how = {name: value for name, value in options.items() if name in ("progress", "other_splits")}
            place = out / name / "gaps"
            summary = evaluate_edits("gaps", model, folder, evaluator, gaps, place, **how).tables["summary"]
            edited.append(summary[summary.method == "text"].assign(method=name))
    table = pd.DataFrame(rows).T.rename_axis("model")
    titles = {**QUALITY, **PHYSICAL, **MEASURES, "aits": "AITS (s)"}
    shown = table.rename(columns=titles).reset_index()
    facts = f"Data {folder.name} ({config.split}), {config.repeats} repeats, evaluator {evaluator.name}."
    text = ["# Three ways from text to motion", NOTE.format(facts=facts), markdown(shown)]
    content = {"rows": {name: dict(row.dropna()) for name, row in table.iterrows()}}
    if edited:
        edits = pd.concat(edited).sort_values("gap", kind="stable", key=_by_appearance)
        text += ["## In-betweening", GAPS_NOTE, markdown(edits, ("gap", "method", "clips", *EDITED))]
        content["gaps"] = json.loads(edits.to_json(orient="records"))  # NaN becomes null
    write_json(out / "results.json", content)
    with atomic_write(out / "results.md") as part:
        part.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return table


def _by_appearance(column: pd.Series) -> pd.Series:
    return column.map({value: i for i, value in enumerate(column.unique())})


def _means(results: Results, row: str) -> dict[str, float]:
    """The means over the repeats of what the table shows of a row."""
    names = [name for name in (*QUALITY, *PHYSICAL) if name in results.rows[row]]
    return {name: results.interval(row, name).mean for name in names}


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


def cost(model: MMM, text: str, frames: int, options: dict[str, Any]) -> dict[str, float]:
    """Passes through the network and GFLOPs of one motion, without the text encoder."""
    passes: list[int] = []
    hook = model.transformer.blocks[0].register_forward_hook(lambda *_: passes.append(1))
    try:
        whole = _flops(lambda: model.generate(text, frames, 0, split=False, **options))
    finally:
        hook.remove()
    return {"passes": float(len(passes)), "GFLOPs": (whole - _flops(lambda: model.embed([text]))) / 1e9}


def _flops(call: Any) -> int:
    # Of the kinds of attention only the plain one is counted on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
