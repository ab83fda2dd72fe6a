"""The GIF that a visitor sees first: `python figures/showcase.py`, a minute.

hero.gif is at the top of the README. Of each prompt the first of the seeds 0 to 15 is taken whose motion is measured
to be right; what "right" is stands beside the prompt. showcase.json has what was measured, for the seeds that were
refused too. A prompt of which no seed is right is an error, and there is no GIF.

`gifsicle -O3 --lossy=45 --batch figures/tour/hero.gif` (Debian's package gifsicle) then saves a sixth of the bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from jaxtyping import Float
from scipy.signal import find_peaks

from mmm import MMM
from mmm.errors import require
from mmm.evaluation.protocol import model_hash
from mmm.model import SHIPPED
from mmm.motion import Motion, get_skeleton
from mmm.motion.measures import foot_slip, movement
from mmm.sequences import TRANSITION
from mmm.training.run_folder import write_manifest
from mmm.viz.animation import animate_beside
from mmm.viz.camera import UP, facing

SEEDS = 16


class Action(NamedTuple):
    """What is asked for, its frames, and between which numbers each measure has to be (`measured`)."""

    text: str
    frames: int
    limits: dict[str, tuple[float, float]]


def around(median: float, percent: float = 15) -> tuple[float, float]:
    """Limits around the median of real clips."""
    return round(median * (1 - percent / 100), 2), round(median * (1 + percent / 100), 2)


# Medians of Bandai's real clips: 1.21 m/s for 194 walks, 0.79 for elderly ones, 2.83 for runs in normal
# style; they slip by 2 to 12 cm/m. 95 % of its waves have 6 swings or more, of its raised hands at
# most 1. A wave with the hand above the head (130°) is seen from everywhere.
STILL = {"speed": (0, 0.2), "turning": (-20, 20)}
WALKS = {"speed": around(1.21), "turning": (-20, 20), "slip": (0, 15)}
DOWN = (0, 70)  # degrees: an arm that does nothing, or swings with a walk
LEFT_WAVES = {"left_arm": (130, 180), "left_swings": (4, 99), "right_arm": DOWN}
RIGHT_WAVES = {"right_arm": (130, 180), "right_swings": (4, 99), "left_arm": DOWN}
RIGHT_UP = {"right_arm": (100, 180), "left_arm": DOWN}
BOWS = STILL | {"lean": (35, 90)}
HANDS_UP = {"speed": (0, 0.3), "left_arm": (100, 180), "right_arm": (100, 180)}

# Lengths are about those of real clips. The hero's motions start again until its sequence ends, after 240 frames.
HERO = [
    [Action("an old person walks slowly", 120, WALKS | {"speed": around(0.79)})],
    [Action("a person waves with the left hand", 120, LEFT_WAVES | STILL)],
    [Action("a man runs forward", 60, WALKS | {"speed": around(2.83)})],
    [Action("someone bows deeply", 120, BOWS)],
    [Action("a person walks forward while raising the right hand", 80, WALKS | RIGHT_UP)],
    [
        Action("a person walks forward", 110, WALKS | {"speed": around(1.21, 30)}),
        Action("a person raises both hands", 50, HANDS_UP),
        Action("a person waves with the right hand", 80, RIGHT_WAVES | STILL),
    ],
]


def measured(joints: Float[np.ndarray, "t 22 3"]) -> dict[str, float]:
    """`movement`, `foot_slip` (cm/m, 0 on the spot), and how often each raised hand swings aside by 10 cm or more."""
    left = np.cross(UP, facing(joints, get_skeleton("humanml3d")))
    numbers = movement(joints) | {"slip": float(foot_slip(joints).nan_to_num())}
    for side, shoulder, wrist in (("left", 16, 20), ("right", 17, 21)):
        arm = joints[:, wrist] - joints[:, shoulder]
        aside = (arm * left).sum(-1)[arm[:, 1] > 0]
        numbers[f"{side}_swings"] = sum(len(find_peaks(way * aside, prominence=0.1)[0]) for way in (1, -1))
    return numbers


def first_right(model: MMM, actions: Sequence[Action]) -> tuple[Motion | None, dict]:
    """The motion of the first seed that keeps within all limits, if any; and what was measured."""
    texts, frames = [action.text for action in actions], [action.frames for action in actions]
    result = {
        "texts": texts,
        "frames": frames,
        "limits": [action.limits for action in actions],
        "refused": [],
    }
    for seed in range(SEEDS):
        one = len(actions) == 1
        motion = (
            model.generate(texts[0], frames[0], seed) if one else model.generate_long(texts, frames, seed)
        )
        seen = seen_in(motion, actions, TRANSITION * model.tokenizer.config.ratio // 2)
        outside = [
            f"{name} {numbers[name]} (limits {low:g}, {high:g})"
            for action, numbers in zip(actions, seen, strict=True)
            for name, (low, high) in action.limits.items()
            if not low <= numbers[name] <= high
        ]
        if not outside:
            return motion, result | {"seed": seed, "measured": seen}
        result["refused"].append({"seed": seed, "measured": seen, "outside": outside})
    return None, result


def seen_in(motion: Motion, actions: Sequence[Action], seam: int) -> list[dict[str, float]]:
    """What has limits, of each action; the `seam` frames before and after the next one starts belong to both."""
    numbers, start = [], 0
    for action in actions:
        end = start + action.frames
        own = slice(start + seam * (start > 0), end - seam * (end < len(motion)))
        whole = measured(motion.joints[own])
        numbers.append({name: round(whole[name], 2) for name in action.limits})
        start = end
    return numbers


@dataclasses.dataclass
class Arguments:
    """Choose motions that are measured to be right, and make the GIF of the README."""

    model: Path = SHIPPED
    """Model or run folder."""
    out: Path = Path(__file__).parent / "tour"
    """Folder for hero.gif and showcase.json."""

    def run(self, hero: Sequence[Sequence[Action]] = HERO) -> None:
        model = MMM.from_pretrained(self.model)
        chosen = [first_right(model, actions) for actions in hero]
        results = [result for _, result in chosen]
        write_manifest(self.out / "showcase.json", {"model": model_hash(model), "prompts": results})
        wrong = [
            f"{', then '.join(result['texts'])!r}, seed {refused['seed']}: {', '.join(refused['outside'])}"
            for motion, result in chosen
            if motion is None
            for refused in result["refused"]
        ]
        require(
            not wrong, f"no seed below {SEEDS} is right; try other words or lengths:\n" + "\n".join(wrong)
        )
        motions = [motion.every(2) for motion, _ in chosen]  # ten frames a second: half the bytes
        path = animate_beside(motions, self.out / "hero.gif", size=264, columns=3, repeat=True)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    tyro.cli(Arguments).run()
