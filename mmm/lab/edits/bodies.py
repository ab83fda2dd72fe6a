"""Upper-body edits of held-out clips: do the legs stay, do the arms do what the text asks, and what does it cost?

A clip that walks, runs or turns keeps its lower body; a text asks for something of the arms (`actions.py`). Beside the
edits by guidance stand, pair by pair: the clip unedited (the floor: how often is the action "seen" that nobody asked
for?), a real clip of the action (the ceiling of oracle and evaluator), a motion generated from the text alone, and the
upper body of that real clip pasted onto the legs, for which no model is needed.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from tqdm import tqdm

from mmm.data import Caption
from mmm.editing import restore_kept
from mmm.errors import require
from mmm.lab.edits.actions import (
    Arms,
    arms_of,
    arms_seen,
    asked_of_arms,
    asked_of_both,
    legs_of,
    shows,
    trained_pairs,
)
from mmm.lab.edits.clips import HeldOut
from mmm.lab.edits.judge import Judge
from mmm.lab.edits.measures import paired, summarise, world
from mmm.lab.oracle.recognition import recognise
from mmm.model import MMM
from mmm.motion import get_skeleton, measures
from mmm.motion.measures import CENTIMETRES
from mmm.motion.trajectory import Trajectory, put_together, take_apart
from mmm.tokenizer import parts

GUIDANCE = (0.0, 1.0, 2.0, 4.0)  # 0 does not read the text: what the legs alone let the arms do
MEASURES = ("done", "only", "r1", "r3", "lower_error", "moved", "jerk", "skating")


@dataclass(frozen=True)
class Pair:
    """One edit: clip number `clip`, whose legs do `legs`, is to do `arms`.

    Attributes:
        number: of the pair, which draws its text and its noise. program: of the clip.
        donor: features of a real clip that shows the action. trained: whether training shows both at once.
    """

    number: int
    clip: int
    legs: str
    program: dict
    arms: Arms
    text: Caption
    told: tuple[Hashable, ...]
    donor: Float[np.ndarray, "_n d"]
    trained: bool


def draw_pairs(held: HeldOut, count: int | None = None) -> list[Pair]:
    """`count` pairs at random of all held-out clips that go somewhere with all actions of the arms.

    A real clip of the action comes from the split, or from train where the split has none.

    Raises:
        ValueError: data that do not say what they show, no such clips, or an action that no clip shows.
    """
    folder, arms = held.folder, arms_of(held.folder)
    programs = [folder.program(name) or {} for name in held.packed.ids]
    legs = [legs_of(program) if program else None for program in programs]
    held.choose(np.array([name is not None for name in legs]))  # refuses a split without any
    require(count is None or count >= 1, f"clips is {count}; give 1 or more, or nothing for all.")
    every = [(c, a) for c, name in enumerate(legs) if name for a in range(len(arms))]
    order = torch.randperm(len(every), generator=held.generator("pairs")).tolist()
    trained = trained_pairs(folder)
    donors = [_donors(held, action, programs) for action in arms]
    found = []
    for clip, a in sorted(every[i] for i in order[:count]):
        number = clip * len(arms) + a
        rng = np.random.default_rng([held.seed, number])
        text, told = asked_of_arms(arms[a], rng)
        donor = np.array(folder.features(donors[a][int(rng.integers(len(donors[a])))]), np.float32)
        known = (str(legs[clip]), arms[a].name) in trained
        found.append(Pair(number, clip, str(legs[clip]), programs[clip], arms[a], text, told, donor, known))
    return found


def _donors(held: HeldOut, arms: Arms, programs: Sequence[dict]) -> list[str]:
    own = [name for name, p in zip(held.packed.ids, programs, strict=True) if p and shows(p, arms)]
    found = own or [
        n for n in held.folder.ids("train") if shows(held.folder.program(n) or {"segments": []}, arms)
    ]
    require(
        bool(found),
        f"no clip of {held.folder.path} shows {str(arms)!r} and nothing else; take a larger data set.",
    )
    return found


def paste(
    legs: Float[np.ndarray, "t d"], donor: Float[np.ndarray, "n d"], skeleton: str = "humanml3d"
) -> Float[np.ndarray, "t d"]:
    """The lower body of one clip with the upper body of another, as it faces, riding on the lower one's root.

    The middle of the donor meets the middle of the clip; where it is shorter, its first and last poses are held.
    """
    source = torch.from_numpy(np.array(legs))
    lower, upper = take_apart(source, skeleton), take_apart(torch.from_numpy(np.array(donor)), skeleton)
    frames = (torch.arange(len(lower)) + (len(upper) - len(lower)) // 2).clamp(0, len(upper) - 1)
    joints = [j for j in range(lower.poses.shape[1]) if j not in parts.LOWER_JOINTS]
    poses, arms = lower.poses.clone(), upper.poses[frames]
    poses[:, joints] = arms[:, joints]
    poses[:, joints, 1] += lower.poses[:, :1, 1] - arms[:, :1, 1]
    result = put_together(Trajectory(poses, lower.heading, lower.path), skeleton).float()
    kept = torch.stack([torch.zeros(len(source)), torch.ones(len(source))]).bool()
    restore_kept(result, source, kept, skeleton)
    return result.numpy()


def body_numbers(
    source: Float[np.ndarray, "t d"],
    made: Float[np.ndarray, "n d"],
    arms: Arms,
    fps: float = 20.0,
    skeleton: str = "humanml3d",
    on_legs: bool = True,
) -> dict[str, float]:
    """What is measured of one edit.

    Args:
        source: the clip that was edited. made: the result, or another motion that stands beside it.
        on_legs: `made` has the legs of `source`, or should have.
    Returns:
        done: the oracle sees the action; only: and no other of the arms (1 or 0). lower_error: the largest distance
        of any joint of the lower body in any frame from the source's, cm; moved: mean distance of the upper body's
        joints, cm (both NaN for a motion on other legs). jerk: mean over joints and frames, m/s³. skating.
    """
    joints, true = world(made, skeleton), world(source, skeleton)
    done, only = arms_seen(recognise(joints.numpy(), fps), arms)
    lower = list(parts.LOWER_JOINTS)
    upper = [j for j in range(joints.shape[1]) if j not in lower]
    apart = torch.full(true.shape[:2], torch.nan, dtype=torch.float64)
    if on_legs:
        apart = (joints - true).norm(dim=-1) * CENTIMETRES[get_skeleton(skeleton).unit]
    return {
        "done": float(done),
        "only": float(only),
        "lower_error": float(apart[:, lower].max()),
        "moved": float(apart[:, upper].mean()),
        "jerk": float(measures.jerk(joints, fps, skeleton)[0]),
        "skating": float(measures.foot_skating(joints, fps, skeleton)),
    }


def measure_bodies(
    model: MMM,
    judge: Judge,
    guidance: Sequence[float] = GUIDANCE,
    count: int | None = None,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Edit the upper body of each pair's clip in each way, and measure it.

    Args:
        guidance: values to try. options: of the sampler, but for guidance.
        count: pairs; all by default.
    Returns:
        a row for each pair and method: pair (its number), id, legs, arms, trained, text, method, the MEASURES.
        Methods: unedited, real, text alone (not for a model that predicts only the upper body), pasted,
        "edited, guidance G", and "edited, both told" (synthetic: the text says what the legs do as well).
    Raises:
        ValueError: a model without body parts; as `draw_pairs`.
    """
    require(
        model.tokenizer.config.parts == 2,
        "upper-body edits need a model with 2 body parts, and this one has one code for the whole body; train a "
        "tokenizer with --parts 2.",
    )
    held, rows = judge.held, []
    for pair in tqdm(draw_pairs(held, count), "upper body", unit="pair", disable=not progress):
        motion = held.motion(pair.clip)
        source = np.asarray(motion.features, np.float32)
        both = asked_of_both(pair.program, pair.arms, np.random.default_rng([held.seed, pair.number, 1]))
        made = {
            "unedited": (source, pair.text, pair.told),
            "real": (pair.donor, pair.text, pair.told),
            "pasted": (paste(source, pair.donor, held.folder.skeleton), pair.text, pair.told),
        }
        how = {"seed": held.noise(pair.number), **options}
        if model.transformer.config.predicted == 2:
            length = min(len(source), model.max_frames)
            made["text alone"] = (
                _features(model.generate(pair.text.text, length, **how)),
                pair.text,
                pair.told,
            )
        for g in guidance:
            edited = model.edit_upper_body(motion, pair.text.text, guidance=g, **how)
            made[f"edited, guidance {g:g}"] = (_features(edited), pair.text, pair.told)
        if both:
            edited = model.edit_upper_body(motion, both[0].text, **how)
            made["edited, both told"] = (_features(edited), *both)
        about = {
            "pair": pair.number,
            "id": held.packed.ids[pair.clip],
            "legs": pair.legs,
            "arms": str(pair.arms),
        }
        for method, (features, text, told) in made.items():
            own = method not in ("real", "text alone")
            numbers = body_numbers(
                source, features, pair.arms, held.folder.fps, held.folder.skeleton, on_legs=own
            )
            hits = judge.found(judge.embed([features]), [text], [told], [pair.number])
            numbers |= {name: float(value[0]) for name, value in hits.items()}
            rows.append({**about, "trained": pair.trained, "text": text.text, "method": method, **numbers})
    return pd.DataFrame(rows)


def _features(motion: Any) -> np.ndarray:
    return np.asarray(motion.features, np.float32)


def body_tables(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means with 95 % intervals over pairs (those of one clip are not independent: intervals are a little too small).

    Returns:
        methods: by method. trained: by whether training shows legs and arms at once, and method. arms: by action and
        method. seen: how often the action is seen, a row for each action, a column for each method, and the number of
        pairs. less: paired differences, how much smaller a measure is than the unedited clip's (`measures.paired`).
    """
    pairs = [(m, "unedited") for m in table["method"].unique() if m != "unedited"]
    names = list(table["method"].unique())
    seen = table.pivot_table("done", "arms", "method", sort=False)[names].rename_axis(columns=None)
    seen.insert(0, "pairs", table.groupby("arms", sort=False)["pair"].nunique())
    return {
        "methods": summarise(table, ("method",), MEASURES),
        "seen": seen,
        "trained": summarise(table, ("trained", "method"), MEASURES),
        "arms": summarise(table, ("arms", "method"), ("done", "only", "r1")),
        "less": paired(table.assign(all="all"), ("all",), "pair", pairs, MEASURES).drop(columns="all"),
    }
