"""The oracle on captured motion that it was not written for: the action classes of Bandai-Namco's data.

A class says one thing about a clip. Right means: for walk and run, that is what the legs do for the longest time
(a walk in any direction and curve). For a turn, also all turns that are seen go that way. For a raise or a wave, it
is seen with that hand (or both) and not with another, and the other of the two is not seen. Both hands stretched up
count as both raised: the class does not say how.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from mmm.datasets.synthetic.program import Segment
from mmm.lab.oracle.recognition import Recognised
from mmm.lab.oracle.scoring import counted

WALKS = ("walk", "walk_curve", "walk_turn")
# action class of the data → (question in the table, the side or direction that has to be right)
JUDGED = {
    "walk": ("walk", None),
    "run": ("run", None),
    "walk-turn-left": ("turn", "left"),
    "walk-turn-right": ("turn", "right"),
    "raise-up-left-hand": ("raise", "left"),
    "raise-up-right-hand": ("raise", "right"),
    "raise-up-both-hands": ("raise", "both"),
    "wave-left-hand": ("wave", "left"),
    "wave-right-hand": ("wave", "right"),
    "wave-both-hands": ("wave", "both"),
}
REPORTED = {"dash": ("run", None), "walk-back": ("walk backward", None)}  # few takes, in no question


def right(seen: Recognised, action_class: str) -> bool | None:
    """Whether the action class is what is seen; None for a class that the oracle has no word for."""
    question, side = (JUDGED | REPORTED).get(action_class, (None, None))
    if question is None:
        return None
    if question in ("raise", "wave"):
        return {hand for hand in _hands(seen.segments) if hand[0] in ("raise", "wave")} == {(question, side)}
    name, direction = _main_gait(seen.segments)
    if question == "turn":
        turns = {
            s.legs.direction for s in seen.segments if s.legs.name in ("turn", "walk_turn", "walk_curve")
        }
        return name in ("walk", "turn") and turns == {side}
    if question == "walk backward":
        return (name, direction) == ("walk", "backward")
    return name == question


def _hands(segments: Iterable[Segment]) -> set[tuple[str, str | None]]:
    pairs = {(segment.arms.name, segment.arms.side) for segment in segments if segment.arms}
    return {("raise" if name == "stretch" else name, side) for name, side in pairs}


def _main_gait(segments: Iterable[Segment]) -> tuple[str, str | None]:
    """What the legs do for the longest time, walks of all kinds taken together, and in which direction."""
    frames: Counter[str] = Counter()
    directions: dict[str, Counter[str | None]] = defaultdict(Counter)
    for segment in segments:
        kind = "walk" if segment.legs.name in WALKS else segment.legs.name
        frames[kind] += segment.end - segment.start
        directions[kind][segment.legs.direction] += segment.end - segment.start
    if not frames:
        return "stand", None
    name = frames.most_common(1)[0][0]
    return name, directions[name].most_common(1)[0][0]


def tables(rows: Iterable[tuple[str, str, bool | None]]) -> dict:
    """How many are right from (action class, style, right): of the five questions, by class and by style.

    Returns:
        {"questions": {"walk": {"right", "judged", "share"}, …}, "contents": {class: {…}}, "styles": {question: …}}
    """
    questions: dict[str, list[bool]] = defaultdict(list)
    classes: dict[str, list[bool]] = defaultdict(list)
    styles: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for action_class, style, verdict in rows:
        if verdict is None:
            continue
        classes[action_class].append(verdict)
        if action_class in JUDGED:
            question = JUDGED[action_class][0]
            questions[question].append(verdict)
            styles[question][style].append(verdict)
    return {
        "questions": _counted(questions),
        "contents": _counted(classes),
        "styles": {question: _counted(row) for question, row in sorted(styles.items())},
    }


def _counted(lists: dict[str, list[bool]]) -> dict[str, dict]:
    return {name: counted(values) for name, values in sorted(lists.items())}
