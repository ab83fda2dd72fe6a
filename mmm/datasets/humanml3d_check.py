"""One clip, or the splits, of a folder in HumanML3D's layout: what can be used, what cannot, and what is odd.

What the check of a user's data set found: counted for the screen, and one by one with what was done.
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
from mmm.motion.skeleton import get_skeleton

BY_NAME = "## One by one"  # what comes after this heading may be long and is not printed
SHOWN = 3  # examples of each reason before it
SECTIONS = {
    "clips": "Clips left out",
    "captions": "Captions left out",
    "used": "Used all the same, or mended",
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that is wrong, or odd, about a clip, a caption or a file.

    Args:
        id: of the clip; "" where it is about a file as a whole.
        reason: what is wrong; faults are grouped by it.
        where: the file, within the source, and the line if it has lines.
        detail: what was found there and what was expected.
        done: what became of it: "left out", or how it is used.
    """

    id: str
    reason: str
    where: str
    detail: str = ""
    done: str = "left out"


@dataclasses.dataclass(frozen=True)
class Report:
    """What a data set's check found.

    Args:
        source: the folder that was checked.
        title: name of the data set.
        listed: the ids that each split lists, as they stand there.
        splits: usable ids per split, in their order.
        clips: faults of the clips left out, one each.
        captions: faults of single captions, which are left out.
        used: what is odd but used, mended or not.
        mended: for clips that stay but lose captions, the lines that stay.
        segments: how many usable captions speak of a part of their clip.
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
        """Per split: ids listed, different ones, usable ones, and those left out."""
        return {
            split: {
                "listed": len(listed),
                "different": len(set(listed)),
                "usable": len(self.splits[split]),
                "left out": len(set(listed)) - len(self.splits[split]),
            }
            for split, listed in self.listed.items()
        }

    def told(self) -> dict:
        """The whole report for a program: what report.json holds."""
        about = {"source": str(self.source), "splits": self.counts(), "segments": self.segments}
        return about | {name: [dataclasses.asdict(f) for f in getattr(self, name)] for name in SECTIONS}

    def table(self) -> str:
        """The report for a reader, in Markdown: counts and examples, then everything by name."""
        counts = self.counts()
        rows = [(split, *count.values()) for split, count in counts.items()]
        lines = [f"# {self.title} in {self.source}", "", *self._warnings()]
        lines += _columns(("split", *next(iter(counts.values()))), rows)
        for name, title in SECTIONS.items():
            lines += ["", *_summary(title, getattr(self, name))]
        lines += [
            "",
            f"Captions that speak of a part of their clip, and are used with that part: {self.segments}.",
        ]
        return "\n".join([*lines, "", BY_NAME, *self._by_name()]) + "\n"

    def _warnings(self) -> list[str]:
        """What a reader must not miss: clips that are asked for in a test after they were learnt."""
        shared = [fault for fault in self.used if fault.reason == "in two splits"]
        twins = [fault for fault in self.used if fault.reason == "mirrored in another split"]
        lines = []
        if shared:
            lines.append(
                f"WARNING: {_clips(shared)} in more than one split. A model must not be judged by what it was "
                "trained on: test keeps such a clip before val, and val before train."
            )
        if twins:
            lines.append(
                f"WARNING: {_clips(twins)} in another split than the mirror image of the clip. They are used as the "
                "splits say, but a model that learnt the one knows the other."
            )
        return [part for line in lines for part in (*textwrap.wrap(line, 110), "")]

    def _by_name(self) -> list[str]:
        lines = []
        for name, title in SECTIONS.items():
            faults = getattr(self, name)
            if faults:
                rows = [(f.id or "(file)", f.reason, f.where, _short(f.detail), f.done) for f in faults]
                lines += ["", f"### {title}", ""]
                lines += _columns(("clip", "what", "where", "found", "done"), rows)
        return lines or ["", "Nothing to tell."]


def head(table: str) -> str:
    """The part of a report that fits a screen."""
    return table.partition(BY_NAME)[0].rstrip() + "\n"


def _clips(faults: list[Fault]) -> str:
    ids = list(dict.fromkeys(fault.id for fault in faults))
    some = ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
    return f"1 clip ({some}) is" if len(ids) == 1 else f"{len(ids)} clips ({some}) are"


def _columns(head: tuple[str, ...], rows: list[tuple]) -> list[str]:
    """A Markdown table, aligned so that it can be read as it is."""
    cells = [head, *[tuple(str(cell).replace("|", "\\|") for cell in row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [lines[0], "| " + " | ".join("-" * w for w in widths) + " |", *lines[1:]]


def _summary(title: str, faults: list[Fault]) -> list[str]:
    """How many faults there are of each reason, with examples; the most frequent reason first."""
    if not faults:
        return [f"{title}: none."]
    lines = [f"{title}: {len(faults)}", ""]
    for reason, count in Counter(fault.reason for fault in faults).most_common():
        some = [fault for fault in faults if fault.reason == reason]
        told = [f"{f.id or f.where} ({_example(f)})" for f in some[:SHOWN]]
        more = f"; and {count - SHOWN} more" if count > SHOWN else ""
        lines.append(
            textwrap.fill(f"- {reason}, {count}: {'; '.join(told)}{more}", 110, subsequent_indent="  ")
        )
    return lines


def _example(fault: Fault) -> str:
    detail = _short(fault.detail) or fault.where
    return detail if fault.done == "left out" else f"{detail}: {fault.done}"


def _short(text: str) -> str:
    return textwrap.shorten(text, 120, placeholder=" …")


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is of a clip.

    Args:
        left_out: why the clip cannot be used, or None.
        features: (T, D) float32, if it can.
        lines: of its usable captions.
        captions: faults of those that are not.
        used: what is odd about the clip and its captions, but used.
        segments: how many of its captions speak of a part of it.
    """

    left_out: Fault | None = None
    features: np.ndarray | None = None
    lines: list[str] = dataclasses.field(default_factory=list)
    captions: list[Fault] = dataclasses.field(default_factory=list)
    used: list[Fault] = dataclasses.field(default_factory=list)
    segments: int = 0


def check_clip(source: Path, clip: str, skeleton: str, known_bad: dict[str, str]) -> Found:
    """Read a clip's features and captions; the first reason not to use it is the one that is told."""
    file, text = f"new_joint_vecs/{clip}.npy", f"texts/{clip}.txt"
    if set(clip) & {"/", "\\", "\0"}:
        return Found(Fault(clip, "no file name", "the splits", "an id must not lead to another folder"))
    if clip in known_bad:
        return Found(Fault(clip, "known bad id", file, known_bad[clip]))
    if not (source / file).is_file():
        if (source / text).is_file():
            return Found(Fault(clip, "no features", file, f"there is no {file}"))
        return Found(Fault(clip, "no features and no text", file, f"there is neither {file} nor {text}"))
    try:
        values = load_array(source / file)
        features = to_features(values, get_skeleton(skeleton).num_features)
        check_length(len(features), skeleton)
    except Unusable as error:
        return Found(Fault(clip, error.reason, file, error.detail))
    except (ValueError, OSError) as error:
        told = str(error).removeprefix(f"{source / file} ").rstrip(".")
        return Found(Fault(clip, "unreadable features", file, told))
    used = []
    if values.dtype != np.float32:
        used.append(Fault(clip, f"{values.dtype} features", file, "expected float32", "converted to float32"))
    return _check_text(source, clip, skeleton, features, used)


def _check_text(source: Path, clip: str, skeleton: str, features: np.ndarray, used: list[Fault]) -> Found:
    text = f"texts/{clip}.txt"
    if not (source / text).is_file():
        return Found(Fault(clip, "no text", text, f"there is no {text}"))
    try:
        content, odd = read_text(source / text)
    except OSError as error:
        return Found(Fault(clip, "unreadable text", text, error.strerror or str(error)))
    lines = list(numbered_lines(content))
    if not lines:
        found = "it has 0 bytes" if not content else "it has blank lines only"
        return Found(Fault(clip, "empty text", text, f"{found}, expected one caption a line"))
    used = used + [Fault(clip, reason, text, detail, done) for reason, detail, done in odd]
    kept, faults, segments = [], [], 0
    for number, line in lines:
        where = f"{text}, line {number}"
        try:
            caption = parse_line(line)
            doubt = _check_part(caption, skeleton, len(features))
        except Unusable as error:
            faults.append(Fault(clip, error.reason, where, error.detail))
            continue
        if doubt:
            used.append(Fault(clip, *(doubt[0], where, *doubt[1:])))
        if not caption.words:
            found = "Guo's evaluator reads only those"
            used.append(Fault(clip, "caption without word/POS", where, found, "used as it is"))
        kept.append(line.strip())
        segments += caption.is_part
    if not kept:
        reasons = "; ".join(f"line {f.where.rpartition(' ')[2]}, {f.reason}: {f.detail}" for f in faults)
        return Found(Fault(clip, "no usable caption", text, reasons), captions=faults)
    return Found(None, features, kept, faults, used, segments)


def _check_part(caption: Caption, skeleton: str, frames: int) -> tuple[str, str, str] | None:
    """What is odd about the part of a clip that a caption speaks of, if it can be used.

    Raises:
        Unusable: it ends before it starts, or too little of it is in the clip.
    """
    if not caption.is_part:
        return None
    fps, shortest = get_skeleton(skeleton).fps, FRAMES[skeleton][0]
    times = f"{caption.start:g} s to {caption.end:g} s"
    if caption.start > caption.end:
        raise Unusable("part starts after it ends", times)
    first, last = caption.part(fps, frames)
    # One frame is lost when features are made, so captions of a whole capture reach one frame too far.
    outside = caption.start < 0 or caption.start * fps >= frames or int(caption.end * fps) > frames + 1
    told = f"{times}, {last - first} frames of it in the clip of {frames / fps:g} s"
    if last - first < shortest:
        reason = "part outside the clip" if outside else "part of a clip too short"
        raise Unusable(reason, f"{told}, expected {shortest} or more")
    if outside:
        return "part outside the clip", told, "cut where the clip begins or ends, as Guo's loaders do"
    return None


def check_splits(source: Path) -> tuple[dict[str, list[str]], dict[str, list[str]], list[Fault]]:
    """What train.txt, val.txt and test.txt list, which of it is to be used where, and what is odd about them.

    An id counts once in its split. Of several splits that list it, test keeps it before val and val before train:
    what a model is judged by it must not have learnt, and the test set is to stay the one that others judge by.
    """
    listed, odd = {}, []
    for split in SPLITS:
        content, found = read_text(source / f"{split}.txt")
        odd += [Fault("", reason, f"{split}.txt", detail, done) for reason, detail, done in found]
        places: dict[str, list[int]] = defaultdict(list)
        lines = [(number, line.strip()) for number, line in enumerate(content.split("\n"), 1) if line.strip()]
        for number, clip in lines:
            places[clip].append(number)
        listed[split] = [clip for _, clip in lines]
        odd += [
            Fault(clip, "twice in a split", f"{split}.txt", f"in lines {_joined(numbers)}", "used once")
            for clip, numbers in places.items()
            if len(numbers) > 1
        ]
    kept, taken = {}, {}
    for split in reversed(SPLITS):
        kept[split] = [clip for clip in dict.fromkeys(listed[split]) if clip not in taken]
        for clip in dict.fromkeys(listed[split]):
            if clip in taken:
                stays = f"left out of {split}.txt, stays in {taken[clip]}.txt"
                odd.append(Fault(clip, "in two splits", f"{split}.txt", f"also in {taken[clip]}.txt", stays))
        taken |= {clip: split for clip in kept[split]}
    for clip, split in taken.items():
        twin = f"M{clip}"
        if twin in taken and taken[twin] != split:
            found = f"{twin}, its mirror image, is in {taken[twin]}.txt"
            odd.append(Fault(clip, "mirrored in another split", f"{split}.txt", found, "used as it is"))
    return listed, {split: kept[split] for split in SPLITS}, odd


def _joined(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
