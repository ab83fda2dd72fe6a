"""Recognisable? Generated film strips, shuffled with as many real ones, named by readers who did not make them.

DESIGN.md, "Measures": a reader sees numbered strips without their prompts and gives each one of the contents; the
confusion table is the figure. The prompts are phrased as no training caption is, which `make_strips` checks.

    python -m mmm.evaluation.blind make --model data/pretrained/bandai-small --data data/bandai --out runs/blind
    python -m mmm.evaluation.blind score --strips runs/blind --answers READER_1.json --answers READER_2.json
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import tyro
from tqdm import tqdm

from mmm.data import MotionFolder, mirror_text
from mmm.errors import atomic_dir, atomic_write, check_replaceable, require
from mmm.motion import Motion
from mmm.motion.draw import film_strip
from mmm.pipeline import MMM

# What a reader may answer. The first ten are data set 2's, the others have 12 training takes each.
CONTENTS = {
    "walk": "walks straight ahead",
    "run": "runs or jogs straight ahead",
    "walk-turn-left": "walks and turns to their own left",
    "walk-turn-right": "walks and turns to their own right",
    "raise-up-left-hand": "raises the left hand or arm, without waving it",
    "raise-up-right-hand": "raises the right hand or arm, without waving it",
    "raise-up-both-hands": "raises both hands or arms, without waving them",
    "wave-left-hand": "waves with the left hand, arm raised high",
    "wave-right-hand": "waves with the right hand, arm raised high",
    "wave-both-hands": "waves with both hands, arms raised high",
    "walk-back": "walks backwards",
    "walk-left": "walks sideways or diagonally to their own left, without turning that way",
    "walk-right": "walks sideways or diagonally to their own right, without turning that way",
    "dash": "sprints, as fast as possible",
    "bow": "bows",
    "bye": "says goodbye with a small wave of one hand",
    "guide": "shows somebody the way with one arm held out low",
}

PROMPTS = {
    "walk": ("a man goes for a walk", "somebody walks along a path"),
    "run": ("a jogger runs along", "a man is out for a run"),
    "walk-turn-left": ("a man walks and then makes a left", "someone walks before turning toward the left"),
    "walk-turn-right": (
        "a man walks and then makes a right",
        "someone walks before turning toward the right",
    ),
    "raise-up-left-hand": (
        "someone puts the left arm in the air",
        "a pupil raises his left hand to ask a question",
    ),
    "raise-up-right-hand": (
        "someone puts the right arm in the air",
        "a pupil raises his right hand to ask a question",
    ),
    "raise-up-both-hands": ("someone puts the two hands in the air", "a man lifts up both of his arms"),
    "wave-left-hand": (
        "someone says hi by waving the left hand",
        "a man is waving at a friend with his left arm",
    ),
    "wave-right-hand": (
        "someone says hi by waving the right hand",
        "a man is waving at a friend with his right arm",
    ),
    "wave-both-hands": (
        "someone says hi by waving two hands",
        "a man is waving at a friend with both of his arms",
    ),
    "walk-back": ("a man goes backward step by step", "someone is moving back on foot"),
    "walk-left": ("a man steps to his left side", "someone moves leftward with sideways steps"),
    "walk-right": ("a man steps to his right side", "someone moves rightward with sideways steps"),
    "dash": ("a man sprints at full tilt", "someone runs really fast"),
    "bow": ("a man bows to show respect", "someone bows to the audience"),
    "bye": ("a man waves goodbye to his friends", "a person gives a goodbye wave"),
    "guide": ("a man shows a guest the way", "someone leads a visitor with the right arm"),
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Of strips of one kind ("generated" or "real"): right answers and strips per content, and what was confused."""

    right: dict[str, int]
    total: dict[str, int]
    confusion: dict[tuple[str, str], int]  # (content, answer) → strips

    def of(self, contents: list[str]) -> tuple[int, int]:
        """Right answers and strips of some contents together."""
        return sum(self.right[c] for c in contents), sum(self.total[c] for c in contents)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def check_unseen(prompts: list[str], captions: list[str]) -> None:
    """Raise ValueError if a prompt, in letters alone, is a training caption or the mirror image of one."""
    seen = {_plain(text) for caption in captions for text in (caption, mirror_text(caption))}
    known = [prompt for prompt in prompts if _plain(prompt) in seen]
    require(
        not known,
        f"the prompt {known[:1]} is a training caption; judge with phrasings the model has not seen.",
    )


def make_strips(
    model: MMM,
    folder: MotionFolder,
    out: str | os.PathLike,
    seed: int = 0,
    split: str = "val",
    progress: bool = True,
) -> Path:
    """Write strips/001.png …, answers.json to fill in, instructions.md for the reader, and key.json (not for them).

    Two prompts of each content are generated with the model's own length estimate and default options, seeds
    `seed`, `seed` + 1, …, one try each; of each content two clips (one where
    there is no second) are taken at random from `split`, not two of one take.

    Raises:
        ValueError: a prompt is a training caption, `split` has no clip of a content, or `out` holds a judgement or
            something else.
    """
    require(
        not (Path(out) / "key.json").exists(), f"{out} holds strips and perhaps answers; name another folder."
    )
    check_replaceable(out, mark="key.json")
    check_unseen([p for pair in PROMPTS.values() for p in pair], folder.pack("train").texts())
    texts = [(content, prompt) for content, pair in PROMPTS.items() for prompt in pair]
    rows = [
        {"kind": "generated", "content": content, "text": prompt, "seed": seed + i, "motion": motion}
        for i, ((content, prompt), motion) in enumerate(
            zip(texts, model.generate([prompt for _, prompt in texts], seed=seed), strict=True)
        )
    ]
    rng = np.random.default_rng(seed)
    clips: dict[str, list[str]] = {content: [] for content in CONTENTS}
    for clip in folder.ids(split):
        clips.get((folder.program(clip) or {}).get("content", ""), []).append(clip)
    for content, ids in clips.items():
        require(bool(ids), f"split {split} of {folder.path} has no clip of {content!r}; take another split.")
        one_per_take = {folder.program(clip)["path"]: clip for clip in rng.permutation(ids).tolist()}
        for clip in list(one_per_take.values())[:2]:
            motion = Motion(folder.features(clip), fps=folder.fps, skeleton=folder.skeleton)
            rows.append({"kind": "real", "content": content, "clip": str(clip), "motion": motion})
    rows = [rows[i] for i in rng.permutation(len(rows))]
    with atomic_dir(out, mark="key.json") as part:
        (part / "strips").mkdir()
        for number, row in enumerate(tqdm(rows, "strips", disable=not progress), 1):
            figure = film_strip(
                Motion.from_joints(row.pop("motion").joints), part / "strips" / f"{number:03d}.png", 9
            )
            plt.close(figure)
        names = [f"{number:03d}" for number in range(1, len(rows) + 1)]
        (part / "key.json").write_text(json.dumps(dict(zip(names, rows, strict=True)), indent=1))
        (part / "answers.json").write_text(json.dumps(dict.fromkeys(names, ""), indent=1))
        choices = "\n".join(f"- `{content}`: the person {told}" for content, told in CONTENTS.items())
        (part / "instructions.md").write_text(
            "Each strips/NNN.png shows one person, time going on from left to right. Left limbs are blue, right limbs\n"
            "orange; the green arrow says where the person faces. Give each the one name that fits best, in\n"
            f"answers.json. Every name may come any number of times.\n\n{choices}\n"
        )
    return Path(out)


def score(strips: str | os.PathLike, answers: list[str | os.PathLike]) -> dict[str, Verdict]:
    """Verdicts of the "generated" and the "real" strips; of several readers the most frequent answer counts.

    With a tie the first reader's answer counts.

    Raises:
        ValueError: a strip has no answer, or one that is not a content.
    """
    key = json.loads((Path(strips) / "key.json").read_text())
    readers = [json.loads(Path(path).read_text()) for path in answers]
    verdicts = {}
    for kind in ("generated", "real"):
        right, total, confusion = Counter(), Counter(), Counter()
        for name, row in key.items():
            given = [reader.get(name, "") for reader in readers]
            wrong = [answer for answer in given if answer not in CONTENTS]
            require(
                not wrong, f"strip {name} has the answer {wrong[:1]}, expected one of {', '.join(CONTENTS)}."
            )
            if row["kind"] == kind:
                answer = Counter(given).most_common(1)[0][0]
                total[row["content"]] += 1
                right[row["content"]] += answer == row["content"]
                confusion[row["content"], answer] += 1
        verdicts[kind] = Verdict(
            {c: right[c] for c in CONTENTS}, {c: total[c] for c in CONTENTS}, dict(confusion)
        )
    return verdicts


def draw_confusion(verdicts: dict[str, Verdict], path: str | os.PathLike) -> None:
    """Both confusion tables side by side: rows what was asked for (or performed), columns what was seen."""
    names = list(CONTENTS)
    figure, axes = plt.subplots(1, 2, figsize=(17, 8), sharey=True, layout="constrained")
    for axis, (kind, verdict) in zip(axes, verdicts.items(), strict=True):
        table = np.array([[verdict.confusion.get((row, column), 0) for column in names] for row in names])
        sns.heatmap(
            table,
            annot=np.where(table > 0, table.astype(str), ""),
            fmt="",
            cmap="Blues",
            cbar=False,
            ax=axis,
            xticklabels=names,
            yticklabels=names,
            linewidths=0.5,
            linecolor="0.9",
        )
        right, total = verdict.of(names)
        axis.set(title=f"{kind}: {right} of {total} recognised", xlabel="the reader saw")
    axes[0].set_ylabel("asked for (generated) or performed (real)")
    with atomic_write(path) as part:
        figure.savefig(part, dpi=80)
    plt.close(figure)


@dataclasses.dataclass
class Make:
    """Write numbered strips for a reader, and the key."""

    model: Path
    data: Path
    out: Path = Path("runs/blind")
    seed: int = 0

    def run(self) -> None:
        out = make_strips(MMM.from_pretrained(self.model), MotionFolder.open(self.data), self.out, self.seed)
        print(f"{out}: give instructions.md and strips/ to a reader, keep key.json to yourself")


@dataclasses.dataclass
class Score:
    """Compare readers' answers with the key; writes result.json and confusion.png beside it."""

    strips: Path
    answers: tyro.conf.UseAppendAction[tuple[Path, ...]]

    def run(self) -> None:
        verdicts = score(self.strips, list(self.answers))
        names = list(CONTENTS)
        result = {
            kind: {"contents 1-10": v.of(names[:10]), "contents 11-17": v.of(names[10:]), "right": v.right}
            for kind, v in verdicts.items()
        }
        with atomic_write(self.strips / "result.json") as part:
            part.write_text(json.dumps(result, indent=1))
        draw_confusion(verdicts, self.strips / "confusion.png")
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    sub = tyro.conf.subcommand
    tyro.cli(
        tyro.conf.OmitSubcommandPrefixes[Annotated[Make, sub("make")] | Annotated[Score, sub("score")]]
    ).run()
