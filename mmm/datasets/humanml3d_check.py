"""Checks of a folder in HumanML3D's layout, clip by clip, and the report.

A `Fault` is one thing that is wrong or unusual about a clip, a caption or a file. The report counts faults by their
reason, then lists all of them by name with what was done.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from mmm.data.captions import Caption, numbered_lines, parse_line
from mmm.data.folder import SPLITS
from mmm.data.reading import FRAMES, Unusable, check_length, load_array, read_text, to_features
from mmm.errors import check_name
from mmm.motion.skeleton import get_skeleton

BY_NAME = "## One by one"  # the part after this heading may be long and is not printed
SHOWN = 3  # examples of each reason before it
SECTIONS = {
    "clips": "Clips left out",
    "captions": "Captions left out",
    "used": "Used in spite of a fault, or corrected",
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something wrong or unusual about a clip, a caption or a file.

    Args:
        id: of the clip; "" if it is about a file as a whole.
        reason: what is wrong; faults are grouped by it.
        where: the file, relative to the source, and the line if it has lines.
        detail: what the file holds there, and what was expected.
        done: "left out", or how it is used.
    """

    id: str
    reason: str
    where: str
    detail: str = ""
    done: str = "left out"


@dataclasses.dataclass(frozen=True)
class ClipCheck:
    """The result for one clip.

    Args:
        left_out: why the clip cannot be used, or None.
        features: (T, D) float32, if it can.
        lines: of its usable captions.
        captions: faults of its unusable captions.
        used: faults of the clip and its captions that do not prevent their use.
        parts: how many of its usable captions describe a part of it.
    """

    left_out: Fault | None = None
    features: np.ndarray | None = None
    lines: list[str] = dataclasses.field(default_factory=list)
    captions: list[Fault] = dataclasses.field(default_factory=list)
    used: list[Fault] = dataclasses.field(default_factory=list)
    parts: int = 0


def check_splits(source: Path) -> tuple[dict[str, list[str]], dict[str, list[str]], list[Fault]]:
    """The ids that train.txt, val.txt and test.txt list, those to be used, and faults of the files.

    An id counts once in its split. Of several splits, test keeps it before val and val before train: a model must
    not have been trained on what it is evaluated on, and the test set must stay comparable.
    """
    listed, faults = {}, []
    for split in SPLITS:
        file = f"{split}.txt"
        content, odd = read_text(source / file)
        faults += [Fault("", reason, file, detail, done) for reason, detail, done in odd]
        lines: dict[str, list[int]] = defaultdict(list)
        listed[split] = []
        for number, line in enumerate(content.split("\n"), 1):
            if clip := line.strip():
                lines[clip].append(number)
                listed[split].append(clip)
        for clip, numbers in lines.items():
            if len(numbers) > 1:
                first, last = ", ".join(map(str, numbers[:-1])), numbers[-1]
                faults.append(
                    Fault(clip, "twice in a split", file, f"in lines {first} and {last}", "used once")
                )
    used, split_of = {}, {}
    for split in reversed(SPLITS):
        ids = list(dict.fromkeys(listed[split]))
        used[split] = [clip for clip in ids if clip not in split_of]
        for clip in ids:
            if clip in split_of:
                kept = f"{split_of[clip]}.txt"
                done = f"left out of {split}.txt, stays in {kept}"
                faults.append(Fault(clip, "in two splits", f"{split}.txt", f"also in {kept}", done))
        split_of |= {clip: split for clip in used[split]}
    for clip, split in split_of.items():
        mirrored = f"M{clip}"
        if split_of.get(mirrored, split) != split:
            detail = f"{mirrored}, its mirror image, is in {split_of[mirrored]}.txt"
            faults.append(Fault(clip, "mirrored in another split", f"{split}.txt", detail, "used as it is"))
    return listed, {split: used[split] for split in SPLITS}, faults


def check_clip(source: Path, clip: str, skeleton: str, known_bad: dict[str, str]) -> ClipCheck:
    """Read a clip's features and captions. If it cannot be used, the first reason is reported."""
    file, text = f"new_joint_vecs/{clip}.npy", f"texts/{clip}.txt"
    try:
        check_name(clip, "the id")
    except ValueError as error:
        return ClipCheck(Fault(clip, "no file name", "the splits", str(error)))
    if clip in known_bad:
        return ClipCheck(Fault(clip, "known bad id", file, known_bad[clip]))
    if not (source / file).is_file():
        if (source / text).is_file():
            return ClipCheck(Fault(clip, "no features", file, f"there is no {file}"))
        return ClipCheck(Fault(clip, "no features and no text", file, f"there is neither {file} nor {text}"))
    try:
        values = load_array(source / file)
        features = to_features(values, get_skeleton(skeleton).num_features)
        check_length(len(features), skeleton)
    except Unusable as error:
        return ClipCheck(Fault(clip, error.reason, file, error.detail))
    except (ValueError, OSError) as error:
        detail = str(error).removeprefix(f"{source / file} ").rstrip(".")
        return ClipCheck(Fault(clip, "unreadable features", file, detail))
    used = []
    if values.dtype != np.float32:
        used.append(Fault(clip, f"{values.dtype} features", file, "expected float32", "converted to float32"))
    return check_text(source / text, clip, skeleton, features, used)


def check_text(file: Path, clip: str, skeleton: str, features: np.ndarray, used: list[Fault]) -> ClipCheck:
    """Read the captions of a clip with these features. `used` are its faults that do not prevent its use."""
    text = f"texts/{clip}.txt"
    if not file.is_file():
        return ClipCheck(Fault(clip, "no text", text, f"there is no {text}"))
    try:
        content, odd = read_text(file)
    except OSError as error:
        return ClipCheck(Fault(clip, "unreadable text", text, error.strerror or str(error)))
    lines = list(numbered_lines(content))
    if not lines:
        detail = "it has blank lines only" if content else "it has 0 bytes"
        return ClipCheck(Fault(clip, "empty text", text, f"{detail}, expected one caption a line"))
    used = used + [Fault(clip, reason, text, detail, done) for reason, detail, done in odd]
    kept, faults, parts = [], [], 0
    for number, line in lines:
        where = f"{text}, line {number}"
        try:
            caption = parse_line(line)
            cut = _check_part(caption, skeleton, len(features))
        except Unusable as error:
            faults.append(Fault(clip, error.reason, where, error.detail))
            continue
        if cut:
            done = "cut where the clip begins or ends, as Guo's loaders do"
            used.append(Fault(clip, "part outside the clip", where, cut, done))
        if not caption.words:
            detail = "Guo's evaluator reads only those"
            used.append(Fault(clip, "caption without word/POS", where, detail, "used as it is"))
        kept.append(line.strip())
        parts += caption.is_part
    if not kept:
        reasons = "; ".join(f"line {f.where.rpartition(' ')[2]}, {f.reason}: {f.detail}" for f in faults)
        return ClipCheck(Fault(clip, "no usable caption", text, reasons), captions=faults)
    return ClipCheck(None, features, kept, faults, used, parts)


def _check_part(caption: Caption, skeleton: str, frames: int) -> str | None:
    """How far the part that a caption describes lies outside its clip of `frames` frames; None if it does not.

    Raises:
        Unusable: the part ends before it starts, or too little of it is in the clip.
    """
    if not caption.is_part:
        return None
    fps, shortest = get_skeleton(skeleton).fps, FRAMES[skeleton][0]
    times = f"{caption.start:g} s to {caption.end:g} s"
    if caption.start > caption.end:
        raise Unusable("part starts after it ends", times)
    first, last = caption.part(fps, frames)
    # features have one frame fewer than the capture, so captions of a whole capture reach one frame too far
    outside = caption.start < 0 or caption.start * fps >= frames or int(caption.end * fps) > frames + 1
    detail = f"{times}, {last - first} frames of it in the clip of {frames / fps:g} s"
    if last - first < shortest:
        reason = "part outside the clip" if outside else "part of a clip too short"
        raise Unusable(reason, f"{detail}, expected {shortest} or more")
    return detail if outside else None


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of checking a data set.

    Args:
        source: the folder that was checked.
        title: name of the data set.
        listed: the ids in each split file, unchanged.
        splits: usable ids of each split, in their order.
        clips: faults of the clips left out, one each.
        captions: faults of single captions that are left out.
        used: faults that do not prevent use.
        mended: for clips that lose some of their captions, the lines that stay.
        segments: how many usable captions describe a part of their clip.
        content_hash: changes with the features or captions of any usable clip.
    """

    source: Path
    title: str
    listed: dict[str, list[str]]
    splits: dict[str, list[str]]
    clips: list[Fault]
    captions: list[Fault]
    used: list[Fault]
    mended: dict[str, list[str]]
    segments: int
    content_hash: str

    @property
    def left_out(self) -> list[str]:
        """Ids of the clips left out, sorted."""
        return sorted(fault.id for fault in self.clips)

    def counts(self) -> dict[str, dict[str, int]]:
        """For each split: ids listed, different ones, usable ones, and those left out."""
        return {
            split: {
                "listed": len(listed),
                "different": len(set(listed)),
                "usable": len(self.splits[split]),
                "left out": len(set(listed)) - len(self.splits[split]),
            }
            for split, listed in self.listed.items()
        }

    def to_dict(self) -> dict:
        """The report for a program: the content of report.json."""
        about = {"source": str(self.source), "splits": self.counts(), "segments": self.segments}
        return about | {name: [dataclasses.asdict(f) for f in getattr(self, name)] for name in SECTIONS}

    def to_markdown(self) -> str:
        """The report for a reader: counts and examples, then all faults by name."""
        counts = self.counts()
        rows = [(split, *count.values()) for split, count in counts.items()]
        lines = [f"# {self.title} in {self.source}", "", *self._warnings()]
        lines += _table(("split", *next(iter(counts.values()))), rows)
        for name, title in SECTIONS.items():
            lines += ["", *_summary(title, getattr(self, name))]
        lines += ["", f"Captions that describe a part of their clip and are used with it: {self.segments}."]
        lines += ["", BY_NAME]
        for name, title in SECTIONS.items():
            if faults := getattr(self, name):
                rows = [(f.id or "(file)", f.reason, f.where, _short(f.detail), f.done) for f in faults]
                lines += [
                    "",
                    f"### {title}",
                    "",
                    *_table(("clip", "reason", "where", "detail", "done"), rows),
                ]
        if lines[-1] == BY_NAME:
            lines += ["", "No faults."]
        return "\n".join(lines) + "\n"

    def _warnings(self) -> list[str]:
        """Faults that a reader must not miss: clips of a test set that were also in training."""
        warnings = {
            "in two splits": "in more than one split. A model must not be evaluated on what it was trained on: test "
            "keeps such a clip before val, and val before train.",
            "mirrored in another split": "in another split than the mirror image of the clip. They are used as the "
            "splits say, but a model that was trained on one of them knows the other.",
        }
        lines = []
        for reason, text in warnings.items():
            ids = list(dict.fromkeys(fault.id for fault in self.used if fault.reason == reason))
            if ids:
                some = ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
                clips = f"1 clip ({some}) is" if len(ids) == 1 else f"{len(ids)} clips ({some}) are"
                lines += [*textwrap.wrap(f"WARNING: {clips} {text}", 110), ""]
        return lines


def head(markdown: str) -> str:
    """The part of a report that fits on a screen."""
    return markdown.partition(BY_NAME)[0].rstrip() + "\n"


def _summary(title: str, faults: list[Fault]) -> list[str]:
    """How many faults there are of each reason, with examples; the most frequent reason first."""
    if not faults:
        return [f"{title}: none."]
    lines = [f"{title}: {len(faults)}", ""]
    for reason, count in Counter(fault.reason for fault in faults).most_common():
        some = [fault for fault in faults if fault.reason == reason][:SHOWN]
        examples = "; ".join(f"{fault.id or fault.where} ({_example(fault)})" for fault in some)
        more = f"; and {count - SHOWN} more" if count > SHOWN else ""
        lines.append(textwrap.fill(f"- {reason}, {count}: {examples}{more}", 110, subsequent_indent="  "))
    return lines


def _example(fault: Fault) -> str:
    detail = _short(fault.detail) or fault.where
    return detail if fault.done == "left out" else f"{detail}: {fault.done}"


def _short(text: str) -> str:
    return textwrap.shorten(text, 120, placeholder=" …")


def _table(header: tuple[str, ...], rows: list[tuple]) -> list[str]:
    """A Markdown table with aligned columns."""
    cells = [header, *[tuple(str(cell).replace("|", "\\|") for cell in row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [lines[0], "| " + " | ".join("-" * w for w in widths) + " |", *lines[1:]]
