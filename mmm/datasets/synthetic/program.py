"""Programs: what a synthetic clip shows, stored beside the clip as JSON (ground truth).

A `Program` is a sequence of `Segment`s in time ("then"). A segment has one action of the legs and optionally one of
the arms at the same time ("while"). Later chapters compare generated motion with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

ALLOWED = {
    "side": (None, "left", "right", "both"),
    "speed": ("slow", "normal", "fast"),
    "size": ("small", "normal", "big"),
    "direction": (None, "forward", "backward", "left", "right", "up", "place"),
}


@dataclass(frozen=True)
class Action:
    """One action of the legs or of the arms.

    `side` is the limb's. `direction` is that of the movement: for a turn the way it turns, for a stretch the way it
    leans ("up" if not at all). `count` is the number of repetitions, `angle` the degrees of the turn (0: none). A
    parameter that an action does not have is None; speed and size are then "normal".
    """

    name: str
    side: str | None = None
    speed: str = "normal"
    size: str = "normal"
    count: int | None = None
    direction: str | None = None
    angle: int = 0

    def __post_init__(self) -> None:
        for key, allowed in ALLOWED.items():
            value = getattr(self, key)
            if value not in allowed:
                raise ValueError(f"the action {self.name!r} has {key} {value!r}; expected one of {allowed}.")


@dataclass(frozen=True)
class Segment:
    """Legs and arms at the same time, from frame `start` to frame `end` (exclusive).

    `distance` (metres) and `turn` (degrees, positive to the left) are measured on the path of the finished clip.
    """

    legs: Action
    arms: Action | None
    start: int
    end: int
    distance: float = 0.0
    turn: float = 0.0

    @property
    def main(self) -> Action:
        """The action that describes the segment: that of the arms if the legs only stand."""
        return self.arms if self.arms is not None and self.legs.name == "stand" else self.legs


@dataclass(frozen=True)
class Program:
    """The segments of one clip of `frames` frames at `fps`; `seed` decides its style and its variation."""

    segments: tuple[Segment, ...]
    frames: int
    seed: int
    fps: float = 20.0

    def to_dict(self) -> dict:
        """For JSON; `Program.from_dict` is the inverse."""
        return asdict(self) | {"segments": [asdict(segment) for segment in self.segments]}

    @classmethod
    def from_dict(cls, data: dict) -> Program:
        """Inverse of `to_dict`. Raises ValueError that names the key that is missing or unknown."""
        try:
            segments = [
                segment
                | {
                    "legs": Action(**segment["legs"]),
                    "arms": Action(**segment["arms"]) if segment["arms"] else None,
                }
                for segment in data["segments"]
            ]
            return cls(**data | {"segments": tuple(Segment(**segment) for segment in segments)})
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a program as Program.to_dict writes it: {error}.") from error

    def parallels(self) -> set[tuple[str, str]]:
        """(legs, arms) pairs at the same time; standing does not count."""
        return {(s.legs.name, s.arms.name) for s in self.segments if s.arms and s.legs.name != "stand"}

    def successions(self) -> set[tuple[str, str]]:
        """(first, then) pairs."""
        return {(a.main.name, b.main.name) for a, b in zip(self.segments, self.segments[1:], strict=False)}
