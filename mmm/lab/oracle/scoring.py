"""Recognised against a program: right, wrong or not applicable for each attribute.

Matching: the recognised segments and those of the program are aligned in their order (segments of either may be left
out) so that as many as possible have the same actions. `action` of a clip is right if the rows are equal: the same
legs and arms, in the same order, none missing, none more. The other attributes are compared for each action of the
program that has them: right if the matched segment shows the same action with the same value. An action without a
match is wrong on every attribute that it has. A clip is right on an attribute if all its actions are, and None if no
action has it.
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
Named = Callable[[int, Action, str], bool]


def has(segment: Segment, action: Action, attribute: str) -> bool:
    """Whether the action has the attribute at all. Arms beside moving legs have no speed of their own."""
    if attribute == "speed":
        along = action is segment.arms and segment.legs.name != "stand"
        return action.name not in UNPACED and not along
    return attribute == "action" or getattr(action, attribute) is not None


def align(seen: tuple[Segment, ...], requested: tuple[Segment, ...]) -> list[tuple[int | None, int | None]]:
    """Pairs of indices (into `seen`, into `requested`), None for a segment without a match."""
    gain = np.array([[_alike(a, b) for b in requested] for a in seen]).reshape(len(seen), len(requested))
    best = np.zeros((len(seen) + 1, len(requested) + 1))  # of the segments from i and from j on
    for i in range(len(seen) - 1, -1, -1):
        for j in range(len(requested) - 1, -1, -1):
            best[i, j] = max(gain[i, j] + best[i + 1, j + 1], best[i + 1, j], best[i, j + 1])
    i = j = 0
    pairs: list[tuple[int | None, int | None]] = []
    while i < len(seen) and j < len(requested):
        if gain[i, j] and np.isclose(best[i, j], gain[i, j] + best[i + 1, j + 1]):
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif np.isclose(best[i, j], best[i + 1, j]):
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return pairs + [(k, None) for k in range(i, len(seen))] + [(None, k) for k in range(j, len(requested))]


def _alike(a: Segment, b: Segment) -> float:
    names, others = ({x.name for x in actions_of(s)} for s in (a, b))
    if names == others:
        return 1.0
    return 0.4 * len(names & others) / len(names | others)


@dataclass
class Verdict:
    """The comparisons of one clip: (action's name, attribute, right) of each, and whether the rows are equal."""

    whole: bool
    judged: list[tuple[str, str, bool]] = field(default_factory=list)

    def of(self, attribute: str) -> bool | None:
        """Right, wrong or None (not applicable)."""
        if attribute == "action":
            return self.whole
        rights = [right for _, kind, right in self.judged if kind == attribute]
        return all(rights) if rights else None


def judge(seen: Recognised, requested: Program, named: Named | None = None) -> Verdict:
    """Every comparison of a clip. `named(segment, action, attribute)` may leave out what a caption does not name."""
    verdict = Verdict(whole=True)
    for i, j in align(seen.segments, requested.segments):
        if j is None:
            verdict.whole = False
            continue
        partners = {} if i is None else {a.name: a for a in actions_of(seen.segments[i])}
        actions = actions_of(requested.segments[j])
        verdict.whole &= set(partners) == {a.name for a in actions}
        for action in actions:
            partner = partners.get(action.name)
            for attribute in ATTRIBUTES:
                if not has(requested.segments[j], action, attribute):
                    continue
                if named and not named(j, action, attribute):
                    continue
                right = partner is not None and (
                    attribute == "action" or getattr(partner, attribute) == getattr(action, attribute)
                )
                verdict.judged.append((action.name, attribute, right))
    return verdict


def accuracy(verdicts: Iterable[Verdict]) -> dict:
    """How many are right: clips by attribute, and single actions by name and attribute.

    Returns:
        {"clips": n, "attributes": {attribute: {"right", "judged", "share"}}, "all": {…}, "actions": {name: {…}}};
        "all" counts the clips that are right on every attribute.
    """
    verdicts = list(verdicts)
    clips = {name: [verdict.of(name) for verdict in verdicts] for name in ATTRIBUTES}
    actions: dict[str, dict[str, list[bool]]] = defaultdict(lambda: {name: [] for name in ATTRIBUTES})
    for verdict in verdicts:
        for name, attribute, right in verdict.judged:
            actions[name][attribute].append(right)
    return {
        "clips": len(verdicts),
        "attributes": {name: counted(values) for name, values in clips.items()},
        "all": counted([all(v is not False for v in row) for row in zip(*clips.values(), strict=True)]),
        "actions": {
            name: {attribute: counted(values) for attribute, values in row.items() if values}
            for name, row in sorted(actions.items())
        },
    }


def counted(values: Iterable[bool | None]) -> dict:
    """How many are right, of how many that are not None, and the ratio of the two."""
    known = [value for value in values if value is not None]
    right = sum(known)
    ratio = round(right / len(known), 4) if known else None
    return {"right": right, "judged": len(known), "share": ratio}
