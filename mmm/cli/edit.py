"""`mmm edit`: your motion in, what you did not touch back out."""

from __future__ import annotations

import abc
import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, subcommand

from mmm.errors import require


@dataclasses.dataclass
class _Editing:
    out: UseAppendAction[tuple[Path, ...]] = ()
    """File to write: .gif .mp4 .png (film strip) .html (player) .bvh .npy; give it again for more. motion.gif by
    default. A .bvh of a motion that came as .bvh is put back where yours was, in its size, at 20 frames per second."""
    model: Path | None = None
    """Model or run folder; the shipped model by default."""
    seed: int = 0
    """Same motion, text and seed, same edit."""
    fix_feet: bool = False
    """Feet that stand are held in place afterwards, in the kept frames as well (`mmm.bvh.feet`)."""
    steps: int | None = None
    """Passes of the sampler; by default ten for 196 frames, fewer for shorter ones."""
    guidance: float | None = None
    """How closely to follow the text (1: plain; by default the model's own, 2 for ours)."""
    temperature: float = 1.0
    """Below 1 more of the same, above 1 more varied."""
    device: str = "cpu"
    """cpu, cuda, mps."""

    def load(self) -> Any:
        from mmm.cli.generate import check_device, check_outs
        from mmm.model import MMM, SHIPPED

        check_device(self.device)
        check_outs(self.outs)
        return MMM.from_pretrained(self.model or SHIPPED, self.device)

    @property
    def outs(self) -> tuple[Path, ...]:
        return self.out or (Path("motion.gif"),)

    def options(self) -> dict[str, Any]:
        given = {"steps": self.steps, "temperature": self.temperature, "seed": self.seed}
        return given if self.guidance is None else given | {"guidance": self.guidance}

    def write(self, motion: Any, source: Any = None, anchor: tuple = ()) -> Any:
        """Save under every name; `source` is what `load_motion` gave, if the motion is an edit of one. The motion as
        it was written."""
        if self.fix_feet:
            from mmm.bvh.feet import fix_feet

            motion = fix_feet(motion)
        placement = getattr(source, "placement", None)
        for path in self.outs:
            if path.suffix.lower() == ".bvh" and placement is not None:
                _placed(motion, placement, *anchor).save(path)
            else:
                motion.save(path)
            print(f"{path}: {len(motion)} frames, {motion.duration:.1f} s, {motion.text!r}")
        return motion


def _placed(motion: Any, placement: Any, source: Any, frame: int, before: int = 0) -> Any:
    """The motion in the world that the user's own came from: its frame `frame` stands where that of the source did."""
    from mmm.bvh.placement import stand_on
    from mmm.motion import Motion

    joints = stand_on(motion.joints, frame, source.joints[frame - before])
    return Motion.from_joints(placement.to_world(joints), motion.fps, motion.text)


@dataclasses.dataclass
class _EditOfMotion(_Editing, abc.ABC):
    source: Positional[Path] = dataclasses.field(kw_only=True)
    """Your motion: a .bvh file (`mmm import FILE` shows how it is understood), or .npy with joints (T, 22, 3) in metres
    at 20 frames per second or features (T, 263), such as data/bandai/new_joint_vecs/ID.npy."""
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

        if self.compare:
            require(
                self.compare.suffix.lower() in (".gif", ".mp4"),
                f"--compare {self.compare}: an animation's suffix is .gif or .mp4.",
            )

        source = load_motion(self.source, joint_map=self.map, unit=self.unit, up=self.up)
        model = self.load()
        if source.source.joint_map is not None and source.source.joint_map.name == "guessed":
            print(source.report())
        start = time.perf_counter()
        edited = self.edit(model, source.motion)
        print(f"{len(source.motion.features)} frames read, edited in {time.perf_counter() - start:.2f} s")
        edited = self.write(edited, source, self.anchor(source.motion))
        if self.compare:
            animate_beside([source.motion, edited], self.compare, ["before", edited.text])
            print(f"{self.compare}: before and after")

    @abc.abstractmethod
    def edit(self, model: Any, motion: Any) -> Any:
        """The edited motion."""

    def anchor(self, motion: Any) -> tuple:
        """For `_placed`: the motion that was edited, a kept frame of the edit, how many frames are new before it."""
        gaps = sorted(getattr(self, "gap", ()))
        return motion, gaps[0][1] if gaps and gaps[0][0] == 0 else 0


@dataclasses.dataclass
class InBetween(_EditOfMotion):
    """Some frames made anew, the others kept: `mmm edit inbetween walk.bvh --gap 40 80 --text "a person bows"`"""

    gap: UseAppendAction[tuple[tuple[int, int], ...]] = ()
    """First frame of the gap and the frame behind its last, 20 a second; give it again for more gaps."""
    text: str | None = None
    """What happens in the gap; without it the kept frames alone decide."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.inbetween(motion, list(self.gap), self.text, **self.options())


@dataclasses.dataclass
class Outpaint(_EditOfMotion):
    """The motion led on: `mmm edit outpaint walk.bvh --length 180 --text "a person turns left"`"""

    length: int = dataclasses.field(kw_only=True)
    """Frames that the whole is to have, 20 a second."""
    text: str | None = None
    """What happens there; without it the kept frames alone decide."""
    side: Literal["after", "before", "both"] = "after"
    """Where the new frames go."""

    def edit(self, model: Any, motion: Any) -> Any:
        return model.outpaint(motion, self.length, self.text, self.side, **self.options())

    def anchor(self, motion: Any) -> tuple:
        from mmm.editing import frames_to_add

        before, _ = frames_to_add(len(motion.features), self.length, self.side)
        return motion, before, before


@dataclasses.dataclass
class UpperBody(_EditOfMotion):
    """Another upper body on the same legs: `mmm edit upper-body walk.bvh --text "waves with the left hand"`"""

    text: str = dataclasses.field(kw_only=True)
    """What the upper body does."""
    gap: UseAppendAction[tuple[tuple[int, int], ...]] = ()
    """Only these frames (first, behind the last); everywhere by default. Give it again for more."""

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
class Long(_Editing):
    """Actions one after the other: `mmm edit long "a person walks, then runs, then raises both hands"`"""

    text: Positional[tuple[str, ...]] = dataclasses.field(kw_only=True)
    """One text for each action, or one text that is cut at every "then"."""
    length: UseAppendAction[tuple[int, ...]] = ()
    """Frames of each action (24 to 196), once an action, in order; estimated by default."""
    transition: int = 4
    """Tokens (4 frames each) that are made with both neighbours in sight; half of them from either."""

    def run(self) -> None:
        model = self.load()
        texts = self.text[0] if len(self.text) == 1 else list(self.text)
        start = time.perf_counter()
        how = {"transition": self.transition, **self.options()}
        motion = model.generate_long(texts, list(self.length) or None, **how)
        print(f"{len(motion.features)} frames made in {time.perf_counter() - start:.2f} s")
        self.write(motion)


@dataclasses.dataclass
class EditCommand:
    """Edit a motion (inbetween, outpaint, upper-body, lower-body), or make a long one of many texts (long)."""

    what: (
        Annotated[InBetween, subcommand("inbetween")]
        | Annotated[Outpaint, subcommand("outpaint")]
        | Annotated[UpperBody, subcommand("upper-body")]
        | Annotated[LowerBody, subcommand("lower-body")]
        | Annotated[Long, subcommand("long")]
    )

    def run(self) -> None:
        self.what.run()
