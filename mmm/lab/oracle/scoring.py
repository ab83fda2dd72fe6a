"""Recognised against a program: right, wrong or not applicable for each attribute.

Matching: the two rows of segments are laid side by side in their order (an alignment that may leave out segments
of either row) so that as many as possible have the same actions. `action` of a clip is right if the rows are equal:
the same legs and arms, in the same order, none missing, none more. The other attributes are judged on each action of
the program that has them: right if the segment it is matched with shows the same action with the same value; an
action that found no partner is wrong on every attribute that it has. A clip is right on an attribute if all its
actions are, and None if none has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.oracle.recognition import Recognised, actions_of

ATTRIBUTES = ("action", "side", "count", "direction", "speed")
UNPACED = ("stand", "jump", "throw")  # have no speed of their own
Told = Callable[[int, Action, str], bool]


def has(segment: Segment, action: Action, attribute: str) -> bool:
    """Whether the action has the attribute at all. Arms that go along with the legs keep the legs' time."""
    if attribute == "speed":
        along = action is segment.arms and segment.legs.name != "stand"
        return action.name not in UNPACED and not along
    return attribute == "action" or getattr(action, attribute) is not None


def align(seen: tuple[Segment, ...], asked: tuple[Segment, ...]) -> list[tuple[int | None, int | None]]:
    """Pairs of places (in `seen`, in `asked`), None for a segment without partner."""
    worth = np.array([[_alike(a, b) for b in asked] for a in seen]).reshape(len(seen), len(asked))
    best = np.zeros((len(seen) + 1, len(asked) + 1))
    for i in range(len(seen) - 1, -1, -1):
        for j in range(len(asked) - 1, -1, -1):
            best[i, j] = max(worth[i, j] + best[i + 1, j + 1], best[i + 1, j], best[i, j + 1])
    i = j = 0
    pairs: list[tuple[int | None, int | None]] = []
    while i < len(seen) and j < len(asked):
        if worth[i, j] and np.isclose(best[i, j], worth[i, j] + best[i + 1, j + 1]):
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif np.isclose(best[i, j], best[i + 1, j]):
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return pairs + [(k, None) for k in range(i, len(seen))] + [(None, k) for k in range(j, len(asked))]


def _alike(a: Segment, b: Segment) -> float:
    names, others = ({x.name for x in actions_of(s)} for s in (a, b))
    if names == others:
        return 1.0
    return 0.4 * len(names & others) / len(names | others)


@dataclass
class Verdict:
    """What was judged in one clip: (action's name, attribute, right) for each, and whether the rows are equal."""

    whole: bool
    judged: list[tuple[str, str, bool]] = field(default_factory=list)

    def of(self, attribute: str) -> bool | None:
        if attribute == "action":
            return self.whole
        found = [right for _, kind, right in self.judged if kind == attribute]
        return all(found) if found else None


def judge(seen: Recognised, asked: Program, told: Told | None = None) -> Verdict:
    """Every single judgement. `told(segment, action, attribute)` may leave out what nobody asked for."""
    verdict = Verdict(whole=True)
    for i, j in align(seen.segments, asked.segments):
        if j is None:
            verdict.whole = False
            continue
        partners = {} if i is None else {a.name: a for a in actions_of(seen.segments[i])}
        actions = actions_of(asked.segments[j])
        verdict.whole &= set(partners) == {a.name for a in actions}
        for action in actions:
            partner = partners.get(action.name)
            for attribute in ATTRIBUTES:
                if not has(asked.segments[j], action, attribute) or (told and not told(j, action, attribute)):
                    continue
                right = partner is not None and (
                    attribute == "action" or getattr(partner, attribute) == getattr(action, attribute)
                )
                verdict.judged.append((action.name, attribute, right))
    return verdict


def score(seen: Recognised, asked: Program, told: Told | None = None) -> dict[str, bool | None]:
    """Right, wrong or None (not applicable) for each attribute of a clip; see the module for the rules."""
    verdict = judge(seen, asked, told)
    return {attribute: verdict.of(attribute) for attribute in ATTRIBUTES}


def accuracy(verdicts: Iterable[Verdict]) -> dict:
    """Shares that are right: of clips for each attribute, and of single actions by name and attribute.

    Returns:
        {"clips": n, "attributes": {attribute: {"right", "judged", "share"}}, "all": {…}, "actions": {name: {…}}};
        "all" counts the clips that are right on every attribute.
    """
    verdicts = list(verdicts)
    table: dict[str, list[int]] = {a: [0, 0] for a in (*ATTRIBUTES, "all")}
    actions: dict[str, dict[str, list[int]]] = defaultdict(lambda: {a: [0, 0] for a in ATTRIBUTES})
    for verdict in verdicts:
        values = [verdict.of(a) for a in ATTRIBUTES]
        for name, value in zip(
            (*ATTRIBUTES, "all"), (*values, all(v is not False for v in values)), strict=True
        ):
            if value is not None:
                table[name][0] += value
                table[name][1] += 1
        for name, attribute, right in verdict.judged:
            actions[name][attribute][0] += right
            actions[name][attribute][1] += 1
    return {
        "clips": len(verdicts),
        "attributes": {name: _share(*table[name]) for name in ATTRIBUTES},
        "all": _share(*table["all"]),
        "actions": {
            name: {a: _share(*counts) for a, counts in row.items() if counts[1]}
            for name, row in sorted(actions.items())
        },
    }


def _share(right: int, judged: int) -> dict:
    return {"right": right, "judged": judged, "share": round(right / judged, 4) if judged else None}
