"""What is asked of the arms in an upper-body edit, how it is said, and on which legs: for Bandai and synthetic data.

Bandai: waves and raises of either or both hands, on clips that walk, run or turn. No clip of the data set shows both
at once, nor does any text say so: neither the model nor the evaluator has ever met what is asked for, and the oracle's
reading of arms over walking legs can only be tested on made-up motion (`bodies.paste`).
Synthetic: waves, raises and claps, on clips of one action of the legs and none of the arms. Some of these pairs occur
in training, some do not (`mmm.datasets.synthetic.HELD_OUT_PARALLEL`); the tables tell them apart.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from mmm.data import Caption, MotionFolder
from mmm.datasets.bandai_captions import write_captions
from mmm.datasets.synthetic.captions import sentence
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.errors import require
from mmm.evaluation.pools import meaning
from mmm.lab.oracle.bandai import JUDGED
from mmm.lab.oracle.recognition import Recognised

BANDAI_LEGS = (
    "walk",
    "run",
    "dash",
    "walk-turn-left",
    "walk-turn-right",
    "walk-left",
    "walk-right",
    "walk-back",
)
SYNTHETIC_LEGS = ("walk", "walk_curve", "walk_turn", "run", "march")
SIDES = ("left", "right", "both")
FRAMES = 80  # of a made-up program; no caption says it


@dataclass(frozen=True)
class Arms:
    """An action of the arms: name and side in the words of `mmm.datasets.synthetic`, and Bandai's content, if any."""

    name: str
    side: str | None = None
    content: str | None = None

    def __str__(self) -> str:
        hand = {None: "", "both": " both hands"}.get(self.side, f" {self.side} hand")
        return f"{self.name}{hand}"


BANDAI_ARMS = tuple(
    Arms(name, side, content) for content, (name, side) in JUDGED.items() if name in ("raise", "wave")
)
SYNTHETIC_ARMS = (
    *(Arms("wave", side) for side in SIDES),
    *(Arms("raise", side) for side in SIDES),
    Arms("clap"),
)


def arms_of(folder: MotionFolder) -> tuple[Arms, ...]:
    """What can be asked for on this data.

    Raises:
        ValueError: neither Bandai's nor the choreographer's data: nothing says what their clips show.
    """
    require(
        folder.name in ("bandai", "synthetic"),
        f"upper-body edits can be judged on bandai and synthetic data, and {folder.path} is {folder.name}: its clips "
        "do not say what legs and arms do; give one of those.",
    )
    return BANDAI_ARMS if folder.name == "bandai" else SYNTHETIC_ARMS


def legs_of(program: dict) -> str | None:
    """What the legs of a clip do, if they go somewhere and the arms do nothing of their own; else None."""
    if "content" in program:
        return program["content"] if program["content"] in BANDAI_LEGS else None
    if len(program["segments"]) != 1 or program["segments"][0]["arms"]:
        return None
    name = program["segments"][0]["legs"]["name"]
    return name if name in SYNTHETIC_LEGS else None


def shows(program: dict, arms: Arms) -> bool:
    """Whether a clip shows this action of the arms and nothing else."""
    if "content" in program:
        return program["content"] == arms.content
    if len(program["segments"]) != 1:
        return False
    (segment,) = program["segments"]
    found = segment["arms"] or {}
    return segment["legs"]["name"] == "stand" and (found.get("name"), found.get("side")) == (
        arms.name,
        arms.side,
    )


def trained_pairs(folder: MotionFolder, split: str = "train") -> set[tuple[str, str]]:
    """(legs, arms) that a split shows at once."""
    found = set()
    for clip in folder.ids(split):
        for segment in (folder.program(clip) or {}).get("segments", []):
            if segment["arms"] and segment["legs"]["name"] != "stand":
                found.add((segment["legs"]["name"], segment["arms"]["name"]))
    return found


def asked_of_arms(arms: Arms, rng: np.random.Generator) -> tuple[Caption, tuple[Hashable, ...]]:
    """A caption of the arms' action alone, as the data's own grammar writes it, and what it tells."""
    if arms.content:
        told = {"content": arms.content, "style": "normal"}
        return write_captions(arms.content, "normal", rng, 2)[-1], meaning(told, "")
    return _written(Action("stand"), arms, rng)


def asked_of_both(
    program: dict, arms: Arms, rng: np.random.Generator
) -> tuple[Caption, tuple[Hashable, ...]] | None:
    """A caption of the clip's legs and the asked arms at once; None for Bandai, whose grammar has no such thing."""
    if "segments" not in program:
        return None
    return _written(Action(**program["segments"][0]["legs"]), arms, rng)


def _written(legs: Action, arms: Arms, rng: np.random.Generator) -> tuple[Caption, tuple[Hashable, ...]]:
    count = {"wave": 3, "clap": 4}.get(arms.name)
    action = Action(arms.name, side=arms.side, count=count)
    program = Program((Segment(legs, action, 0, FRAMES),), FRAMES, 0)
    return sentence(program, rng), meaning(program.to_dict(), "")


def arms_seen(seen: Recognised, arms: Arms) -> tuple[bool, bool]:
    """(the action was seen, and no other action of the arms was): by plain geometry of the joints."""
    found = {(segment.arms.name, segment.arms.side) for segment in seen.segments if segment.arms}
    if arms.content:  # Bandai's "both hands raised" does not say how, and the oracle may call it a stretch
        found = {("raise" if name == "stretch" else name, side) for name, side in found}
    wanted = (arms.name, arms.side)
    return wanted in found, found == {wanted}
