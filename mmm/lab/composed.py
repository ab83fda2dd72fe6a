"""Chapter 07, evaluation: does a model do two actions, one after the other or both at once?

The texts (composed.json) are in everyday wording and no captions of the data, so that sampler and training can be
tuned on them without readers. A motion is right if both actions are seen, "then" in their order:

    then   a cut exists before which the motion shows the first action, and after which it shows the second. Where the
           legs go, no arm is up for most of the time; where arms or trunk act, the legs stand.
    while  the motion shows both actions, and the arms are up for most of the time in which the body moves.

What a piece shows is said by `mmm.lab.by_length.shows`. With `--data` the rules are checked first: joined real clips
and real arms on real legs have to be found; single clips, the other order and the other kind must not.

    python -m mmm.lab.composed --model data/pretrained/bandai-small --data data/bandai --out runs/composed
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tyro
from jaxtyping import Bool, Float

from mmm.data import MotionFolder
from mmm.data.captions import mirror_text
from mmm.errors import require
from mmm.evaluation.protocol import model_hash
from mmm.lab.by_length import ACTIONS, GAITS, Joints, shows
from mmm.lab.edits.bodies import paste
from mmm.lab.oracle.scoring import counted
from mmm.model import MIN_FRAMES, MMM, SHIPPED
from mmm.motion import HUMANML3D, features_to_joints, measures, mirror_joints
from mmm.training.run_folder import write_json, write_manifest

Texts = Mapping[str, Mapping[str, Sequence[str]]]  # kind → "first|second" → texts

TEXTS = Path(__file__).with_suffix(".json")
CANVAS = 196  # frames: pairs of real clips are made as short as what one canvas holds
STEP = 4  # frames between the cuts that are tried
STANDS = 0.3  # m/s: real raises, waves and bows of Bandai's val stay below 0.12, its walks above 0.45
UP = 60.0  # degrees of shoulder → wrist from hanging
MOST = 0.5  # of the frames; real raises are up in 0.54 or more of theirs, arms of real walks in 0.38 or less


# ---------------------------------------------------------------------- the rules


def verdict(joints: Joints, kind: str, pair: str, fps: float = 20.0) -> dict[str, bool]:
    """Whether a motion does "first|second": right, and whether each of the two is seen where it may be.

    Returns:
        {"right", "first", "second"}; with both seen, "then" is wrong if they overlap or come in the other order, and
        "while" is wrong if the arms are mostly down while the body moves.
    """
    first, second = pair.split("|")
    if kind == "while":
        seen = [shows(joints, first, fps), shows(joints, second, fps)]
        return {"right": all(seen) and _along(joints, second), "first": seen[0], "second": seen[1]}
    cuts = range(MIN_FRAMES, len(joints) - MIN_FRAMES + 1, STEP)
    before = [_alone(joints[:cut], first, fps) for cut in cuts]
    after = [_alone(joints[cut:], second, fps) for cut in cuts]
    right = any(a and b for a, b in zip(before, after, strict=True))
    return {"right": right, "first": any(before), "second": any(after)}


def _alone(joints: Joints, action: str, fps: float) -> bool:
    """Whether a piece shows the action and, of legs and arms, only the one that it is about."""
    stands = bool(measures.root_speed(joints, fps) < STANDS)
    if ACTIONS[action] in GAITS:
        return not stands and bool((_up(joints).mean(0) < MOST).all()) and shows(joints, action, fps)
    return stands and shows(joints, action, fps)


def _along(joints: Joints, arms: str) -> bool:
    """Whether the arms that the action is about are up for most of the time in which the body moves."""
    steps = np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0, prepend=joints[:1, 0, [0, 2]]), axis=-1)
    speed = np.convolve(steps, np.ones(20) / 20, mode="same")  # over a second
    moving = speed >= speed.mean() / 2
    sides = [side for side, name in enumerate(("left", "right")) if name in arms or "both" in arms]
    return bool(_up(joints)[moving][:, sides].all(1).mean() >= MOST)


def _up(joints: Joints) -> Bool[np.ndarray, "_t 2"]:
    """In which frames the left and the right arm are up."""
    return measures.arm_elevation(joints[:, None]).numpy() > UP


# ---------------------------------------------------------------------- made-up truth


def joined(first: Joints, second: Joints) -> Joints:
    """The second motion after the first: it starts where the first ends, and faces the same way."""
    angle = _heading(first[-1]) - _heading(second[0])
    sin, cos = np.sin(angle), np.cos(angle)
    turned = second @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return np.concatenate([first, turned + (first[-1, 0] - turned[0, 0]) * [1, 0, 1]])


def _heading(pose: Float[np.ndarray, "22 3"]) -> float:
    """The direction that a pose faces, radians from z+, positive to the left."""
    right_hip, left_hip, right_shoulder, left_shoulder = HUMANML3D.face
    across = pose[right_hip] - pose[left_hip] + pose[right_shoulder] - pose[left_shoulder]
    return float(np.arctan2(across[2], -across[0]))


def arms_on_legs(legs: Float[np.ndarray, "t d"], arms: Float[np.ndarray, "n d"]) -> Joints:
    """The upper body of one clip on the legs of another; the middle third of shorter arms is held longer."""
    n, third = len(arms), len(arms) // 3
    if n < len(legs):
        middle = np.linspace(third, n - third - 1, len(legs) - 2 * third).round().astype(int)
        arms = arms[np.r_[:third, middle, n - third : n]]
    return np.asarray(features_to_joints(paste(legs, arms)), np.float64)


def check_rules(
    folder: MotionFolder, split: str, texts: Texts, count: int = 12, seed: int = 0
) -> dict[str, dict[str, dict[str, Any]]]:
    """How often each pair is seen in motions made of `count` random pairs of real clips.

    Returns:
        kind → pair → {"made": of this very pair, and what is not the pair: "first" and "second" alone, "swapped" (the
        other order), "mirrored", "other kind"}, each with how many are taken for the pair.
    Raises:
        ValueError: the split has no clip of an action.
    """
    clips: dict[str, list[np.ndarray]] = {}
    for clip in folder.ids(split):
        clips.setdefault((folder.program(clip) or {}).get("content", ""), []).append(folder.features(clip))
    rng, rates = np.random.default_rng(seed), {kind: {} for kind in texts}
    for which, pair in [(which, pair) for which, pairs in texts.items() for pair in pairs]:
        for name in pair.split("|"):
            require(name in clips, f"{folder.path} has no clip of {name} in {split}; give another split.")
        seen: dict[str, list[bool]] = {}
        for _ in range(count):
            drawn = [clips[name][int(rng.integers(len(clips[name])))] for name in pair.split("|")]
            for name, motion in _made(which, pair, drawn).items():
                seen.setdefault(name, []).append(verdict(motion, which, pair, folder.fps)["right"])
        rates[which][pair] = {name: counted(values) for name, values in seen.items()}
    return rates


def _made(kind: str, pair: str, drawn: Sequence[np.ndarray]) -> dict[str, Joints]:
    """What `check_rules` shows to the rules, of features of a clip of each action."""
    goes = [ACTIONS[name] in GAITS for name in pair.split("|")]
    joints = [np.asarray(features_to_joints(features), np.float64) for features in drawn]
    room = [max(2 * MIN_FRAMES, CANVAS - len(other)) for other in reversed(joints)]
    first = joints[0][-room[0] :] if goes[0] else joints[0]
    second = joints[1][: room[1]] if goes[1] else joints[1]
    made = {"then": joined(first, second)}
    if any(name.startswith(("wave", "raise")) for name in pair.split("|")):
        legs, arms = drawn if goes[0] else reversed(drawn)
        made["while"] = arms_on_legs(legs, arms)
    result = {"made": made.pop(kind), "first": joints[0], "second": joints[1]}
    if kind == "then":
        result["swapped"] = joined(second, first)
    if mirror_text(pair) != pair:
        result["mirrored"] = mirror_joints(result["made"])
    for motion in made.values():
        result["other kind"] = motion
    return result


# ---------------------------------------------------------------------- a model


def measure(model: MMM, texts: Texts, seeds: int = 4, long: bool = False, **options: Any) -> dict[str, Any]:
    """How often generated motions of the estimated length do both actions.

    Args:
        seeds: motions of each text. long: "then" by `MMM.generate_long`, one canvas for each action.
        options: of the sampler.
    Returns:
        kind → pair, and last "all" → {"right", "judged", "share", "first", "second", "frames"}: the shares in which
        each action is seen, and the median length.
    """
    result: dict[str, dict[str, Any]] = {}
    for kind, pairs in texts.items():
        rows: dict[str, list[dict[str, float]]] = {}
        items = [(pair, text, n) for pair, several in pairs.items() for text in several for n in range(seeds)]
        words, noise = [text for _, text, _ in items], [seed for *_, seed in items]
        if long and kind == "then":
            motions = [
                model.generate_long(a, seed=n, **options).features for a, n in zip(words, noise, strict=True)
            ]
        else:
            lengths = [int(np.clip(n, MIN_FRAMES, model.max_frames)) for n in model.estimate_length(words)]
            motions = model.generate_bulk(model.embed(words), lengths, noise, **options)
        for (pair, *_), features in zip(items, motions, strict=True):
            joints = np.asarray(features_to_joints(np.asarray(features)), np.float64)
            found = {**verdict(joints, kind, pair, model.info["fps"]), "frames": len(joints)}
            rows.setdefault(pair, []).append(found)
        rows["all"] = [found for several in rows.values() for found in several]
        result[kind] = {pair: _summary(found) for pair, found in rows.items()}
    return result


def _summary(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    parts = {name: round(float(np.mean([row[name] for row in found])), 4) for name in ("first", "second")}
    return counted(row["right"] for row in found) | parts | {"frames": median(row["frames"] for row in found)}


@dataclasses.dataclass
class Arguments:
    """Two actions in one text, "then" and "while"; writes composed.json and manifest.json."""

    out: Path
    """Folder for the numbers."""
    model: Path = SHIPPED
    """Model or run folder; the shipped model by default."""
    data: Path | None = None
    """A data folder of Bandai-Namco's data; with it the rules are checked first on its clips (a few minutes)."""
    split: str = "val"
    """Whose clips."""
    pairs: int = 12
    """Made-up motions of each two actions, for this check."""
    seeds: int = 4
    """Motions of each text."""
    long: bool = False
    """Only the "then" texts, with one canvas for each action, not one for both."""
    guidance: float | None = None
    """How closely to follow the text; by default the model's own."""
    steps: int | None = None
    """Passes of the sampler."""
    temperature: float | None = None
    """Of the sampler."""

    def run(self) -> None:
        least = min(self.seeds, self.pairs)
        require(least >= 1, f"seeds is {self.seeds}, pairs {self.pairs}; expected 1 or more of each.")
        model, texts = MMM.from_pretrained(self.model), json.loads(TEXTS.read_text(encoding="utf-8"))
        if self.long:
            texts = {"then": texts["then"]}  # nothing changes for the others
        chosen = {name: getattr(self, name) for name in ("guidance", "steps", "temperature")}
        options = {name: value for name, value in chosen.items() if value is not None}
        result: dict[str, Any] = {
            "model": model_hash(model),
            "seeds": self.seeds,
            "long": self.long,
            **options,
        }
        if self.data is not None:
            folder = MotionFolder.open(self.data)
            result |= {"data": folder.name, "content_hash": folder.content_hash, "split": self.split}
            result["rules"] = check_rules(folder, self.split, texts, self.pairs)
        result["generated"] = measure(model, texts, self.seeds, self.long, **options)
        facts = {name: value for name, value in result.items() if name not in ("rules", "generated")}
        write_manifest(self.out / "manifest.json", facts)
        write_json(self.out / "composed.json", {**result, "texts": texts})
        print(as_text(result))


def as_text(result: Mapping[str, Any]) -> str:
    """The tables, in percent, for a terminal."""
    lines = []
    for kind, pairs in result.get("rules", {}).items():
        for pair, row in pairs.items():
            cells = [f"{name} {one['right']} of {one['judged']}" for name, one in row.items()]
            lines.append(f"real       {kind:<6}{pair:<36}" + "   ".join(cells))
    for kind, pairs in result["generated"].items():
        for pair, row in pairs.items():
            parts = f"first {100 * row['first']:3.0f} %  second {100 * row['second']:3.0f} %  {row['frames']:g} frames"
            lines.append(f"generated  {kind:<6}{pair:<36}{row['right']:>4} of {row['judged']:<4} {parts}")
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(Arguments).run()
