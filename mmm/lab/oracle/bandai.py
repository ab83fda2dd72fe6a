"""The oracle on captured motion that it was not made for: contents of Bandai-Namco's data in its own words.

A content says one thing about a clip. Right means: for walk and run, that is what the legs do for the longest time
(a walk in whatever direction and curve); for a turn, also that all turns seen go that way; for a raise or a wave,
it is seen with that hand (or both) and not with another, and the other of the two is not seen. Both hands stretched
up count as both raised: the content does not say how.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from mmm.datasets.synthetic.program import Segment
from mmm.lab.oracle.recognition import Recognised

WALKS = ("walk", "walk_curve", "walk_turn")
# content → (what is asked in the table, the side or way that has to be right)
JUDGED = {
    "walk": ("walk", None),
    "run": ("run", None),
    "walk-turn-left": ("turn", "left"),
    "walk-turn-right": ("turn", "right"),
    **{f"raise-up-{side}-hand": ("raise", side) for side in ("left", "right")},
    "raise-up-both-hands": ("raise", "both"),
    **{f"wave-{side}-hand": ("wave", side) for side in ("left", "right")},
    "wave-both-hands": ("wave", "both"),
}
REPORTED = {"dash": ("run", None), "walk-back": ("walk backward", None)}  # few takes, no promise


def right(seen: Recognised, content: str) -> bool | None:
    """Whether the content is what is seen; None for a content that the oracle has no word for."""
    asked, side = (JUDGED | REPORTED).get(content, (None, None))
    if asked is None:
        return None
    if asked in ("raise", "wave"):
        return {(name, hand) for name, hand in _hands(seen.segments) if name in ("raise", "wave")} == {
            (asked, side)
        }
    name, direction = _going(seen.segments)
    if asked == "run":
        return name == "run"
    if asked == "walk backward":
        return name in WALKS and direction == "backward"
    if asked == "walk":
        return name in WALKS
    ways = {
        segment.legs.direction
        for segment in seen.segments
        if segment.legs.name in ("turn", "walk_turn", "walk_curve")
    }
    return name in (*WALKS, "turn") and ways == {side}


def _hands(segments: Iterable[Segment]) -> set[tuple[str, str | None]]:
    found = {(segment.arms.name, segment.arms.side) for segment in segments if segment.arms}
    return {("raise" if name == "stretch" else name, side) for name, side in found}


def _going(segments: Iterable[Segment]) -> tuple[str, str | None]:
    """What the legs do for the longest time, walks of all kinds taken together, and in which direction."""
    frames: Counter[str] = Counter()
    ways: dict[str, Counter[str | None]] = defaultdict(Counter)
    for segment in segments:
        kind = "walk" if segment.legs.name in WALKS else segment.legs.name
        frames[kind] += segment.end - segment.start
        ways[kind][segment.legs.direction] += segment.end - segment.start
    if not frames:
        return "stand", None
    name = frames.most_common(1)[0][0]
    return name, ways[name].most_common(1)[0][0]


def tables(rows: Iterable[tuple[str, str, bool | None]]) -> dict:
    """Shares that are right from (content, style, right): of the five questions, by content and by style.

    Returns:
        {"questions": {"walk": {"right", "judged", "share"}, …}, "contents": {…}, "styles": {question: {style: …}}}
    """
    questions: dict[str, list[bool]] = defaultdict(list)
    contents: dict[str, list[bool]] = defaultdict(list)
    styles: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for content, style, verdict in rows:
        if verdict is None:
            continue
        contents[content].append(verdict)
        if content in JUDGED:
            question = JUDGED[content][0]
            questions[question].append(verdict)
            styles[question][style].append(verdict)
    return {
        "questions": {name: _share(found) for name, found in sorted(questions.items())},
        "contents": {name: _share(found) for name, found in sorted(contents.items())},
        "styles": {
            question: {style: _share(found) for style, found in sorted(row.items())}
            for question, row in sorted(styles.items())
        },
    }


def _share(found: list[bool]) -> dict:
    return {"right": sum(found), "judged": len(found), "share": round(sum(found) / len(found), 4)}
