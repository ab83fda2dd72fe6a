"""Programs: what a procedural clip was asked to show, kept beside the clip as JSON (ground truth).

A `Program` is a row of `Segment`s joined in time ("then"); a segment has one action of the legs and perhaps
one of the arms in parallel ("while"). Later chapters check generated motion against it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

SIDES = ("left", "right", "both")
SPEEDS = ("slow", "normal", "fast")
SIZES = ("small", "normal", "big")
DIRECTIONS = ("forward", "backward", "left", "right", "up", "place")


@dataclass(frozen=True)
class Action:
    """One action of the legs or of the arms.

    `side` is the limb's, `direction` that of the movement (for a turn the way it turns, for a stretch the way
    it leans, "up" if not at all), `count` how often it is done, `angle` the degrees of turning asked for
    (0: none). A parameter that an action does not have is None; speed and size are then "normal".
    """

    name: str
    side: str | None = None
    speed: str = "normal"
    size: str = "normal"
    count: int | None = None
    direction: str | None = None
    angle: int = 0

    def __post_init__(self) -> None:
        for key, allowed in (("side", (None, *SIDES)), ("speed", SPEEDS), ("size", SIZES)):
            if getattr(self, key) not in allowed:
                raise ValueError(
                    f"Action {self.name!r}: {key} is {getattr(self, key)!r}; use one of {allowed}."
                )
        if self.direction not in (None, *DIRECTIONS):
            raise ValueError(
                f"Action {self.name!r}: direction is {self.direction!r}; use one of {DIRECTIONS}."
            )


@dataclass(frozen=True)
class Segment:
    """Legs and arms at the same time, from frame `start` to frame `end` (exclusive).

    `distance` (metres) and `turn` (degrees, to the left positive) are measured on the path that was danced.
    """

    legs: Action
    arms: Action | None
    start: int
    end: int
    distance: float = 0.0
    turn: float = 0.0

    @property
    def main(self) -> Action:
        """What one would say the person does: the arms' action when the legs merely stand."""
        return self.arms if self.arms is not None and self.legs.name == "stand" else self.legs


@dataclass(frozen=True)
class Program:
    """The segments of one clip of `frames` frames at `fps`; `seed` decides its style and its variation."""

    segments: tuple[Segment, ...]
    frames: int
    seed: int
    fps: float = 20.0

    def to_json(self) -> str:
        """One JSON text; `Program.from_json` gives an equal program back."""
        return json.dumps(asdict(self), indent=1)

    def to_dict(self) -> dict:
        return json.loads(self.to_json())

    @classmethod
    def from_dict(cls, data: dict) -> Program:
        """Inverse of `to_dict`. Raises ValueError naming the key that is missing or unknown."""
        try:
            segments = tuple(
                Segment(
                    **{
                        **segment,
                        "legs": Action(**segment["legs"]),
                        "arms": Action(**segment["arms"]) if segment["arms"] else None,
                    }
                )
                for segment in data["segments"]
            )
            return cls(**{**data, "segments": segments})
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is not a program as Program.to_json writes it: {error}.") from error

    @classmethod
    def from_json(cls, text: str) -> Program:
        """Inverse of `to_json`. Raises ValueError where the text is no program."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"This program is not JSON: {error}.") from error
        return cls.from_dict(data)

    def parallels(self) -> set[tuple[str, str]]:
        """(legs, arms) pairs done at once; standing does not count."""
        return {(s.legs.name, s.arms.name) for s in self.segments if s.arms and s.legs.name != "stand"}

    def successions(self) -> set[tuple[str, str]]:
        """(first, then) pairs."""
        return {(a.main.name, b.main.name) for a, b in zip(self.segments, self.segments[1:], strict=False)}
