"""Chapter 01, data: what is in a data set (tables of clips and words), and plots of a data set and of one clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pandas import DataFrame

from mmm.data.captions import Caption
from mmm.data.folder import MotionFolder
from mmm.motion.features import feature_slices
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.viz.camera import Camera, facing
from mmm.viz.style import ARROW, DARK, HELD_OUT, LEFT, PATH, RIGHT, panels, plain_numbers, rgb, styled

Joints = Float[np.ndarray, "t j 3"]

SPLITS = ("train", "val", "test", "test_compositional")
COMMON_WORDS = set(
    "a an the and then to with in on of at as is are while by his her their he she they it this one "
    "person man woman human figure someone somebody".split()
)
TAGS = {"VERB": "verbs", "NOUN": "nouns", "ADJ": "adjectives", "ADV": "adverbs"}
RANGE = 3.0  # standard deviations at which the colours of the feature map end
NEVER = 1e-4  # a number with a smaller Std practically never changes


# ---------------------------------------------------------------------- tables


def action_classes(program: dict[str, Any] | None, captions: list[Caption]) -> tuple[str, ...]:
    """What a clip shows: the actions of its program in order (synthetic), or the action class of its take (Bandai).

    Of a clip without a program: the verb that most of its captions have. Where captions are not tagged, the most
    frequent of their words that is not a common one.
    """
    if program and "segments" in program:
        actions = [segment[limbs] for segment in program["segments"] for limbs in ("legs", "arms")]
        names = [action["name"] for action in actions if action]
        moves = [name for name in names if name != "stand"]
        return tuple(dict.fromkeys(moves)) or ("stand",)
    if program and "content" in program:
        return (program["content"],)
    words = [pair for caption in captions for pair in caption.words]
    verbs = [word for word, tag in words if tag == "VERB"]
    untagged = [word for word, tag in words if tag == "OTHER" and word not in COMMON_WORDS]
    return tuple(word for word, _ in Counter(verbs or untagged).most_common(1))


def survey_clips(folder: MotionFolder) -> DataFrame:
    """One row per clip of train, val, test (and test_compositional).

    Columns: split, frames, seconds, actions, recording (clips of one recording must not be in two splits), captions
    (how many), metres that the root goes, degrees that the body turns to the left.
    """
    part = feature_slices(folder.skeleton)
    rows = []
    for split in (name for name in SPLITS if name in folder.splits):
        for clip in folder.ids(split):
            features, captions, program = folder.features(clip), folder.captions(clip), folder.program(clip)
            rows.append({
                "clip": clip,
                "split": split,
                "frames": len(features),
                "seconds": len(features) / folder.fps,
                "actions": action_classes(program, captions),
                "recording": (program or {}).get("path", clip),
                "captions": len(captions),
                "metres": float(np.linalg.norm(features[:-1, part["root_linear"]], axis=1).sum()),
                "degrees": float(np.degrees(-2 * features[:-1, part["root_angular"]].sum())),
            })  # fmt: skip
    return DataFrame(rows).set_index("clip")


def survey_words(folder: MotionFolder, split: str = "train") -> DataFrame:
    """How often each (word, part of speech) occurs in the captions of a split, most frequent first.

    The words of captions that are not tagged all have the part of speech OTHER.
    """
    captions = (caption for clip in folder.ids(split) for caption in folder.captions(clip))
    counts = Counter(word for caption in captions for word in caption.words)
    rows = [(word, tag, count) for (word, tag), count in counts.most_common()]
    return DataFrame(rows, columns=["word", "tag", "count"])


def combinations(folder: MotionFolder, split: str) -> Counter[tuple[str, str]]:
    """In how many clips of a split of synthetic data legs and arms do which actions at the same time."""
    pairs: Counter[tuple[str, str]] = Counter()
    for clip in folder.ids(split):
        segments = (folder.program(clip) or {}).get("segments", [])
        pairs.update({(s["legs"]["name"], s["arms"]["name"]) for s in segments if s["arms"]})
    return pairs


# ---------------------------------------------------------------------- plots of a data set


@styled
def plot_clips(clips: DataFrame, shown: int = 24) -> Figure:
    """Lengths of the clips, and how many clips show each action; `clips` is the table of `survey_clips`."""
    actions = clips.actions.explode().value_counts()[:shown]
    figure, (left, right) = panels((11, max(3.2, 0.19 * len(actions) + 0.8)), 1, 2)
    left.hist(clips.seconds, bins=np.arange(0, clips.seconds.max() + 0.5, 0.5), color="C0", edgecolor="white")
    median = clips.seconds.median()
    left.axvline(median, color="black", ls="--", label=f"median {median:.1f} s")
    left.set(xlabel="length, s", ylabel="clips")
    left.set_title(f"{len(clips)} clips, {clips.seconds.sum() / 60:.0f} minutes")
    left.legend()
    _draw_counts(right, actions, "C2", "what the clips show", "clips")
    return figure


@styled
def plot_words(words: DataFrame, shown: int = 14) -> Figure:
    """The most frequent words of four parts of speech, or of all words where none is tagged.

    `words` is the table of `survey_words`.
    """
    parts = {f"{(words.tag == tag).sum()} {name}": words[words.tag == tag] for tag, name in TAGS.items()}
    if not words.tag.isin(TAGS).any():
        starts = range(0, len(TAGS) * shown, shown)
        parts = {f"words {start + 1} to {start + shown}": words[start:] for start in starts}
    figure, axes = panels((11, 3.6), 1, len(parts))
    for ax, (title, part) in zip(axes, parts.items(), strict=True):
        _draw_counts(ax, part.set_index("word")["count"][:shown], "C4", title, "times")
    return figure


def _draw_counts(ax: Axes, counts: pd.Series, colour: str, title: str, label: str) -> None:
    """A bar for each count, the first on top."""
    ax.barh(counts.index, counts, color=colour)
    ax.set(title=title, xlabel=label)
    ax.tick_params(axis="y", labelsize=8)
    ax.margins(y=0.01)
    ax.invert_yaxis()


@styled
def plot_splits(clips: DataFrame, shown: int = 24) -> Figure:
    """How the clips of each action are divided among the splits, in percent, with the numbers of clips."""
    clips = clips.explode("actions")
    counts = pd.crosstab(clips.actions, clips.split)[clips.split.unique()]
    counts = counts.loc[counts.sum(axis=1).sort_values().index[-shown:]]
    figure, ax = panels((9, max(3.0, 0.2 * len(counts) + 0.9)))
    percent = counts.div(counts.sum(axis=1), axis=0) * 100
    percent.plot.barh(stacked=True, ax=ax, width=0.8, edgecolor="white")
    for bars, split in zip(ax.containers, counts, strict=True):
        labels = [str(n) if n else "" for n in counts[split]]
        ax.bar_label(bars, labels=labels, label_type="center", fontsize=7)
    ax.set(title="clips of each action by split", xlabel="ratio, %", ylabel="", xlim=(0, 100))
    ax.tick_params(axis="y", labelsize=8)
    ax.margins(y=0.01)
    ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


@styled
def plot_combinations(
    train: Mapping[tuple[str, str], int], held_out: Mapping[tuple[str, str], int]
) -> Figure:
    """Clips in train by what legs and arms do at once; framed: combinations that only the other split has."""
    legs, arms = (sorted({pair[i] for pair in (*train, *held_out)}) for i in (0, 1))
    counts = DataFrame([[train.get((leg, arm), 0) for arm in arms] for leg in legs], legs, arms)
    numbers = counts.astype(str).replace("0", "")
    figure, ax = panels((8, 0.36 * len(legs) + 1.2))
    for leg, arm in held_out.keys() - train.keys():
        numbers.loc[leg, arm] = f"0 | {held_out[leg, arm]}"
        corner = (arms.index(arm), legs.index(leg))
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=HELD_OUT, lw=2, zorder=2))
    highest = 1.2 * max(1.0, counts.max(axis=None)) ** 0.5
    sns.heatmap(counts**0.5, annot=numbers, fmt="", cmap="Blues", vmin=0, vmax=highest, cbar=False, ax=ax)
    for text in ax.texts:
        text.set_color(HELD_OUT if "|" in text.get_text() else "black")
    ax.set(xlabel="arms", ylabel="legs")
    ax.tick_params(axis="y", rotation=0)
    ax.set_title("clips in train; framed: none in train | in test_compositional")
    return figure


# ---------------------------------------------------------------------- plots of a clip


@styled
def plot_feature_map(
    normalised: Float[np.ndarray, "t d"], fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Figure:
    """All numbers of a clip: time to the right, the D numbers downwards, colour = Stds from the mean.

    The four root numbers and the four contacts get higher rows: otherwise they could not be seen.
    """
    part = feature_slices(skeleton)
    root = slice(part["root_angular"].start, part["root_height"].stop)
    shown = {"root": root} | {k: v for k, v in part.items() if not k.startswith("root")}
    heights = [max(9, (where.stop - where.start) * 0.35) for where in shown.values()]
    figure, axes = panels((10, 7), len(shown), sharex=True, height_ratios=heights)
    figure.get_layout_engine().set(hspace=0.02)
    for ax, (name, where) in zip(axes, shown.items(), strict=True):
        picture = ax.imshow(
            normalised[:, where].T, aspect="auto", cmap="RdBu_r", vmin=-RANGE, vmax=RANGE,
            interpolation="nearest", extent=(0.0, len(normalised) / fps, where.stop, where.start),
        )  # fmt: skip
        ax.set_ylabel(f"{name}\n{where.start}:{where.stop}", rotation=0, ha="right", va="center")
        ax.set_yticks([])
    axes[0].set_title(f"one clip as {normalised.shape[1]} numbers a frame, normalised")
    axes[-1].set_xlabel("time, s")
    figure.colorbar(picture, ax=axes, label="Stds from the mean", shrink=0.5, aspect=30)
    return figure


@styled
def plot_skeleton(joints: Float[np.ndarray, "j 3"], skeleton: str | Skeleton = "humanml3d") -> Figure:
    """One pose (metres), seen by somebody who faces it: every joint with its number, and the list of their names."""
    body = get_skeleton(skeleton)
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    ax, names = figure.subplots(1, 2, width_ratios=[1.6, 1])
    ahead = facing(joints, body)
    x, y = Camera(yaw=float(np.arctan2(ahead[0], ahead[2])), pitch=0.0).project(joints)[:, :2].T
    sides = {joint: rgb(LEFT) for joint in body.left} | {joint: rgb(RIGHT) for joint in body.right}
    for joint, parent in enumerate(body.parents):
        colour = sides.get(joint, rgb(DARK))
        if joint:
            ax.plot(x[[parent, joint]], y[[parent, joint]], color=colour, lw=3, alpha=0.6)
        ax.plot(x[joint], y[joint], "o", color=colour, ms=5)
        away = 7 if joint in body.left else -7
        ax.annotate(
            str(joint), (x[joint], y[joint]), (away, 3), textcoords="offset points", ha="center", fontsize=9
        )
        place = (0.0 + 0.5 * (joint % 2), 1 - joint // 2 / len(body.joints) * 2)
        label = f"{joint} {body.joints[joint].replace('_', ' ')}"
        names.text(*place, label, color=colour, fontsize=9, va="top", transform=names.transAxes)
    ax.set_aspect("equal")
    for each in (ax, names):
        each.set_axis_off()
    return figure


@styled
def plot_root_and_feet(
    features: Float[np.ndarray, "t d"],
    joints: Joints,
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
) -> Figure:
    """What some features hold: the path from above with the facing, turning and speed, feet and contacts."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplot_mosaic([["path", "root"], ["path", "feet"]], width_ratios=[1, 2])
    body, part = get_skeleton(skeleton), feature_slices(skeleton)
    _draw_path(axes["path"], joints, body)
    time = np.arange(len(features)) / fps
    left, right = axes["root"], axes["root"].twinx()
    left.plot(time, np.degrees(-2 * fps * features[:, part["root_angular"]]), color="C4")
    left.set_title("root")
    left.set_ylabel("turning to the left, °/s", color="C4")
    right.plot(time, np.linalg.norm(features[:, part["root_linear"]], axis=1) * fps, color="C2")
    right.set_ylim(bottom=0)
    right.set_ylabel("speed, m/s", color="C2")
    _draw_feet(axes["feet"], features[:, part["contacts"]], joints, time, body)
    return figure


def _draw_path(ax: Axes, joints: Joints, body: Skeleton, every: int = 20) -> None:
    """The root's path from above, with an arrow for the facing in every 20th frame."""
    path = joints[:, 0, [0, 2]]
    ahead = facing(joints[::every], body)[..., [0, 2]]
    ax.plot(*path.T, color=rgb(PATH), lw=2)
    ax.quiver(*path[::every].T, *ahead.T, angles="xy", color=rgb(ARROW), width=0.008, scale=8)
    ax.plot(*path[0], "o", color="white", markeredgecolor="black", label="start")
    _as_map(ax)


def _as_map(ax: Axes) -> None:
    """Equal metres; x grows to the left, where a body that faces up the page (z) has its left hand."""
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.15)
    ax.invert_xaxis()
    ax.set(xlabel="x, m (left at the start)", ylabel="z, m (ahead at the start)", title="the path from above")
    ax.grid(alpha=0.3)


def _draw_feet(ax: Axes, contacts: np.ndarray, joints: Joints, time: np.ndarray, body: Skeleton) -> None:
    """Heights of ankles and feet, and bars below where their contact is 1."""
    for row, (joint, contact) in enumerate(zip(np.ravel(body.feet), contacts.T, strict=True)):
        side, colour = ("left", rgb(LEFT)) if joint in body.left else ("right", rgb(RIGHT))
        name, style = (("ankle", "-"), ("foot", ":"))[row % 2]
        height = joints[: len(time), joint, 1] * 100
        ax.plot(time, height, style, color=colour, lw=1.3, label=f"{side} {name}")
        low, high = -3.5 - 3 * row, -1 - 3 * row
        ax.fill_between(time, low, high, where=contact > 0.5, step="mid", color=colour, lw=0)
    ax.set(xlabel="time, s", ylabel="height, cm")
    ax.set_title("feet: height, and bars where the contact number is 1")
    ax.legend(ncols=4, loc="upper right")
    ax.set_ylim(top=ax.get_ylim()[1] * 1.25)


@styled
def plot_drift(paths: Mapping[str, Joints], truth: str, fps: float = 20.0) -> Figure:
    """Root paths from above, and how far each is from the path named `truth` as time goes on."""
    figure, (above, grows) = panels((11, 4.4), 1, 2, width_ratios=[1, 1.3])
    for number, (name, joints) in enumerate(paths.items()):
        style = {"color": "black", "lw": 3} if name == truth else {"color": f"C{number - 1}", "lw": 1.6}
        above.plot(*joints[:, 0, [0, 2]].T, label=name, zorder=1 if name == truth else 2, **style)
        error = np.linalg.norm(joints - paths[truth], axis=-1).mean(-1) * 100
        grows.plot(np.arange(len(joints)) / fps, error, label=name, **style)
    _as_map(above)
    grows.set(title="mean distance of all joints from the ground truth", xlabel="time, s", ylabel="cm")
    grows.legend()
    return figure


@styled
def plot_spread(
    std: Float[np.ndarray, " d"], grouped: Float[np.ndarray, " d"], skeleton: str = "humanml3d"
) -> Figure:
    """The Std of each number by itself (dots) and averaged within its group (lines), on a logarithmic axis.

    Triangles at the bottom stand for numbers that change less than the axis can show, or not at all.
    """
    floor = 10 ** np.floor(np.log10(std[std > NEVER].min()))
    figure, ax = panels((10, 3.8))
    for number, (name, where) in enumerate(feature_slices(skeleton).items()):
        index, colour = np.arange(where.start, where.stop), f"C{number}"
        low = std[where] < NEVER
        ax.plot(index[~low], std[where][~low], ".", ms=5, color=colour)
        ax.plot(index[low], np.full(low.sum(), floor * 1.15), "v", ms=5, color=colour)
        level = grouped[where.start]
        ax.hlines(level, index[0] - 0.5, index[-1] + 0.5, lw=3, alpha=0.6, color=colour, label=name)
    ax.set(yscale="log", xlabel="number", ylabel="Std (rad, m, m/frame, none)", xlim=(-3, len(std) + 2))
    ax.set_ylim(bottom=floor)
    plain_numbers(ax.yaxis)
    ax.set_title("Std of every number (dots) and of its group (lines)")
    ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure
