"""`mmm edit`: edit a motion of yours, or generate a long one from several texts."""

from __future__ import annotations

import abc
import dataclasses
import sys
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
    at 20 frames per second or features (T, 263), such as data/bandai/new_joint_vecs/ID.npy. From a .bvh to a .bvh you
    get your file back: its joints, unit, axes, frame rate and place. Kept frames have its numbers; fingers and other
    joints that HumanML3D lacks go over from the kept frame before a gap to the one after it."""
    map: Path | None = None
    """YAML file that says which joint of a .bvh is which; known skeletons and usual names need none."""
    unit: str | None = None
    """Unit of a .bvh: cm, m, mm, inch or metres per unit; by default guessed from the size of the body."""
    up: str | None = None
    """Up axis of a .bvh: y, z, x, -y, -z or -x; guessed by default."""
    source_fps: float | None = None
    """Frames per second of your .bvh where its own 'Frame Time:' is wrong."""
    skip: float = 0.0
    """Seconds at the start of your motion to leave out, such as a T-pose; frames count from there."""
    fps: float | None = None
    """Frames per second of a .bvh that is made from a .bvh; by default those of your file."""
    names: Literal["own", "humanml3d"] = "own"
    """Joints of a .bvh that is made from a .bvh: your file's, or a rigid body of HumanML3D's 22 in your size."""
    compare: Path | None = None
    """.gif or .mp4 with your motion and the edit side by side."""

    def run(self) -> None:
        from mmm.bvh.capture import load_motion
        from mmm.bvh.retarget import check_format, save_edit
        from mmm.viz.animation import animate_beside

        require(
            self.compare is None or self.compare.suffix.lower() in (".gif", ".mp4"),
            f"--compare {self.compare}: an animation's suffix is .gif or .mp4.",
        )
        check_format(self.fps, self.names)
        try:
            source = load_motion(self.source, self.map, self.unit, self.up, self.source_fps, self.skip)
        except ValueError as error:  # what `mmm import` calls --fps: here that is the result's
            raise ValueError(str(error).replace("--fps", "--source-fps")) from error
        model = self.load()
        if source.source.joint_map is not None and source.source.joint_map.name == "guessed":
            print(source.report())
        else:
            for note in source.source.notes + source.doubts:
                print(f"note: {note}", file=sys.stderr)
        start = time.perf_counter()
        edited = self.edit(model, source.motion)
        print(f"{len(source.motion.features)} frames read, edited in {time.perf_counter() - start:.2f} s")
        print_notes([edited])
        edited = self.fixed(edited)
        for path in self.outs:
            if path.suffix.lower() == ".bvh" and source.source.bvh is not None:
                frames = save_edit(path, source, edited, self.fps, self.names)
                print(
                    f"{path}: {frames} frames, {frames / (self.fps or source.source.fps):.1f} s, {edited.text!r}"
                )
            else:
                edited.save(path)
                _report(path, edited)
        if self.compare:
            animate_beside([source.motion, edited], self.compare, ["before", edited.text])
            print(f"{self.compare}: before and after")

    @abc.abstractmethod
    def edit(self, model: Any, motion: Any) -> Any:
        """The edited motion."""


@dataclasses.dataclass
class InBetween(_EditOfMotion):
    """Regenerate some frames, keep the others: `mmm edit inbetween walk.bvh --gap 40 80 --text "a person bows"`"""

    gap: Gaps = ()
    """First frame of the gap and the first frame after it, 20 per second; give it again for more gaps."""
    text: UseAppendAction[tuple[str, ...]] = ()
    """What happens in the gaps; give it again for one text for each gap. Without it only the kept frames decide."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.inbetween(motion, list(self.gap), list(self.text) or None, **self.options())


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


@dataclasses.dataclass
class UpperBody(_EditOfMotion):
    """Another upper body on the same legs: `mmm edit upper-body walk.bvh --text "waves with the left hand"`"""

    text: UseAppendAction[tuple[str, ...]] = dataclasses.field(kw_only=True)
    """What the upper body does; give it again for one text for each gap."""
    gap: Gaps = ()
    """Only these frames (first, first after them); everywhere by default. Give it again for more."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.edit_upper_body(motion, list(self.text), list(self.gap) or None, **self.options())


@dataclasses.dataclass
class LowerBody(UpperBody):
    """Other legs, path and heading under the same upper body: `mmm edit lower-body wave.bvh --text "walks forward"`"""

    text: UseAppendAction[tuple[str, ...]] = dataclasses.field(kw_only=True)
    """What the legs do; give it again for one text for each gap."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.edit_lower_body(motion, list(self.text), list(self.gap) or None, **self.options())


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
