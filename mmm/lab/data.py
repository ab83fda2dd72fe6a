"""Pictures of notebook 01: a clip as a map of numbers, its path and feet, drift, spread of the numbers.

What is in a data set, as tables: one row per clip, one row per word; `plots` draws them.

Pictures of notebook 01: lengths and contents of the clips, the words of the captions, the splits.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from PIL import Image

from mmm.data.captions import Caption
from mmm.data.folder import MotionFolder
from mmm.motion.features import feature_slices
from mmm.motion.skeleton import Skeleton, get_skeleton
from mmm.viz.camera import facing
from mmm.viz.style import ARROW, DARK, LEFT, PATH, RIGHT

if TYPE_CHECKING:
    from pandas import DataFrame

SPLITS = ("train", "val", "test", "test_compositional")
COMMON_WORDS = set(
    "a an the and then to with in on of at as is are while by his her their he she they it this one "
    "person man woman human figure someone somebody".split()
)


def contents_of(program: dict[str, Any] | None, captions: list[Caption]) -> tuple[str, ...]:
    """What a clip shows, in order: the actions of its program (synthetic), the content of its take (Bandai).

    Of a clip without a program: the verb that most of its captions have; where captions are not tagged, the most
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
    counts = Counter(verbs or untagged)
    return (counts.most_common(1)[0][0],) if counts else ()


def recording_of(program: dict[str, Any] | None, clip: str) -> str:
    """The recording that a clip was cut from; clips of one take must not meet in two splits."""
    return program["path"] if program and "path" in program else clip


def survey_clips(folder: MotionFolder) -> DataFrame:
    """One row per clip of train, val, test (and test_compositional).

    Columns: split, frames, seconds, contents, recording, captions (how many), metres that the root
    goes, degrees that the body turns to the left.
    """
    from pandas import DataFrame

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
                "contents": contents_of(program, captions),
                "recording": recording_of(program, clip),
                "captions": len(captions),
                "metres": float(np.linalg.norm(features[:-1, part["root_linear"]], axis=1).sum()),
                "degrees": float(np.degrees(-2 * features[:-1, part["root_angular"]].sum())),
            })  # fmt: skip
    return DataFrame(rows).set_index("clip")


def survey_words(folder: MotionFolder, split: str = "train") -> DataFrame:
    """How often each (word, part of speech) occurs in the captions of a split, most frequent first.

    The words of captions that are not tagged all have the part of speech OTHER.
    """
    from pandas import DataFrame

    captions = (caption for clip in folder.ids(split) for caption in folder.captions(clip))
    counts = Counter(word for caption in captions for word in caption.words)
    rows = [(word, tag, count) for (word, tag), count in counts.most_common()]
    return DataFrame(rows, columns=["word", "tag", "count"])


def combinations(folder: MotionFolder, split: str) -> Counter[tuple[str, str]]:
    """How many clips of a split of synthetic data do which action of the legs and of the arms at once."""
    pairs: Counter[tuple[str, str]] = Counter()
    for clip in folder.ids(split):
        segments = (folder.program(clip) or {}).get("segments", [])
        pairs.update({(s["legs"]["name"], s["arms"]["name"]) for s in segments if s["arms"]})
    return pairs


TAGS = {"VERB": "verbs", "NOUN": "nouns", "ADJ": "adjectives", "ADV": "adverbs"}
HELD_OUT = "#d1495b"


def plot_clips(clips: DataFrame, shown: int = 24) -> Figure:
    """Lengths of the clips, and in how many clips each content is; `clips` as `survey_clips` gives it."""
    contents = clips.contents.explode().value_counts()[:shown]
    figure = Figure(figsize=(11, max(3.2, 0.19 * len(contents) + 0.8)), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(clips.seconds, bins=np.arange(0, clips.seconds.max() + 0.5, 0.5), color="C0", edgecolor="white")
    median = float(clips.seconds.median())
    left.axvline(median, color="black", ls="--", label=f"median {median:.1f} s")
    left.set(
        title=f"{len(clips)} clips, {clips.seconds.sum() / 60:.0f} minutes",
        xlabel="length, s",
        ylabel="clips",
    )
    left.legend(frameon=False)
    right.barh(contents.index[::-1], contents.to_numpy()[::-1], color="C2")
    right.set(title="what the clips show", xlabel="clips")
    right.tick_params(axis="y", labelsize=8)
    right.margins(y=0.01)
    return figure


def plot_words(words: DataFrame, shown: int = 14) -> Figure:
    """The most frequent words of four parts of speech, or of all words where none is tagged.

    `words` is the table of `survey_words`.
    """
    panels = {f"{(words.tag == tag).sum()} {name}": words[words.tag == tag] for tag, name in TAGS.items()}
    if not words.tag.isin(TAGS).any():
        starts = range(0, len(TAGS) * shown, shown)
        panels = {f"words {start + 1} to {start + shown}": words[start:] for start in starts}
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for ax, (title, part) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        top = part[:shown][::-1]
        ax.barh(top.word, top["count"], color="C4")
        ax.set(title=title, xlabel="times")
        ax.tick_params(axis="y", labelsize=9)
    return figure


def plot_splits(clips: DataFrame, shown: int = 24) -> Figure:
    """Share of each split in every content, the frequent ones first, with the numbers of clips."""
    table = clips.explode("contents").groupby(["contents", "split"]).size().unstack(fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values().index[-shown:], list(dict.fromkeys(clips.split))]
    figure = Figure(figsize=(9, max(3.0, 0.2 * len(table) + 0.9)), layout="constrained")
    ax, start = figure.subplots(), np.zeros(len(table))
    for number, split in enumerate(table.columns):
        share = (table[split] / table.sum(axis=1)).to_numpy() * 100
        bars = ax.barh(
            table.index, share, left=start, label=split, color=f"C{number}", edgecolor="white", lw=0.5
        )
        ax.bar_label(
            bars, labels=[str(n) if n else "" for n in table[split]], label_type="center", fontsize=7
        )
        start += share
    ax.set(title="clips of each content by split", xlabel="share, %", xlim=(0, 100))
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
    only = {pair for pair in held_out if pair not in train}
    figure = Figure(figsize=(8, 0.36 * len(legs) + 1.2), layout="constrained")
    ax = figure.subplots()
    ax.imshow(np.sqrt(counts), cmap="Blues", aspect="auto", vmax=1.2 * max(1.0, counts.max() ** 0.5))
    for row, leg in enumerate(legs):
        for column, arm in enumerate(arms):
            held = (leg, arm) in only
            count = f"0 | {held_out[leg, arm]}" if held else str(counts[row, column] or "")
            ax.text(
                column, row, count, ha="center", va="center", fontsize=9, color=HELD_OUT if held else "black"
            )
            if held:
                ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=HELD_OUT, lw=2))
    ax.set_xticks(range(len(arms)), arms)
    ax.set_yticks(range(len(legs)), legs)
    ax.set(
        xlabel="arms", ylabel="legs", title="clips in train; framed: none in train | in test_compositional"
    )
    return figure


RANGE = 3.0  # Stds at which the colours of the map end
NEVER = 1e-4  # a number with a smaller Std practically never changes
COLOURS = {name: tuple(c / 255 for c in rgb) for name, rgb in dict(left=LEFT, right=RIGHT, dark=DARK).items()}
Joints = Float[np.ndarray, "t j 3"]


def plot_feature_map(
    normalised: Float[np.ndarray, "t d"], fps: float = 20.0, skeleton: str | Skeleton = "humanml3d"
) -> Figure:
    """All numbers of a clip: time to the right, the D numbers downwards, colour = Stds from the mean.

    The four root numbers and the four contacts get rows of their own height, or nobody would see them.
    """
    part = feature_slices(skeleton)
    root = slice(part["root_angular"].start, part["root_height"].stop)
    shown = {"root": root} | {k: v for k, v in part.items() if not k.startswith("root")}
    heights = [max(9, (where.stop - where.start) * 0.35) for where in shown.values()]
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(len(shown), 1, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.02})
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
    """What some groups hold: the path from above with the facing, turning and speed, feet and contacts."""
    body, part = get_skeleton(skeleton), feature_slices(skeleton)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 2])
    path, root, feet = (figure.add_subplot(place) for place in (grid[:, 0], grid[0, 1], grid[1, 1]))
    draw_path(path, joints, "the path from above", body)
    time = np.arange(len(features)) / fps
    turning = np.degrees(-2 * fps * features[:, part["root_angular"]][:, 0])
    speed = np.linalg.norm(features[:, part["root_linear"]], axis=1) * fps
    root.plot(time, turning, color="C4")
    root.set(title="root", ylabel="turning to the left, °/s")
    root.yaxis.label.set_color("C4")
    other = root.twinx()
    other.plot(time, speed, color="C2")
    other.set_ylim(bottom=0)
    other.set_ylabel("speed, m/s", color="C2")
    contacts = features[:, part["contacts"]].T
    names = ("ankle", "foot")
    for row, (joint, rest) in enumerate(zip(np.ravel(body.feet), contacts, strict=True)):
        side = "left" if joint in body.left else "right"
        line = joints[: len(time), joint, 1] * 100
        style = "-" if row % 2 else ":"
        feet.plot(time, line, style, color=COLOURS[side], lw=1.3, label=f"{side} {names[row % 2]}")
        feet.fill_between(
            time, -3.5 - 3 * row, -1 - 3 * row, where=rest > 0.5, step="mid", color=COLOURS[side], lw=0
        )
    feet.set(
        title="feet: height, and bars where the contact number is 1", xlabel="time, s", ylabel="height, cm"
    )
    feet.legend(fontsize=8, frameon=False, ncols=4, loc="upper right")
    feet.set_ylim(top=feet.get_ylim()[1] * 1.25)
    return figure


def draw_path(
    ax: Axes, joints: Joints, title: str = "", skeleton: str | Skeleton = "humanml3d", every: int = 20
) -> None:
    """The root's path from above: z up the page, x (the body's left at the start) to the left."""
    way = joints[:, 0, [0, 2]]
    ahead = facing(joints[::every], get_skeleton(skeleton))[..., [0, 2]]
    ax.plot(*way.T, color=[c / 255 for c in PATH], lw=2)
    places = way[::every]
    ax.quiver(*places.T, *ahead.T, angles="xy", color=[c / 255 for c in ARROW], width=0.008, scale=8)
    ax.plot(*way[0], "o", color="white", markeredgecolor="black", label="start")
    _as_map(ax)
    ax.set_title(title)


def plot_drift(paths: Mapping[str, Joints], true: str, fps: float = 20.0) -> Figure:
    """Root paths from above, and how far each is from the one called `true` as time goes on."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    above, grows = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.3]})
    for number, (name, joints) in enumerate(paths.items()):
        style = {"color": "black", "lw": 3} if name == true else {"color": f"C{number - 1}", "lw": 1.6}
        above.plot(*joints[:, 0, [0, 2]].T, label=name, zorder=1 if name == true else 2, **style)
        error = np.linalg.norm(joints - paths[true], axis=-1).mean(-1) * 100
        grows.plot(np.arange(len(joints)) / fps, error, label=name, **style)
    _as_map(above)
    above.set_title("the path from above")
    grows.set(title="mean distance of all joints from the true ones", xlabel="time, s", ylabel="cm")
    grows.legend(frameon=False)
    return figure


def plot_spread(
    std: Float[np.ndarray, " d"], grouped: Float[np.ndarray, " d"], skeleton: str = "humanml3d"
) -> Figure:
    """The Std of each number by itself (dots) and averaged within its group (lines), on a logarithmic axis.

    Triangles at the bottom stand for numbers that change less than the axis can show, or not at all.
    """
    floor = 10 ** np.floor(np.log10(std[std > NEVER].min()))
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    ax = figure.subplots()
    for number, (name, where) in enumerate(feature_slices(skeleton).items()):
        at = np.arange(where.start, where.stop)
        low = std[where] < NEVER
        ax.plot(at[~low], std[where][~low], ".", ms=5, color=f"C{number}")
        ax.plot(at[low], np.full(low.sum(), floor * 1.15), "v", ms=5, color=f"C{number}")
        ax.plot(
            [at[0] - 0.5, at[-1] + 0.5], 2 * [grouped[at[0]]], lw=3, alpha=0.6, color=f"C{number}", label=name
        )
    ax.set(yscale="log", xlabel="number", ylabel="Std (rad, m, m/frame, none)", xlim=(-3, len(std) + 2))
    ax.set_ylim(bottom=floor)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_title("Std of every number (dots) and of its group (lines)")
    ax.legend(fontsize=8, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure


def _as_map(ax: Axes) -> None:
    """Equal metres; x grows to the left, where a body that faces up the page (z) has its left hand."""
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.15)
    ax.invert_xaxis()
    ax.set(xlabel="x, m (left at the start)", ylabel="z, m (ahead at the start)")
    ax.grid(alpha=0.3)


def small_png(figure: Figure, colours: int = 64) -> bytes:
    """The figure as a PNG of at most so many colours: a third of the size, and the eye sees no difference."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    data = io.BytesIO()
    picture.quantize(colours, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return data.getvalue()
