"""What the check of a user's data set found, as a table and by name."""

import dataclasses
import textwrap
from collections import Counter
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why a clip or one of its captions is left out: `reason` groups faults, `detail` is of this one."""

    id: str
    reason: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a data set's check found.

    Args:
        source: the folder that was checked.
        title: name of the data set.
        listed: how many clips each split lists.
        splits: usable ids per split, in their order.
        clips: faults of the clips left out, one each.
        captions: faults of single captions left out, whose clips stay.
        mended: for clips that lose captions, the lines that stay.
        segments: how many usable captions speak of a part of their clip.
        notes: what is odd but leaves nothing out.
        content_hash: changes with the features or captions of any usable clip.
    """

    source: Path
    title: str
    listed: dict[str, int]
    splits: dict[str, list[str]]
    clips: list[Fault]
    captions: list[Fault]
    mended: dict[str, list[str]]
    segments: int
    notes: list[str]
    content_hash: str

    @property
    def left_out(self) -> list[str]:
        """Ids of the clips left out, sorted."""
        return sorted(fault.id for fault in self.clips)

    def table(self, names: int | None = 20) -> str:
        """The report for a reader, in Markdown; at most `names` ids per reason (None: all of them)."""
        counts = [(split, self.listed[split], len(ids)) for split, ids in self.splits.items()]
        rows = [(split, listed, usable, listed - usable) for split, listed, usable in counts]
        lines = [f"# {self.title} in {self.source}", ""]
        lines += _columns(("split", "listed", "usable", "left out"), rows)
        lines += _fault_lines("Clips left out", self.clips, names)
        lines += _fault_lines("Captions left out (their clips stay)", self.captions, names)
        lines += ["", f"{self.segments} captions speak of a part of their clip (start and end in seconds)."]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)]) + "\n"


def _columns(head: tuple[str, ...], rows: list[tuple]) -> list[str]:
    """A Markdown table, aligned so that it can be read as it is."""
    cells = [head, *[tuple(map(str, row)) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [lines[0], "| " + " | ".join("-" * w for w in widths) + " |", *lines[1:]]


def _fault_lines(title: str, faults: list[Fault], names: int | None) -> list[str]:
    """A table of the reasons with their counts, then the ids of each reason."""
    if not faults:
        return ["", f"{title}: none."]
    reasons = Counter(fault.reason for fault in faults)
    lines = ["", f"{title}:", "", *_columns(("reason", "count"), reasons.most_common()), ""]
    for reason, count in reasons.most_common():
        ids = [fault.id for fault in faults if fault.reason == reason][:names]
        more = f" and {count - len(ids)} more" if len(ids) < count else ""
        lines.append(textwrap.fill(f"- {reason}: {', '.join(ids)}{more}", 110, subsequent_indent="  "))
    return lines
