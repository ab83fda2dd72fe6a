"""Is the evaluator fair? Real motion that is damaged more and more must be rated worse and worse.

    python -m mmm.lab.sanity --data data/bandai --out figures/evaluator-bandai

Five kinds of damage, each in growing doses: noise on the joints, another speed, left and right swapped, shuffled
frames, wrong captions. Beside them real motion as it is, and its split-half FID, the floor for so few clips.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from mmm.data import Caption, MotionFolder, PackedSplit
from mmm.errors import atomic_write
from mmm.evaluation.evaluator import Evaluator, load_evaluator
from mmm.evaluation.metrics import fid, interval, mm_dist, r_precision, split_half_fid
from mmm.evaluation.pools import draw_captions, draw_distractors, embed_clips
from mmm.motion import features_to_joints, joints_to_features
from mmm.motion.mirror import mirror_features
from mmm.training.seeds import step_generator
from mmm.viz.style import small_png

Joints = Float[np.ndarray, "_t j 3"]
REPEATS = 20  # draws of captions, distractors and halves
METRICS = ("fid", "r1", "r3", "mm_dist")
MIN_FRAMES = 8  # of the shortest clip at three times its speed


def add_noise(joints: Joints, centimetres: float, rng: np.random.Generator) -> Joints:
    """Every joint moved by a Gaussian of so many centimetres in each direction, independently in every frame."""
    return joints + rng.normal(0, centimetres / 100, joints.shape)


def change_speed(joints: Joints, factor: float, rng: np.random.Generator) -> Joints:
    """The same movement `factor` times as fast, by linear interpolation."""
    count = max(MIN_FRAMES, round(len(joints) / factor))
    at = np.linspace(0, len(joints) - 1, count)
    low = np.floor(at).astype(int).clip(max=len(joints) - 2)
    weight = (at - low)[:, None, None]
    return joints[low] * (1 - weight) + joints[low + 1] * weight


def shuffle_frames(joints: Joints, seconds: float, rng: np.random.Generator) -> Joints:
    """Frames in random order within intervals of so many seconds (20 fps)."""
    length = max(1, round(20 * seconds))
    order = [
        rng.permutation(np.arange(a, min(a + length, len(joints)))) for a in range(0, len(joints), length)
    ]
    return joints[np.concatenate(order)]


# name: (label, doses from none to much, change of the joints; None where clips or captions are exchanged)
DAMAGES: dict[str, tuple[str, tuple[float, ...], Callable[..., Joints] | None]] = {
    "noise": ("noise on the joints (cm)", (0.0, 1.0, 2.0, 4.0, 8.0), add_noise),
    "speed": ("times as fast", (1.0, 1.25, 1.5, 2.0, 3.0), change_speed),
    "disorder": ("frames shuffled within (s)", (0.0, 0.1, 0.2, 0.4, 0.8), shuffle_frames),
    "mirrored": ("ratio of clips mirrored", (0.0, 0.25, 0.5, 0.75, 1.0), None),
    "captions": ("ratio of wrong captions", (0.0, 0.25, 0.5, 0.75, 1.0), None),
}


@torch.no_grad()
def check_evaluator(
    evaluator: Evaluator,
    folder: MotionFolder,
    split: str = "val",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """All kinds of damage, on the real motion of a split.

    Returns:
        "real": R@1–3 and MM-Dist as [mean, half of the 95 % interval]; "floor": split-half FID, likewise; for each
        damage "dose", "fid", "r1", "r2", "r3", "mm_dist": a number for each dose; "in_order": which of them never
        got better (FID), or never by more than the interval of real motion (the others).
    """
    packed = folder.pack(split)
    clips = [np.asarray(packed.clip(i)) for i in range(len(packed))]
    real = embed_clips(evaluator, clips)
    result: dict[str, Any] = {"evaluator": evaluator.name, "split": split, "clips": len(clips)}
    draws = [_draw(folder, packed, step_generator(seed, repeat)) for repeat in range(REPEATS)]
    plain = [_score(evaluator, draw, real, 0.0) for draw in draws]
    result["real"] = {key: list(interval([each[key] for each in plain])) for key in plain[0]}
    halves = [split_half_fid(real, real, step_generator(seed, i, 1)) for i in range(REPEATS)]
    result["floor"] = list(interval(halves))
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in DAMAGES}
    steps = [(name, dose) for name, (_, doses, _) in DAMAGES.items() for dose in doses]
    for name, dose in tqdm(steps, disable=not progress, unit="dose"):
        wrong, damaged = dose, real  # wrong captions, motion as it is
        if name != "captions":
            wrong, damaged = 0.0, embed_clips(evaluator, damage(clips, name, dose, folder.skeleton, seed))
        scores = [_score(evaluator, draw, damaged, wrong) for draw in draws]
        means = {key: float(np.mean([each[key] for each in scores])) for key in scores[0]}
        rows[name].append({"dose": dose, "fid": fid(real, damaged), **means})
    noise = {"fid": 0.0} | {key: half for key, (_, half) in result["real"].items()}
    for name, of_doses in rows.items():
        series = {key: [row[key] for row in of_doses] for key in of_doses[0]}
        worse = [key for key in METRICS if in_order(series[key], key.startswith("r"), noise[key])]
        result[name] = series | {"in_order": worse}
    return result


def damage(clips: Sequence[np.ndarray], name: str, dose: float, skeleton: str, seed: int) -> list[np.ndarray]:
    """The features (T, D) of the clips with one kind of damage."""
    rng = np.random.default_rng([seed, 7])
    if name == "mirrored":
        chosen = set(rng.permutation(len(clips))[: round(dose * len(clips))].tolist())
        return [mirror_features(clip, skeleton) if i in chosen else clip for i, clip in enumerate(clips)]
    change = DAMAGES[name][2]
    # The features have one frame less, with or without damage.
    changed = (change(features_to_joints(clip, skeleton).astype(np.float64), dose, rng) for clip in clips)
    return [joints_to_features(joints.astype(np.float32), skeleton) for joints in changed]


# One repeat: a caption of each clip, its distractors, and the order in which captions become wrong.
Draw = tuple[list[Caption], Tensor, Tensor]


def _draw(folder: MotionFolder, packed: PackedSplit, generator: torch.Generator) -> Draw:
    captions = draw_captions(packed, generator)
    others = draw_distractors(folder, packed.ids, [caption.text for caption in captions], generator)
    return captions, others, torch.randperm(len(captions), generator=generator)


def _score(evaluator: Evaluator, draw: Draw, motion: Tensor, wrong: float) -> dict[str, float]:
    """R-precision and MM-Dist, with that ratio of the captions wrong."""
    own, others, order = draw
    captions = list(own)
    for i in order[: round(wrong * len(captions))].tolist():
        captions[i] = own[int(others[i, 0])]  # that of a clip which shows something else
    text = evaluator.embed_text(captions).cpu()
    precision = r_precision(text, motion, distractors=others)
    return {f"r{k}": value for k, value in enumerate(precision, 1)} | {"mm_dist": mm_dist(text, motion)}


def in_order(values: Sequence[float], falling: bool, noise: float = 0.0) -> bool:
    """Is every dose worse, or at least not better by more than `noise`, and the last one clearly worse?"""
    steps = np.diff(values) * (-1 if falling else 1)
    return bool((steps >= -noise).all() and steps.sum() > 10 * noise)


def plot_sanity(result: dict[str, Any]) -> Figure:
    """FID above, R-precision below, against the dose of each damage."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    axes = figure.subplots(2, len(DAMAGES), sharex="col")  # FID has its own scale in each panel
    for column, (name, (label, _, _)) in enumerate(DAMAGES.items()):
        series, (above, below) = result[name], axes[:, column]
        above.plot(series["dose"], series["fid"], "o-", color="C3")
        for key, color in (("r1", "C0"), ("r3", "C2")):
            below.plot(series["dose"], series[key], "o-", color=color, label=f"R@{key[1]}")
        below.set(xlabel=label, ylim=(0, 1.03))
        top = max(1.0, *series["fid"])
        above.set(title=name, ylim=(-0.05 * top, 1.05 * top))
    axes[0, 0].set(ylabel="FID")
    axes[1, 0].set(ylabel="R-precision")
    axes[1, 0].legend()
    figure.suptitle(
        f"Real motion, damaged: evaluator {result['evaluator']}, {result['clips']} clips of {result['split']}"
    )
    return figure


@dataclasses.dataclass
class Arguments:
    """Check an evaluator on real motion that is damaged more and more; writes sanity.json and sanity.png."""

    data: Path
    """A data folder."""
    out: Path
    """Folder for the figure and the numbers."""
    evaluator: Path | None = None
    """Folder of the evaluator; by default the shipped one for the data set."""
    split: str = "val"
    """Whose clips."""
    seed: int = 0
    """Of captions, distractors and damage."""

    def run(self) -> None:
        folder = MotionFolder.open(self.data)
        result = check_evaluator(
            load_evaluator(folder, self.evaluator), folder, self.split, self.seed, progress=True
        )
        self.out.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.out / "sanity.json") as part:
            part.write_text(json.dumps(result, indent=1))
        with atomic_write(self.out / "sanity.png") as part:
            part.write_bytes(small_png(plot_sanity(result)))
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    tyro.cli(Arguments).run()
