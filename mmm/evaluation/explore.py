"""Behind the table: which contents are understood, which clips are best and worst, what the sampler's knobs do.

Everything here reads what an evaluation stored (`results.py`): embeddings, and what was drawn.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmm.data import MotionFolder, PackedSplit
from mmm.evaluation.config import ProtocolConfig
from mmm.evaluation.evaluator import Evaluator
from mmm.evaluation.protocol import evaluate
from mmm.evaluation.results import Results
from mmm.motion import Motion
from mmm.pipeline import MMM


def content_of(program: dict | None) -> str:
    """What a clip shows in a word or two: Bandai's content, or the actions of a choreographed one."""
    program = program or {}
    if "segments" in program:
        said = []
        for segment in program["segments"]:
            names = [action["name"] for action in (segment["legs"], segment["arms"]) if action]
            said.append(" + ".join(name for name in names if name != "stand" or len(names) == 1))
        return ", ".join(dict.fromkeys(said))
    return program.get("content", "all")


def ranks(
    text: Float[Tensor, "n d"], motion: Float[Tensor, "n d"], distractors: Int64[Tensor, "n others"]
) -> Int64[Tensor, " n"]:
    """Place of each text's own motion in its pool, 0 the nearest: what R-precision counts, but for ties."""
    own = (text - motion).norm(dim=1)
    others = (text[:, None] - motion[distractors]).norm(dim=2)
    return (others < own[:, None]).sum(1)


def content_table(
    results: Results, folder: MotionFolder, rows: tuple[str, ...] = ("real", "given")
) -> pd.DataFrame:
    """R@1 and R@3 of each content, over all repeats: a line a content, columns ROW/r1, ROW/r3 and `clips`.

    Raises:
        ValueError: the pools of the evaluation were batch mates (Guo's), which are not stored.
    """
    packed = folder.pack(results.config["protocol"]["split"])
    lines = []
    for repeat in range(len(results.timing["seconds"])):
        stored = results.stored(repeat)
        if "distractors" not in stored:
            raise ValueError(
                "this evaluation was made with Guo's pools, so there is no place of a text in a pool of its own; "
                "look at results.table() instead."
            )
        names = [
            content_of(folder.program(packed.ids[clip].split("@")[0])) for clip in stored["clip"].tolist()
        ]
        line = {"content": names}
        for row in rows:
            place = ranks(stored["text"], stored[row], stored["distractors"])
            line |= {f"{row}/r{k}": (place < k).double().tolist() for k in (1, 3)}
        lines.append(pd.DataFrame(line))
    groups = pd.concat(lines).groupby("content")
    table = groups.mean()
    table["clips"] = groups.size() // len(lines)
    return table.sort_values(["clips", "content"], ascending=[False, True])


@dataclasses.dataclass(frozen=True)
class Example:
    """A motion of an evaluation: what was asked, the place of its motion in the pool, its distance to the text."""

    item: int
    text: str
    content: str
    place: int
    distance: float


def best_and_worst(
    results: Results, folder: MotionFolder, count: int = 3, row: str = "given", repeat: int = 0
) -> tuple[list[Example], list[Example]]:
    """The motions nearest to their texts and farthest from them, one of each content."""
    packed, stored = folder.pack(results.config["protocol"]["split"]), results.stored(repeat)
    distance = (stored["text"] - stored[row]).norm(dim=1)
    place = (
        ranks(stored["text"], stored[row], stored["distractors"])
        if "distractors" in stored
        else torch.zeros_like(stored["clip"])
    )
    examples = [
        Example(
            item,
            packed.captions[clip][caption].text,
            content_of(folder.program(packed.ids[clip].split("@")[0])),
            int(place[item]),
            float(distance[item]),
        )
        for item, (clip, caption) in enumerate(
            zip(stored["clip"].tolist(), stored["caption"].tolist(), strict=True)
        )
    ]
    ordered = sorted(examples, key=lambda example: example.distance)
    return _one_a_content(ordered, count), _one_a_content(ordered[::-1], count)


def _one_a_content(examples: list[Example], count: int) -> list[Example]:
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.content, example)
    return list(first.values())[:count]


def motions_of(
    results: Results,
    model: MMM,
    packed: PackedSplit,
    examples: list[Example],
    row: str = "given",
    repeat: int = 0,
) -> tuple[list[Motion], list[Motion]]:
    """The generated motions, made again from their seeds, and the real clips whose captions were asked for."""
    stored, protocol = results.stored(repeat), results.config["protocol"]
    items = [example.item for example in examples]
    texts = [example.text for example in examples]
    options = {
        name: protocol[name] for name in ("steps", "guidance", "temperature", "batch_size", "precision")
    }
    options["remask"] = protocol.get("remask", "least")
    if options["guidance"] is None:
        del options["guidance"]
    made = model.generate_bulk(
        model.embed(texts),
        stored[f"{row}.frames"][items].tolist(),
        stored[f"{row}.seeds"][items].tolist(),
        **options,
    )
    about = {"fps": model.info["fps"], "skeleton": model.info["skeleton"]}
    generated = [Motion(features, text=text, **about) for features, text in zip(made, texts, strict=True)]
    real = [
        Motion(np.array(packed.clip(int(stored["clip"][item]))), text=text, **about)
        for item, text in zip(items, texts, strict=True)
    ]
    return generated, real


def sweep(
    model: MMM,
    folder: MotionFolder,
    evaluator: Evaluator,
    settings: dict[str, dict[str, Any]],
    config: ProtocolConfig,
    out: Path,
    other_splits: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """The evaluation with other settings of the sampler: a line each, with R@1, R@3, FID, MM-Dist, skating, jerk.

    Args:
        settings: name → changes to `config` (steps, guidance, temperature, remask).
        config: what is common to all; given lengths only, without MultiModality and AITS.
        out: a folder for each, OUT/NAME; what is there already is not made again.
        other_splits: as in `evaluate`.
    """
    lines = {}
    for name, changes in settings.items():
        own = dataclasses.replace(config, lengths=("given",), multimodality="none", aits=False, **changes)
        place = out / name.replace(" ", "-")
        results = evaluate(model, folder, evaluator, own, place, progress=progress, other_splits=other_splits)
        wanted = ("r1", "r3", "fid", "mm_dist", "skating", "jerk_mean")
        found = {measure: results.interval("given", measure) for measure in wanted}
        lines[name] = {measure: value.mean for measure, value in found.items()}
        lines[name] |= {f"{measure}_half": value.half for measure, value in found.items()}
    return pd.DataFrame(lines).T
