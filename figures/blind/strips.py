"""Numbered film strips for readers, generated and real ones shuffled, and the key that readers do not see."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from figures.blind.prompts import CONTENTS, OTHER, PROMPTS, check_unseen
from mmm.data import MotionFolder
from mmm.errors import atomic_dir, check_replaceable, require
from mmm.evaluation.protocol import model_hash
from mmm.model import MMM
from mmm.motion import Motion
from mmm.training.run_folder import write_manifest
from mmm.viz.strip import film_strip

Row = dict[str, Any]  # of the key; with "motion" until the strip is drawn

READ = """Each strips/NNN.png shows one person, time going on from left to right. Left limbs are blue, right limbs
orange; the green arrow says where the person faces. Give each the one name that fits best, in
answers.json. Every name may come any number of times.
"""
READ_FREE = f"""
If the person clearly does two things, one after the other or both at once, join two names with "+", in any
order: "walk+bow". If no name fits, answer "{OTHER}".
"""


def make_strips(
    model: MMM,
    folder: MotionFolder,
    out: str | os.PathLike,
    seed: int = 0,
    split: str = "val",
    progress: bool = True,
    *,
    prompts: list[Row] | None = None,
    command: str | None = None,
) -> Path:
    """Write strips/001.png …, answers.json to fill in, instructions.md for the reader, and key.json (not for them).

    Prompts are generated with the model's own length estimate and default options, seeds `seed`, `seed` + 1, …, one
    attempt each: two of each action class, with two real clips of each from `split` (one if there is no second), or
    those of `prompts`, with as many real clips, spread evenly over the classes. Real clips are drawn at random, never
    two of one take. For free text, motions/ also gets the joints, for `write_page`.

    Args:
        prompts: free text (see `read_prompts`); the built-in prompts by default.
        command: for the manifest.

    Raises:
        ValueError: a prompt is a training caption, `split` has no clip of a class or too few in all, or `out` is not
            empty.
    """
    require(
        not (Path(out) / "key.json").exists(), f"{out} holds strips and perhaps answers; name another folder."
    )
    check_replaceable(out, mark="key.json")
    if prompts is None:
        texts = [text for pair in PROMPTS.values() for text in pair]
        requested = [{"content": content, "text": text} for content, pair in PROMPTS.items() for text in pair]
    else:
        texts = [prompt["text"] for prompt in prompts]
        requested = [{"number": number, "prompt": prompt} for number, prompt in enumerate(prompts, 1)]
    check_unseen(texts, folder.pack("train").texts())
    rng = np.random.default_rng(seed)
    takes = _takes(folder, split, rng)
    if prompts is None:
        real = [(content, clip) for content, clips in takes.items() for clip in clips[:2]]
    else:
        real = spread(takes, len(prompts), rng)
    rows: list[Row] = [
        {"kind": "generated", **row, "seed": seed + i, "motion": motion}
        for i, (row, motion) in enumerate(zip(requested, model.generate(texts, seed=seed), strict=True))
    ]
    for content, clip in real:
        motion = Motion(folder.features(clip), fps=folder.fps, skeleton=folder.skeleton)
        rows.append({"kind": "real", "content": content, "clip": clip, "motion": motion})
    rows = [rows[i] for i in rng.permutation(len(rows))]
    facts = {"command": command, "device": str(model.device), "seed": seed, "split": split, "fps": folder.fps}
    facts |= {"model": model_hash(model), "data": folder.name, "data_hash": folder.content_hash}
    with atomic_dir(out, mark="key.json") as part:
        _write(part, rows, prompts is not None, progress)
        write_manifest(part / "manifest.json", facts)
    return Path(out)


def _takes(folder: MotionFolder, split: str, rng: np.random.Generator) -> dict[str, list[str]]:
    """The clips of each action class in random order, one of each take."""
    clips: dict[str, list[str]] = {content: [] for content in CONTENTS}
    for clip in folder.ids(split):
        clips.get((folder.program(clip) or {}).get("content", ""), []).append(clip)
    for content, ids in clips.items():
        require(bool(ids), f"split {split} of {folder.path} has no clip of {content!r}; take another split.")
        one_per_take = {folder.program(clip)["path"]: clip for clip in rng.permutation(ids).tolist()}
        clips[content] = list(one_per_take.values())
    return clips


def spread(takes: dict[str, list[str]], count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """(class, clip) of `count` clips: the first of every class, then the second of those that have one, and so on.

    Which classes get one more in the last round is drawn at random.

    Raises:
        ValueError: there are fewer clips.
    """
    have = sum(map(len, takes.values()))
    require(
        have >= count,
        f"there are {have} real clips, expected as many as prompts, {count}; give fewer prompts.",
    )
    picked: list[tuple[str, str]] = []
    for at in range(max(map(len, takes.values()))):
        layer = [(content, clips[at]) for content, clips in takes.items() if at < len(clips)]
        picked += [layer[i] for i in rng.permutation(len(layer))[: count - len(picked)]]
    return picked


def _write(part: Path, rows: list[Row], free: bool, progress: bool) -> None:
    """Strips, key, answers to fill in and instructions; for free text also the joints of generated motions."""
    names = [f"{number:03d}" for number in range(1, len(rows) + 1)]
    (part / "strips").mkdir()
    if free:
        (part / "motions").mkdir()
    for name, row in zip(names, tqdm(rows, "strips", disable=not progress), strict=True):
        joints = row.pop("motion").joints
        plt.close(film_strip(Motion.from_joints(joints), part / "strips" / f"{name}.png", 9))
        if free and row["kind"] == "generated":
            np.save(part / "motions" / f"{name}.npy", joints)
    (part / "key.json").write_text(json.dumps(dict(zip(names, rows, strict=True)), indent=1))
    (part / "answers.json").write_text(json.dumps(dict.fromkeys(names, ""), indent=1))
    choices = "\n".join(f"- `{content}`: the person {text}" for content, text in CONTENTS.items())
    if free:
        choices += f"\n- `{OTHER}`: none of these"
    (part / "instructions.md").write_text(f"{READ}{READ_FREE if free else ''}\n{choices}\n")
