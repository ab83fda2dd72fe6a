"""What the check of a user's data set found: counted for the screen, and one by one with what was done."""

import dataclasses
import textwrap
from collections import Counter
from pathlib import Path

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
