"""Chapter 01, data: plots of a data set (clips, words, splits) and of one clip (feature map, path, feet, drift)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmm.motion.features import feature_slices
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.viz.camera import facing
from mmm.viz.style import ARROW, HELD_OUT, LEFT, PATH, RIGHT, panels, plain_numbers, rgb

if TYPE_CHECKING:
    from pandas import DataFrame

Joints = Float[np.ndarray, "t j 3"]

TAGS = {"VERB": "verbs", "NOUN": "nouns", "ADJ": "adjectives", "ADV": "adverbs"}
RANGE = 3.0  # standard deviations at which the colours of the feature map end
NEVER = 1e-4  # a number with a smaller Std practically never changes


def plot_clips(clips: DataFrame, shown: int = 24) -> Figure:
    """Lengths of the clips, and how many clips show each action; `clips` is the table of `survey_clips`."""
    actions = clips.actions.explode().value_counts()[:shown]
    figure, (left, right) = panels((11, max(3.2, 0.19 * len(actions) + 0.8)), 1, 2)
    left.hist(clips.seconds, bins=np.arange(0, clips.seconds.max() + 0.5, 0.5), color="C0", edgecolor="white")
    median = float(clips.seconds.median())
    left.axvline(median, color="black", ls="--", label=f"median {median:.1f} s")
    left.set(title=f"{len(clips)} clips, {clips.seconds.sum() / 60:.0f} minutes", xlabel="length, s")
    left.set_ylabel("clips")
    left.legend(frameon=False)
    right.barh(actions.index[::-1], actions.to_numpy()[::-1], color="C2")
    right.set(title="what the clips show", xlabel="clips")
    right.tick_params(axis="y", labelsize=8)
    right.margins(y=0.01)
    return figure


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
        top = part[:shown][::-1]
        ax.barh(top.word, top["count"], color="C4")
        ax.set(title=title, xlabel="times")
        ax.tick_params(axis="y", labelsize=9)
    return figure


def plot_splits(clips: DataFrame, shown: int = 24) -> Figure:
    """How the clips of each action are divided among the splits, in percent, with the numbers of clips."""
    table = clips.explode("actions").groupby(["actions", "split"]).size().unstack(fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values().index[-shown:], list(dict.fromkeys(clips.split))]
    percent = table.div(table.sum(axis=1), axis=0) * 100
    figure, ax = panels((9, max(3.0, 0.2 * len(table) + 0.9)))
    percent.plot.barh(stacked=True, ax=ax, width=0.8, color=[f"C{i}" for i in range(4)], edgecolor="white")
    for bars, split in zip(ax.containers, table.columns, strict=True):
        counts = [str(n) if n else "" for n in table[split]]
        ax.bar_label(bars, labels=counts, label_type="center", fontsize=7)
    ax.set(title="clips of each action by split", xlabel="ratio, %", ylabel="", xlim=(0, 100))
    ax.tick_params(axis="y", labelsize=8)
    ax.margins(y=0.01)
    ax.legend(ncols=len(table.columns), frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def plot_combinations(
    train: Mapping[tuple[str, str], int], held_out: Mapping[tuple[str, str], int]
) -> Figure:
    """Clips in train by what legs and arms do at once; framed: combinations that only the other split has."""
    legs, arms = (sorted({pair[i] for pair in (*train, *held_out)}) for i in (0, 1))
    counts = np.array([[train.get((leg, arm), 0) for arm in arms] for leg in legs])
    figure, ax = panels((8, 0.36 * len(legs) + 1.2))
    ax.imshow(np.sqrt(counts), cmap="Blues", aspect="auto", vmax=1.2 * max(1.0, counts.max() ** 0.5))
    for row, leg in enumerate(legs):
        for column, arm in enumerate(arms):
            text, colour = str(counts[row, column] or ""), "black"
            if (leg, arm) in held_out and (leg, arm) not in train:
                text, colour = f"0 | {held_out[leg, arm]}", HELD_OUT
                corner = (column - 0.5, row - 0.5)
                ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=HELD_OUT, lw=2))
            ax.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    ax.set_xticks(range(len(arms)), arms)
    ax.set_yticks(range(len(legs)), legs)
    ax.set(xlabel="arms", ylabel="legs")
    ax.set_title("clips in train; framed: none in train | in test_compositional")
    return figure


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
    grid = {"height_ratios": heights, "hspace": 0.02}
    figure, axes = panels((10, 7), len(shown), 1, sharex=True, gridspec_kw=grid)
    extent = (0.0, len(normalised) / fps)
    for ax, (name, where) in zip(axes, shown.items(), strict=True):
        picture = ax.imshow(
            normalised[:, where].T, aspect="auto", cmap="RdBu_r", vmin=-RANGE, vmax=RANGE,
            interpolation="nearest", extent=(*extent, where.stop, where.start),
        )  # fmt: skip
        ax.set_ylabel(f"{name}\n{where.start}:{where.stop}", rotation=0, ha="right", va="center")
        ax.set_yticks([])
    axes[0].set_title(f"one clip as {normalised.shape[1]} numbers a frame, normalised")
    axes[-1].set_xlabel("time, s")
    figure.colorbar(picture, ax=axes, label="Stds from the mean", shrink=0.5, aspect=30)
    return figure


def plot_root_and_feet(
    features: Float[np.ndarray, "t d"],
    joints: Joints,
    fps: float = 20.0,
    skeleton: str | Skeleton = "humanml3d",
) -> Figure:
    """What some features hold: the path from above with the facing, turning and speed, feet and contacts."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 2])
    path, root, feet = (figure.add_subplot(cell) for cell in (grid[:, 0], grid[0, 1], grid[1, 1]))
    _draw_path(path, joints, skeleton)
    part = feature_slices(skeleton)
    _draw_root(root, features[:, part["root_angular"]][:, 0], features[:, part["root_linear"]], fps)
    _draw_feet(feet, features[:, part["contacts"]], joints, fps, skeleton)
    return figure


def _draw_path(ax: Axes, joints: Joints, skeleton: str | Skeleton, every: int = 20) -> None:
    """The root's path from above, with an arrow for the facing in every 20th frame."""
    path = joints[:, 0, [0, 2]]
    ahead = facing(joints[::every], get_skeleton(skeleton))[..., [0, 2]]
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


def _draw_root(ax: Axes, angular: np.ndarray, linear: np.ndarray, fps: float) -> None:
    """Turning (left axis) and speed (right axis) from the root's features."""
    time = np.arange(len(angular)) / fps
    ax.plot(time, np.degrees(-2 * fps * angular), color="C4")
    ax.set(title="root", ylabel="turning to the left, °/s")
    ax.yaxis.label.set_color("C4")
    right = ax.twinx()
    right.plot(time, np.linalg.norm(linear, axis=1) * fps, color="C2")
    right.set_ylim(bottom=0)
    right.set_ylabel("speed, m/s", color="C2")


def _draw_feet(ax: Axes, contacts: np.ndarray, joints: Joints, fps: float, skeleton: str | Skeleton) -> None:
    """Heights of ankles and feet, and bars below where their contact is 1."""
    body = get_skeleton(skeleton)
    time = np.arange(len(contacts)) / fps
    for row, (joint, contact) in enumerate(zip(np.ravel(body.feet), contacts.T, strict=True)):
        side, colour = ("left", rgb(LEFT)) if joint in body.left else ("right", rgb(RIGHT))
        name, style = (("ankle", "-"), ("foot", ":"))[row % 2]
        height = joints[: len(time), joint, 1] * 100
        ax.plot(time, height, style, color=colour, lw=1.3, label=f"{side} {name}")
        low, high = -3.5 - 3 * row, -1 - 3 * row
        ax.fill_between(time, low, high, where=contact > 0.5, step="mid", color=colour, lw=0)
    ax.set(
        title="feet: height, and bars where the contact number is 1", xlabel="time, s", ylabel="height, cm"
    )
    ax.legend(fontsize=8, frameon=False, ncols=4, loc="upper right")
    ax.set_ylim(top=ax.get_ylim()[1] * 1.25)


def plot_drift(paths: Mapping[str, Joints], truth: str, fps: float = 20.0) -> Figure:
    """Root paths from above, and how far each is from the path named `truth` as time goes on."""
    figure, (above, grows) = panels((11, 4.4), 1, 2, gridspec_kw={"width_ratios": [1, 1.3]})
    for number, (name, joints) in enumerate(paths.items()):
        style = {"color": "black", "lw": 3} if name == truth else {"color": f"C{number - 1}", "lw": 1.6}
        above.plot(*joints[:, 0, [0, 2]].T, label=name, zorder=1 if name == truth else 2, **style)
        error = np.linalg.norm(joints - paths[truth], axis=-1).mean(-1) * 100
        grows.plot(np.arange(len(joints)) / fps, error, label=name, **style)
    _as_map(above)
    grows.set(title="mean distance of all joints from the ground truth", xlabel="time, s", ylabel="cm")
    grows.legend(frameon=False)
    return figure


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
        line, level = [index[0] - 0.5, index[-1] + 0.5], 2 * [grouped[index[0]]]
        ax.plot(line, level, lw=3, alpha=0.6, color=colour, label=name)
    ax.set(yscale="log", xlabel="number", ylabel="Std (rad, m, m/frame, none)", xlim=(-3, len(std) + 2))
    ax.set_ylim(bottom=floor)
    plain_numbers(ax.yaxis)
    ax.set_title("Std of every number (dots) and of its group (lines)")
    ax.legend(fontsize=8, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure
