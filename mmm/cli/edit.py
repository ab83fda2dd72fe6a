"""`mmm edit`: edit a motion of yours, or generate a long one from several texts."""

from __future__ import annotations

import abc
import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, subcommand

from mmm.cli.generate import Sampling, check_quotes, print_notes
from mmm.errors import require

Gaps = UseAppendAction[tuple[tuple[int, int], ...]]


@dataclasses.dataclass
class _EditOfMotion(Sampling, abc.ABC):
    source: Positional[Path] = dataclasses.field(kw_only=True)
    """Your motion: a .bvh file (`mmm import FILE` shows how it is read), or .npy with joints (T, 22, 3) in metres
    at 20 frames per second or features (T, 263), such as data/bandai/new_joint_vecs/ID.npy. From a .bvh to a .bvh the
    motion keeps its position, direction and size; it then has 20 frames per second."""
    map: Path | None = None
    """YAML file that says which joint of a .bvh is which; known skeletons and usual names need none."""
    unit: str | None = None
    """Unit of a .bvh: cm, m, mm, inch or metres per unit; by default guessed from the size of the body."""
    up: str | None = None
    """Up axis of a .bvh: y, z, x, -y, -z or -x; guessed by default."""
    compare: Path | None = None
    """.gif or .mp4 with your motion and the edit side by side."""

    def run(self) -> None:
        from mmm.bvh.capture import load_motion
        from mmm.viz.animation import animate_beside

        require(
            self.compare is None or self.compare.suffix.lower() in (".gif", ".mp4"),
            f"--compare {self.compare}: an animation's suffix is .gif or .mp4.",
        )
        source = load_motion(self.source, joint_map=self.map, unit=self.unit, up=self.up)
        model = self.load()
        if source.source.joint_map is not None and source.source.joint_map.name == "guessed":
            print(source.report())
        start = time.perf_counter()
        edited = self.edit(model, source.motion)
        print(f"{len(source.motion.features)} frames read, edited in {time.perf_counter() - start:.2f} s")
        print_notes([edited])
        edited = self.fixed(edited)
        for path in self.outs:
            in_place = path.suffix.lower() == ".bvh" and source.placement is not None
            (self.in_world_of(source, edited) if in_place else edited).save(path)
            _report(path, edited)
        if self.compare:
            animate_beside([source.motion, edited], self.compare, ["before", edited.text])
            print(f"{self.compare}: before and after")

    @abc.abstractmethod
    def edit(self, model: Any, motion: Any) -> Any:
        """The edited motion."""

    def kept_frame(self, motion: Any) -> tuple[int, int]:
        """A kept frame of the edited motion, and the number of frames that were added before it."""
        gaps = sorted(getattr(self, "gap", ()))
        return (gaps[0][1] if gaps and gaps[0][0] == 0 else 0), 0

    def in_world_of(self, source: Any, edited: Any) -> Any:
        """`edited` in the world of the user's own motion: a kept frame stands where it stood before."""
        from mmm.bvh.placement import stand_on
        from mmm.motion import Motion

        frame, added = self.kept_frame(source.motion)
        joints = stand_on(edited.joints, frame, source.motion.joints[frame - added])
        return Motion.from_joints(source.placement.to_world(joints), edited.fps, edited.text)


@dataclasses.dataclass
class InBetween(_EditOfMotion):
    """Regenerate some frames, keep the others: `mmm edit inbetween walk.bvh --gap 40 80 --text "a person bows"`"""

    gap: Gaps = ()
    """First frame of the gap and the first frame after it, 20 per second; give it again for more gaps."""
    text: str | None = None
    """What happens in the gap; without it only the kept frames decide."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.inbetween(motion, list(self.gap), self.text, **self.options())


@dataclasses.dataclass
class Outpaint(_EditOfMotion):
    """Extend the motion: `mmm edit outpaint walk.bvh --length 180 --text "a person turns left"`"""

    length: int = dataclasses.field(kw_only=True)
    """Frames of the result, 20 per second."""
    text: str | None = None
    """What happens in the new frames; without it only the kept frames decide."""
    side: Literal["after", "before", "both"] = "after"
    """Where the new frames are added."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.outpaint(motion, self.length, self.text, self.side, **self.options())

    def kept_frame(self, motion: Any) -> tuple[int, int]:
        from mmm.editing import frames_to_add

        before, _ = frames_to_add(len(motion.features), self.length, self.side)
        return before, before


@dataclasses.dataclass
class UpperBody(_EditOfMotion):
    """Another upper body on the same legs: `mmm edit upper-body walk.bvh --text "waves with the left hand"`"""

    text: str = dataclasses.field(kw_only=True)
    """What the upper body does."""
    gap: Gaps = ()
    """Only these frames (first, first after them); everywhere by default. Give it again for more."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.edit_upper_body(motion, self.text, list(self.gap) or None, **self.options())


@dataclasses.dataclass
class LowerBody(UpperBody):
    """Other legs, path and heading under the same upper body: `mmm edit lower-body wave.bvh --text "walks forward"`"""

    text: str = dataclasses.field(kw_only=True)
    """What the legs do."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.edit_lower_body(motion, self.text, list(self.gap) or None, **self.options())


@dataclasses.dataclass
class Long(Sampling):
    """Actions one after the other: `mmm edit long "a person walks, then runs, then raises both hands"`"""

    text: Positional[tuple[str, ...]] = dataclasses.field(kw_only=True)
    """One text for each action, or one text that is cut at every "then"."""
    length: UseAppendAction[tuple[int, ...]] = ()
    """Frames of each action (24 to 196), once per action, in order; estimated by default."""
    transition: int = 4
    """Tokens (4 frames each) that are generated with both neighbours in sight; half of them from either action."""

    def run(self) -> None:
        check_quotes("edit long", self.text)
        model = self.load()
        texts = self.text[0] if len(self.text) == 1 else list(self.text)
        start = time.perf_counter()
        options = {"transition": self.transition, **self.options()}
        motion = self.fixed(model.generate_long(texts, list(self.length) or None, **options))
        print(f"{len(motion)} frames generated in {time.perf_counter() - start:.2f} s")
        print_notes([motion])
        for path in self.outs:
            motion.save(path)
            _report(path, motion)


def _report(path: Path, motion: Any) -> None:
    print(f"{path}: {len(motion)} frames, {motion.duration:.1f} s, {motion.text!r}")


@dataclasses.dataclass
class EditCommand:
    """Edit a motion (inbetween, outpaint, upper-body, lower-body), or generate a long one from several texts (long)."""

    what: (
        Annotated[InBetween, subcommand("inbetween")]
        | Annotated[Outpaint, subcommand("outpaint")]
        | Annotated[UpperBody, subcommand("upper-body")]
        | Annotated[LowerBody, subcommand("lower-body")]
        | Annotated[Long, subcommand("long")]
    )

    def run(self) -> None:
        self.what.run()
