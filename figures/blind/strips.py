"""Numbered film strips for readers, generated and real ones shuffled, and the key that readers do not see."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from figures.blind.answers import ACTIONS, CLASSES, MANNERS, OTHER, STYLES
from figures.blind.drawing import draw_strip
from figures.blind.prompts import CONTENTS, PROMPTS, check_unseen, form_of
from mmm.data import MotionFolder
from mmm.data.folder import COMPOSITIONS_FILE
from mmm.errors import atomic_dir, check_replaceable, require
from mmm.evaluation.protocol import model_hash
from mmm.model import MMM
from mmm.motion import Motion
from mmm.training.run_folder import write_manifest

Row = dict[str, Any]  # of the key; with "motion" until the strip is drawn

READ = """Each strips/NNN.png shows one person. Time goes on from left to right and row by row; below each pose stands
its time. Left limbs are blue, right limbs orange. The nose and the green arrow say where the person faces. Thin lines
are the paths of the hands just before each pose. At the top right is the path from above: it begins at the circle; dots
are the poses, arrows say where they face. At the start the person faces up there, so the left of it is their left.
"""
READ_ONE = """Give each strip the one name that fits best, in answers.json. Every name may come any number of times.
"""
READ_FREE = f"""
If the person clearly does two things, one after the other or both at once, join two names with "+", in any
order: "walk+bow". If no name fits, answer "{OTHER}".
"""
READ_ACTIONS = f"""Answer in answers.json; half an hour is enough for 120 strips. An answer has up to three parts:

- What the person does, a name from the list: `"walk"`. If no name fits, answer `"{OTHER}"`.
- If they clearly do two of these things, both names: `"walk, then bow"` if one comes after the other, `"walk while
  wave-left-hand"` if both happen at once. Take the two that matter most. Standing still before, between or after is no
  action, nor is a single step to begin or to end.
- How they do it, if it is striking, after a semicolon: `"walk; tired"`, `"run, then bow; angry"`. Without this the
  answer is taken as "normal".

Name what you see, not what it could be part of. Things (a seat, a ball, a bottle, a ladder) are not drawn. Some motions
are made by a program and may look odd, some were captured; that does not matter. Every name may come any number of
times, or never.
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
    best_of: int = 1,
) -> Path:
    """Write strips/001.png …, answers.json to fill in, instructions.md for the reader, and key.json (not for them).

    Prompts are generated with the model's own length estimate and default options, seeds `seed`, `seed` + 1, …, one
    attempt each: two of each action class, with two real clips of each from `split` (one if there is no second), or
    those of `prompts`, with as many real clips, spread evenly over the classes (and over manners, as many as there are
    prompts of kind "style"). Real clips are drawn at random, never two of one action and take. For free text, motions/
    also gets the joints, for `write_page`.

    Args:
        prompts: free text (see `read_prompts`); the built-in prompts by default.
        command: for the manifest.
        best_of: candidates for each prompt (`MMM.generate`).

    Raises:
        ValueError: a prompt is a training caption, `split` has no clip of a class or too few in all, or `out` is not
            empty.
    """
    require(
        not (Path(out) / "key.json").exists(), f"{out} holds strips and perhaps answers; name another folder."
    )
    check_replaceable(out, mark="key.json")
    form = "built-in" if prompts is None else form_of(prompts)
    if prompts is None:
        texts = [text for pair in PROMPTS.values() for text in pair]
        requested = [{"content": content, "text": text} for content, pair in PROMPTS.items() for text in pair]
    else:
        texts = [prompt["text"] for prompt in prompts]
        requested = [{"number": number, "prompt": prompt} for number, prompt in enumerate(prompts, 1)]
    check_unseen(texts, [*folder.pack("train").texts(), *_other_texts(folder)])
    rng = np.random.default_rng(seed)
    if form == "actions":
        real = real_like(prompts, folder, split, rng)
    else:
        takes = _takes(folder, split, {name: name for name in CONTENTS}, rng)
        for name, clips in takes.items():
            require(
                bool(clips), f"split {split} of {folder.path} has no clip of {name!r}; take another split."
            )
        picked = (
            [(name, clip) for name, clips in takes.items() for clip in clips[:2]]
            if form == "built-in"
            else spread(takes, len(prompts), rng)
        )
        real = [{"content": name, "clip": clip} for name, clip in picked]
    motions = model.generate(texts, seed=seed, best_of=best_of)
    rows: list[Row] = [
        {"kind": "generated", **row, "seed": seed + i, "motion": motion}
        for i, (row, motion) in enumerate(zip(requested, motions, strict=True))
    ]
    for row in real:
        motion = Motion(folder.features(row["clip"]), fps=folder.fps, skeleton=folder.skeleton)
        rows.append({"kind": "real", **row, "motion": motion})
    rows = [rows[i] for i in rng.permutation(len(rows))]
    facts = {"command": command, "device": str(model.device), "seed": seed, "split": split, "fps": folder.fps}
    facts |= {"best_of": best_of} if best_of > 1 else {}
    facts |= {"model": model_hash(model), "data": folder.name, "data_hash": folder.content_hash}
    with atomic_dir(out, mark="key.json") as part:
        _write(part, rows, form, progress)
        write_manifest(part / "manifest.json", facts)
    return Path(out)


def _other_texts(folder: MotionFolder) -> list[str]:
    """Captions of two actions and typed sentences, with which a model is trained beside captions of clips; or []."""
    path = folder.path / COMPOSITIONS_FILE
    table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return [
        text
        for kind in ("then", "while", "typed")
        for texts in table.get(kind, {}).values()
        for text in texts
    ]


def _takes(
    folder: MotionFolder, split: str, names: Mapping[str, str], rng: np.random.Generator, key: str = "content"
) -> dict[str, list[str]]:
    """The clips of each name in random order, one of each take.

    Args:
        names: the name for each value of `key` in a clip's program; clips with other values are left out.
    """
    clips: dict[str, list[str]] = {name: [] for name in names.values()}
    for clip in folder.ids(split):
        value = (folder.program(clip) or {}).get(key, "")
        if value in names:
            clips[names[value]].append(clip)
    for name, ids in clips.items():
        one_per_take = {folder.program(clip)["path"]: clip for clip in rng.permutation(ids).tolist()}
        clips[name] = list(one_per_take.values())
    return clips


def real_like(prompts: list[Row], folder: MotionFolder, split: str, rng: np.random.Generator) -> list[Row]:
    """Rows of the key for as many captured clips as prompts: spread over manners for kind "style", else over actions.

    Synthetic clips are never taken: they have neither an action class nor a style.

    Raises:
        ValueError: there are too few clips.
    """
    known = {name: (name,) for name in ACTIONS} | CLASSES
    action_of = {value: names[0] for value, names in known.items()}
    styled = sum(prompt["kind"] == "style" for prompt in prompts)
    by_manner = _takes(folder, split, STYLES, rng, "style")
    by_manner = {
        name: [clip for clip in clips if folder.program(clip).get("content") in known]
        for name, clips in by_manner.items()
    }
    rows = [(clip, {"manner": [manner], "like": "style"}) for manner, clip in spread(by_manner, styled, rng)]
    taken = {folder.program(clip)["path"] for clip, _ in rows}
    by_action = {
        name: [clip for clip in clips if folder.program(clip)["path"] not in taken]
        for name, clips in _takes(folder, split, action_of, rng).items()
    }
    for action, clip in spread(by_action, len(prompts) - styled, rng):
        rows.append((clip, {"like": "single" if action in CONTENTS else "everyday"}))
    return [
        {"clip": clip, "content": content, "actions": [list(known[content])], **more}
        for clip, more in rows
        for content in [folder.program(clip)["content"]]
    ]


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


def _write(part: Path, rows: list[Row], form: str, progress: bool) -> None:
    """Strips, key, answers to fill in and instructions; for free text also the joints of generated motions."""
    names = [f"{number:03d}" for number in range(1, len(rows) + 1)]
    (part / "strips").mkdir()
    if form != "built-in":
        (part / "motions").mkdir()
    for name, row in zip(names, tqdm(rows, "strips", disable=not progress), strict=True):
        motion = row.pop("motion")
        draw_strip(motion.joints, motion.fps, part / "strips" / f"{name}.png")
        if form != "built-in" and row["kind"] == "generated":
            np.save(part / "motions" / f"{name}.npy", motion.joints)
    (part / "key.json").write_text(json.dumps(dict(zip(names, rows, strict=True)), indent=1))
    (part / "answers.json").write_text(json.dumps(dict.fromkeys(names, ""), indent=1))
    (part / "instructions.md").write_text(instructions(form))


def instructions(form: str) -> str:
    """The instructions for a reader. They differ between built-in prompts, earlier free text and everyday actions."""
    if form == "actions":
        texts = [
            READ,
            READ_ACTIONS,
            "What the person does:\n",
            _choices(ACTIONS | {OTHER: "does none of these"}),
        ]
        return "\n".join(
            [*texts, "\nThe manner:\n", *(f"- `{name}`: {text}" for name, text in MANNERS.items()), ""]
        )
    texts = [READ, READ_ONE] if form == "built-in" else [READ, READ_ONE, READ_FREE]
    return "\n".join(
        [*texts, _choices(CONTENTS if form == "built-in" else CONTENTS | {OTHER: "does none of these"}), ""]
    )


def _choices(names: Mapping[str, str]) -> str:
    return "\n".join(f"- `{name}`: the person {text}" for name, text in names.items())
