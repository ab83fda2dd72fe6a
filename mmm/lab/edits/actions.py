"""Actions of the arms for upper-body edits, their captions, and the legs they are put on: Bandai and synthetic data.

Bandai: waves and raises of one or both hands, on clips that walk, run or turn. No clip of the data set shows both at
once and no text says so. Neither the model nor the evaluator has ever met what is requested, and the oracle's reading
of arms over walking legs can only be tested on made-up motion (`bodies.paste`).
Synthetic: waves, raises and claps, on clips with one action of the legs and none of the arms. Some of these pairs occur
in training, some do not (`mmm.datasets.synthetic.HELD_OUT_PARALLEL`); the tables separate them.
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

_TURNS = ("walk-turn-left", "walk-turn-right", "walk-left", "walk-right", "walk-back")
BANDAI_LEGS = ("walk", "run", "dash", *_TURNS)
SYNTHETIC_LEGS = ("walk", "walk_curve", "walk_turn", "run", "march")
SIDES = ("left", "right", "both")
FRAMES = 80  # of a made-up program; captions do not mention it


@dataclass(frozen=True)
class Arms:
    """An action of the arms: name and side in the words of `mmm.datasets.synthetic`, and Bandai's action class."""

    name: str
    side: str | None = None
    action_class: str | None = None

    def __str__(self) -> str:
        hand = {None: "", "both": " both hands"}.get(self.side, f" {self.side} hand")
        return f"{self.name}{hand}"


BANDAI_ARMS = tuple(
    Arms(name, side, action_class)
    for action_class, (name, side) in JUDGED.items()
    if name in ("raise", "wave")
)
SYNTHETIC_ARMS = (*(Arms(name, side) for name in ("wave", "raise") for side in SIDES), Arms("clap"))


def action_classes(folder: MotionFolder) -> tuple[Arms, ...]:
    """The actions of the arms that can be requested on this data.

    Raises:
        ValueError: neither Bandai nor synthetic data: nothing says what the clips show.
    """
    require(
        folder.name in ("bandai", "synthetic"),
        f"upper-body edits can be evaluated on bandai and synthetic data, and {folder.path} is {folder.name}: its "
        "clips do not say what legs and arms do; give one of those.",
    )
    return BANDAI_ARMS if folder.name == "bandai" else SYNTHETIC_ARMS


def legs_of(program: dict) -> str | None:
    """The action of the legs if they go somewhere and the arms have no action of their own, else None."""
    if "content" in program:
        return program["content"] if program["content"] in BANDAI_LEGS else None
    if len(program["segments"]) != 1 or program["segments"][0]["arms"]:
        return None
    name = program["segments"][0]["legs"]["name"]
    return name if name in SYNTHETIC_LEGS else None


def shows(program: dict, arms: Arms) -> bool:
    """Whether a clip shows this action of the arms and nothing else."""
    if "content" in program:
        return program["content"] == arms.action_class
    if len(program["segments"]) != 1:
        return False
    (segment,) = program["segments"]
    action = segment["arms"] or {}
    same = (action.get("name"), action.get("side")) == (arms.name, arms.side)
    return same and segment["legs"]["name"] == "stand"


def trained_pairs(folder: MotionFolder, split: str = "train") -> set[tuple[str, str]]:
    """(legs, arms) that a split shows at once."""
    return {
        (segment["legs"]["name"], segment["arms"]["name"])
        for clip in folder.ids(split)
        for segment in (folder.program(clip) or {}).get("segments", [])
        if segment["arms"] and segment["legs"]["name"] != "stand"
    }


def caption_of_arms(arms: Arms, rng: np.random.Generator) -> tuple[Caption, tuple[Hashable, ...]]:
    """A caption of the arms' action alone, by the data's own grammar, and its meaning."""
    if arms.action_class:
        program = {"content": arms.action_class, "style": "normal"}
        return write_captions(arms.action_class, "normal", rng, 2)[-1], meaning(program, "")
    return _caption(Action("stand"), arms, rng)


def caption_of_both(
    program: dict, arms: Arms, rng: np.random.Generator
) -> tuple[Caption, tuple[Hashable, ...]] | None:
    """A caption of the clip's legs and of the arms; None for Bandai, whose grammar does not combine them."""
    if "segments" not in program:
        return None
    return _caption(Action(**program["segments"][0]["legs"]), arms, rng)


def _caption(legs: Action, arms: Arms, rng: np.random.Generator) -> tuple[Caption, tuple[Hashable, ...]]:
    count = {"wave": 3, "clap": 4}.get(arms.name)
    action = Action(arms.name, side=arms.side, count=count)
    program = Program((Segment(legs, action, 0, FRAMES),), FRAMES, 0)
    return sentence(program, rng), meaning(program.to_dict(), "")


def arms_seen(seen: Recognised, arms: Arms) -> tuple[bool, bool]:
    """(the oracle saw the action, and it saw no other action of the arms)."""
    actions = {(segment.arms.name, segment.arms.side) for segment in seen.segments if segment.arms}
    if arms.action_class:  # "both hands raised" does not say how, and the oracle may call it a stretch
        actions = {("raise" if name == "stretch" else name, side) for name, side in actions}
    requested = (arms.name, arms.side)
    return requested in actions, actions == {requested}
