"""Chapter 07, evaluation: does a model do the right action at every length, or only at those of its training clips?

Captions of each action class get motions of 0.3 to 2 times the length that the model estimates for them. The oracle
(`mmm.lab.oracle.bandai`) says whether a motion shows the action; a bow is recognised by the trunk's lean. The
recogniser is checked first, on real clips of the same lengths: walks, runs and turns are cut at their end, the other
actions are played faster or slower. Where it is not right on these, it says nothing about generated motions either.

    python -m mmm.lab.by_length --data data/bandai --model data/pretrained/bandai-small --out runs/by-length
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.interpolate import interp1d

from mmm.data import MotionFolder
from mmm.errors import atomic_write, require
from mmm.evaluation.protocol import model_hash
from mmm.lab.oracle.bandai import JUDGED, right
from mmm.lab.oracle.recognition import recognise
from mmm.lab.oracle.scoring import counted
from mmm.model import MIN_FRAMES, MMM, SHIPPED
from mmm.motion import features_to_joints, measures
from mmm.training.run_folder import write_manifest
from mmm.viz.style import DASHED, panels, small_png, styled

Joints = Float[np.ndarray, "_t 22 3"]

FACTORS = (0.3, 0.6, 0.8, 1.0, 1.2, 1.4, 2.0)
BOW = (20.0, 0.3)  # a bow leans by so many degrees or more, and stays below so many m/s
# action class → the panel that it belongs to
ACTIONS = {name: question for name, (question, _) in JUDGED.items()} | {
    "walk-back": "walk back",
    "bow": "bow",
}
GAITS = ("walk", "run", "walk back", "turn")  # which go on, so that a part of them shows them too


def shows(joints: Joints, action_class: str, fps: float = 20.0) -> bool:
    """Whether a motion shows an action class of ACTIONS. A walk backward is no walk here."""
    if action_class == "bow":
        least, most = BOW
        return bool(measures.lean(joints) >= least and measures.root_speed(joints, fps) < most)
    seen = recognise(joints, fps)
    return bool(right(seen, action_class)) and not (action_class == "walk" and right(seen, "walk-back"))


def at_length(joints: Joints, factor: float, action: str) -> Joints | None:
    """A real motion of `factor` times its length; None for a gait that would have to go on."""
    frames = max(MIN_FRAMES, round(factor * len(joints)))
    if action in GAITS:
        return joints[:frames] if factor <= 1 else None
    times = np.linspace(0, len(joints) - 1, frames)
    return interp1d(np.arange(len(joints)), joints, axis=0)(times)


def captions_by_class(folder: MotionFolder, split: str, count: int) -> dict[str, list[str]]:
    """`count` different captions of each class of ACTIONS in the split: first those that stand first with their clips.

    Raises:
        ValueError: the split has no clip of such a class.
    """
    found: dict[str, dict[int, list[str]]] = {}
    for clip, name in _clips(folder, split):
        for order, caption in enumerate(folder.captions(clip)):
            found.setdefault(name, {}).setdefault(order, []).append(caption.text)
    texts = {name: [text for order in sorted(rows) for text in rows[order]] for name, rows in found.items()}
    return {name: list(dict.fromkeys(texts[name]))[:count] for name in ACTIONS if name in texts}


def _clips(folder: MotionFolder, split: str) -> list[tuple[str, str]]:
    """Id and class of the clips whose class is in ACTIONS."""
    pairs = [(clip, (folder.program(clip) or {}).get("content")) for clip in folder.ids(split)]
    pairs = [(clip, name) for clip, name in pairs if name in ACTIONS]
    require(
        pairs,
        f"{folder.path} has no clip of an action class such as {next(iter(ACTIONS))} in {split}; give a folder that "
        "`mmm prepare bandai` wrote.",
    )
    return pairs


def real_by_length(folder: MotionFolder, split: str, factors: Sequence[float] = FACTORS) -> dict[str, Any]:
    """How often the recogniser is right on real clips: as they are ("whole"), and by length.

    Returns:
        action → {"whole": {"right", "judged", "share"}, "0.6": {…}, …}, gaits without the factors above 1.
    """
    verdicts: dict[str, dict[str, list[bool]]] = {}
    for clip, name in _clips(folder, split):
        joints, action = np.asarray(features_to_joints(folder.features(clip)), np.float64), ACTIONS[name]
        rows = verdicts.setdefault(action, {})
        rows.setdefault("whole", []).append(shows(joints, name, folder.fps))
        for factor in factors:
            changed = at_length(joints, factor, action)
            if changed is not None:
                rows.setdefault(f"{factor:g}", []).append(shows(changed, name, folder.fps))
    return {
        action: {key: counted(values) for key, values in rows.items()} for action, rows in verdicts.items()
    }


def generated_by_length(
    model: MMM,
    texts: Mapping[str, Sequence[str]],
    factors: Sequence[float] = FACTORS,
    seeds: Sequence[int] = (0, 1, 2, 3),
    **options: Any,
) -> dict[str, Any]:
    """How often generated motions show the action of their caption, by length.

    Args:
        texts: captions by action class. factors: of the estimated length; the result stays within MIN_FRAMES and the
            model's longest. options: of the sampler, and batch_size.
    Returns:
        action → factor → {"right", "judged", "share", "frames", "speed"} (medians; m/s).
    """
    pairs = [(name, text) for name, several in texts.items() for text in several]
    lengths = model.estimate_length([text for _, text in pairs])
    items = [
        (name, text, factor, int(np.clip(round(factor * length), MIN_FRAMES, model.max_frames)), seed)
        for factor in factors
        for (name, text), length in zip(pairs, lengths, strict=True)
        for seed in seeds
    ]
    motions = model.generate_bulk(
        model.embed([text for _, text, *_ in items]),
        [frames for *_, frames, _ in items],
        [seed for *_, seed in items],
        **options,
    )
    fps, rows = model.info["fps"], {}
    for (name, _, factor, frames, _), features in zip(items, motions, strict=True):
        joints = np.asarray(features_to_joints(features), np.float64)
        numbers = (shows(joints, name, fps), frames, float(measures.root_speed(joints, fps)))
        rows.setdefault(ACTIONS[name], {}).setdefault(f"{factor:g}", []).append(numbers)
    return {
        action: {factor: _summary(numbers) for factor, numbers in by_factor.items()}
        for action, by_factor in rows.items()
    }


def _summary(numbers: Sequence[tuple[bool, int, float]]) -> dict[str, Any]:
    verdicts, frames, speeds = zip(*numbers, strict=True)
    medians = {"frames": float(np.median(frames)), "speed": round(float(np.median(speeds)), 3)}
    return counted(verdicts) | medians


@styled
def plot_by_length(result: Mapping[str, Any]) -> Figure:
    """A panel for each action: share of right motions by length, generated (line) and real (dashed)."""
    actions = list(result["generated"])
    figure, axes = panels((1.6 * len(actions) + 0.4, 2.3), 1, len(actions), sharey=True, squeeze=False)
    for ax, action in zip(axes[0], actions, strict=True):
        for kind, style in (("real", DASHED), ("generated", {"color": "C3", "marker": "o", "markersize": 4})):
            rows = {key: row for key, row in result[kind].get(action, {}).items() if key != "whole"}
            ax.plot(
                [float(key) for key in rows], [row["share"] for row in rows.values()], **style, label=kind
            )
        ax.set(title=action, ylim=(-0.04, 1.04))
    axes[0, 0].set(ylabel="share that shows the action")
    axes[0, 0].legend(loc="lower left")
    figure.supxlabel("length, times the estimated one (real: times its own)", fontsize=9)
    return figure


@dataclasses.dataclass
class Arguments:
    """Right actions by length, real and generated; writes by_length.json, by_length.png and manifest.json."""

    data: Path
    """A data folder of Bandai-Namco's data."""
    out: Path
    """Folder for the figure and the numbers."""
    model: Path = SHIPPED
    """Model or run folder; the shipped model by default."""
    split: str = "val"
    """Whose captions, and whose clips to check the recogniser on."""
    captions: int = 4
    """Of each action class."""
    seeds: int = 4
    """Motions of each caption and length."""
    factors: tuple[float, ...] = FACTORS
    """Of the estimated length."""
    guidance: float | None = None
    """How closely to follow the text; by default the model's own."""

    def run(self) -> None:
        require(
            min(self.captions, self.seeds) >= 1 and min(self.factors, default=0) > 0,
            f"captions are {self.captions}, seeds {self.seeds}, factors {self.factors}; expected 1 or more of each, "
            "and factors above 0.",
        )
        folder, model = MotionFolder.open(self.data), MMM.from_pretrained(self.model)
        texts = captions_by_class(folder, self.split, self.captions)
        options = {} if self.guidance is None else {"guidance": self.guidance}
        result = {
            "model": model_hash(model),
            "data": folder.name,
            "content_hash": folder.content_hash,
            "split": self.split,
            "captions": texts,
            "seeds": self.seeds,
            **options,
            "real": real_by_length(folder, self.split, self.factors),
            "generated": generated_by_length(model, texts, self.factors, range(self.seeds), **options),
        }
        write_manifest(self.out / "manifest.json", {"model": result["model"], "data": folder.content_hash})
        with atomic_write(self.out / "by_length.json") as part:
            part.write_text(json.dumps(result, indent=1) + "\n")
        with atomic_write(self.out / "by_length.png") as part:
            part.write_bytes(small_png(plot_by_length(result)))
        print(as_text(result))


def as_text(result: Mapping[str, Any]) -> str:
    """The shares in percent, for a terminal."""
    lines = []
    for kind in ("real", "generated"):
        for action, rows in result[kind].items():
            cells = [f"{key} {100 * row['share']:.0f} % of {row['judged']}" for key, row in rows.items()]
            lines.append(f"{kind:<10} {action:<10} " + "   ".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(Arguments).run()
