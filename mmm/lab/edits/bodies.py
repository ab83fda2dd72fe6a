"""Upper-body edits of held-out clips: do the legs stay, do the arms do what the text says, and what does it cost?

A clip that walks, runs or turns keeps its lower body; a text describes an action of the arms (`actions.py`). For each
pair of a clip and an action the edits by guidance are compared with the unedited clip (the floor: how often is the
action seen without an edit?), with a real clip of the action (the ceiling of oracle and evaluator), with a motion
generated from the text alone, and with the upper body of the real clip pasted onto the legs, which needs no model.
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
    action_classes,
    arms_seen,
    caption_of_arms,
    caption_of_both,
    legs_of,
    shows,
    trained_pairs,
)
from mmm.lab.edits.held_out import HeldOut
from mmm.lab.edits.metrics import paired, summarise, world
from mmm.lab.oracle.recognition import recognise
from mmm.model import MMM
from mmm.motion import get_skeleton, measures
from mmm.motion.measures import CENTIMETRES
from mmm.motion.trajectory import Trajectory, put_together, take_apart
from mmm.tokenizer.parts import LOWER_JOINTS

GUIDANCE = (0.0, 1.0, 2.0, 4.0)  # 0 does not read the text
METRICS = ("done", "only", "r1", "r3", "lower_error", "moved", "jerk", "skating")

Described = tuple[Caption, tuple[Hashable, ...]]  # a caption and its meaning


@dataclass(frozen=True)
class Pair:
    """One edit: clip number `clip`, whose legs do `legs`, gets the action `arms`.

    Attributes:
        number: of the pair; it seeds its text and its noise. program: of the clip.
        text: of the arms alone. both: of legs and arms, None for Bandai.
        donor: features of a real clip that shows the action. trained: whether training shows both at once.
    """

    number: int
    clip: int
    legs: str
    arms: Arms
    text: Described
    both: Described | None
    donor: Float[np.ndarray, "_n d"]
    trained: bool


def draw_pairs(held: HeldOut) -> list[Pair]:
    """`config.clips` random pairs of all held-out clips that walk, run or turn with all actions of the arms.

    The real clip of the action comes from the split, or from train if the split has none.

    Raises:
        ValueError: data that do not say what they show, no such clips, or an action that no clip shows.
    """
    folder, seed = held.folder, held.config.seed
    arms, trained = action_classes(folder), trained_pairs(folder)
    programs = [folder.program(name) or {} for name in held.packed.ids]
    legs = [legs_of(program) if program else None for program in programs]
    held.choose(np.array([name is not None for name in legs]))  # refuses a split without any
    every = [(clip, a) for clip, name in enumerate(legs) if name for a in range(len(arms))]
    order = torch.randperm(len(every), generator=held.generator("pairs")).tolist()
    donors = [_donors(held, action) for action in arms]
    pairs = []
    for clip, a in sorted(every[i] for i in order[: held.config.clips]):
        number = clip * len(arms) + a
        rng = np.random.default_rng([seed, number])
        text = caption_of_arms(arms[a], rng)
        donor = np.array(folder.features(donors[a][int(rng.integers(len(donors[a])))]), np.float32)
        both = caption_of_both(programs[clip], arms[a], np.random.default_rng([seed, number, 1]))
        known = (legs[clip], arms[a].name) in trained
        pairs.append(Pair(number, clip, legs[clip], arms[a], text, both, donor, known))
    return pairs


def _donors(held: HeldOut, arms: Arms) -> list[str]:
    """Clips of the split that show the action of the arms, or else clips of train."""
    for names in (held.packed.ids, held.folder.ids("train")):
        donors = [name for name in names if shows(held.folder.program(name) or {"segments": []}, arms)]
        if donors:
            return donors
    raise ValueError(
        f"no clip of {held.folder.path} shows {str(arms)!r} and nothing else; take a larger data set."
    )


def paste(
    legs: Float[np.ndarray, "t d"], donor: Float[np.ndarray, "n d"], skeleton: str = "humanml3d"
) -> Float[np.ndarray, "t d"]:
    """The lower body of one clip with the upper body of another, in the facing frame, at the height of its root.

    The middle of the donor meets the middle of the clip. If the donor is shorter, its first and last poses are held.
    """
    source = torch.from_numpy(np.array(legs))
    lower, upper = take_apart(source, skeleton), take_apart(torch.from_numpy(np.array(donor)), skeleton)
    frames = (torch.arange(len(lower)) + (len(upper) - len(lower)) // 2).clamp(0, len(upper) - 1)
    joints = [j for j in range(lower.poses.shape[1]) if j not in LOWER_JOINTS]
    poses, arms = lower.poses.clone(), upper.poses[frames]
    poses[:, joints] = arms[:, joints]
    poses[:, joints, 1] += lower.poses[:, :1, 1] - arms[:, :1, 1]
    result = put_together(Trajectory(poses, lower.half_heading, lower.path), skeleton).float()
    kept = torch.stack([torch.zeros(len(source)), torch.ones(len(source))]).bool()
    restore_kept(result, source, kept, skeleton)
    return result.numpy()


def body_numbers(
    source: Float[np.ndarray, "t d"],
    result: Float[np.ndarray, "n d"],
    arms: Arms,
    fps: float = 20.0,
    skeleton: str = "humanml3d",
    on_legs: bool = True,
) -> dict[str, float]:
    """Metrics of one edit.

    Args:
        source: the clip that was edited. result: the edit, or a motion that is compared with it.
        on_legs: `result` should have the legs of `source`.
    Returns:
        done: the oracle sees the action; only: and no other action of the arms (1 or 0). lower_error: the largest
        distance of any joint of the lower body in any frame from the source's, cm; moved: mean distance of the upper
        body's joints, cm (both NaN for a motion on other legs). jerk: mean over joints and frames, m/s³. skating.
    """
    joints, real = world(result, skeleton), world(source, skeleton)
    done, only = arms_seen(recognise(joints.numpy(), fps), arms)
    lower = list(LOWER_JOINTS)
    upper = [j for j in range(joints.shape[1]) if j not in lower]
    distance = torch.full(real.shape[:2], torch.nan, dtype=torch.float64)
    if on_legs:
        distance = (joints - real).norm(dim=-1) * CENTIMETRES[get_skeleton(skeleton).unit]
    return {
        "done": float(done),
        "only": float(only),
        "lower_error": float(distance[:, lower].max()),
        "moved": float(distance[:, upper].mean()),
        "jerk": float(measures.jerk(joints, fps, skeleton)[0]),
        "skating": float(measures.foot_skating(joints, fps, skeleton)),
    }


def edit_pair(
    model: MMM, held: HeldOut, pair: Pair, guidance: Sequence[float]
) -> dict[str, tuple[Float[np.ndarray, "_t d"], Described]]:
    """Method → features and the text that belongs to them.

    Methods: unedited, real, pasted, text alone (not for a model that predicts only the upper body), "edited, guidance
    G", and "edited, both told" (synthetic: the text describes legs and arms).
    """
    motion, text = held.motion(pair.clip), pair.text[0].text
    source = np.asarray(motion.features, np.float32)
    options: dict[str, Any] = held.config.sampler() | {"seed": held.noise(pair.number)}
    options.pop("guidance", None)
    results = {
        "unedited": (source, pair.text),
        "real": (pair.donor, pair.text),
        "pasted": (paste(source, pair.donor, held.folder.skeleton), pair.text),
    }
    if model.transformer.config.predicted_parts == 2:
        alone = model.generate(text, min(len(source), model.max_frames), **options)
        results["text alone"] = (alone.features, pair.text)
    for g in guidance:
        edited = model.edit_upper_body(motion, text, guidance=g, **options)
        results[f"edited, guidance {g:g}"] = (edited.features, pair.text)
    if pair.both:
        edited = model.edit_upper_body(motion, pair.both[0].text, **options)
        results["edited, both told"] = (edited.features, pair.both)
    return results


def evaluate_bodies(
    model: MMM, held: HeldOut, guidance: Sequence[float] = GUIDANCE, progress: bool = True
) -> pd.DataFrame:
    """Edit the upper body of each pair's clip by each method.

    Returns:
        a row for each pair and method: pair (its number), id, legs, arms, trained, text, method, the METRICS.
    Raises:
        ValueError: a model without body parts; as `draw_pairs`.
    """
    require(
        model.tokenizer.config.parts == 2,
        "upper-body edits need a model with 2 body parts, and this one has one code for the whole body; train a "
        "tokenizer with --parts 2.",
    )
    rows, fps, skeleton = [], held.folder.fps, held.folder.skeleton
    for pair in tqdm(draw_pairs(held), "upper body", unit="pair", disable=not progress):
        source = np.asarray(held.packed.clip(pair.clip), np.float32)
        about = {"pair": pair.number, "id": held.packed.ids[pair.clip], "legs": pair.legs}
        about |= {"arms": str(pair.arms), "trained": pair.trained}
        for method, (features, text) in edit_pair(model, held, pair, guidance).items():
            on_legs = method not in ("real", "text alone")
            numbers = body_numbers(source, features, pair.arms, fps, skeleton, on_legs)
            numbers |= held.query(pair.number, *text).hits(held.embed(features))
            rows.append({**about, "text": text[0].text, "method": method, **numbers})
    return pd.DataFrame(rows)


def body_tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means with 95 % intervals over pairs (those of one clip are not independent: intervals are a little too small).

    Returns:
        methods: by method. trained: by whether training shows legs and arms at once, and method. arms: by action and
        method. seen: how often the action is seen, a row for each action, a column for each method, and the number of
        pairs. less: how much smaller a metric is than the unedited clip's (`metrics.paired`).
    """
    methods = list(rows["method"].unique())
    pairs = [(method, "unedited") for method in methods if method != "unedited"]
    seen = rows.pivot_table("done", "arms", "method", sort=False)[methods].rename_axis(columns=None)
    seen.insert(0, "pairs", rows.groupby("arms", sort=False)["pair"].nunique())
    return {
        "methods": summarise(rows, ("method",), METRICS),
        "seen": seen,
        "trained": summarise(rows, ("trained", "method"), METRICS),
        "arms": summarise(rows, ("arms", "method"), ("done", "only", "r1")),
        "less": pd.DataFrame(paired(rows, "pair", pairs, METRICS)),
    }
