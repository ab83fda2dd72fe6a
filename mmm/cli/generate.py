"""`mmm generate`: text to motion files."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional, UseAppendAction

from mmm.errors import check_file_to_write, require, short


@dataclasses.dataclass
class Sampling:
    """The flags that `mmm generate` and `mmm edit` share."""

    out: UseAppendAction[tuple[Path, ...]] = ()
    """File to write: .gif .mp4 .png (film strip) .html (player) .bvh .npy; give it again for more files. By default
    motion.gif."""
    model: Path | None = None
    """Model or run folder, or the name of a shipped model (everyday-small, bandai-small, open-small); by
    default everyday-small."""
    seed: int = 0
    """The same input and seed give the same motion."""
    steps: int | None = None
    """Passes of the sampler; by default ten for 196 frames, fewer for shorter motions."""
    guidance: float | None = None
    """How closely to follow the text (1: plain; by default the model's own)."""
    temperature: float = 1.0
    """Below 1 motions vary less, above 1 more."""
    fix_feet: bool = False
    """Afterwards hold standing feet in place (`mmm.bvh.feet`); in an edit those of kept frames too."""
    device: str = "cpu"
    """cpu, cuda, mps."""
    precision: Literal["no", "bf16", "auto"] = "no"
    """no: float32. bf16: faster on a GPU and on a CPU with AMX; every second motion is then another, of the same
    quality. auto: bf16 where it is faster."""

    @property
    def outs(self) -> tuple[Path, ...]:
        return self.out or (Path("motion.gif"),)

    def load(self) -> Any:
        """The model; ValueError for a device or a file that cannot be used, before anything is sampled."""
        from mmm.model import MMM, SHIPPED

        check_device(self.device)
        check_outs(self.outs)
        return MMM.from_pretrained(self.model or SHIPPED, self.device)

    def options(self) -> dict[str, Any]:
        """Options of the sampler."""
        names = ("steps", "temperature", "seed", "precision")
        options = {name: getattr(self, name) for name in names}
        return options if self.guidance is None else options | {"guidance": self.guidance}

    def fixed(self, motion: Any) -> Any:
        """The motion with its feet held in place if --fix-feet says so."""
        if not self.fix_feet:
            return motion
        from mmm.bvh.feet import fix_feet

        return fix_feet(motion)


@dataclasses.dataclass
class Generate(Sampling):
    """Text to motion: `mmm generate "a person waves with the left hand" --out wave.gif --out wave.html`

    With several texts, text i has seed + i, and -0, -1, … is put before the suffix of each file."""

    text: Positional[tuple[str, ...]] = dataclasses.field(kw_only=True)
    """What the person does; several texts give several motions."""
    length: UseAppendAction[tuple[int, ...]] = ()
    """Frames (24 to 196 for each action, 20 per second); once, or once per text. By default estimated from the text."""
    split: bool = True
    """Cut a text at every "then": each action is generated on its own, and then the transitions. --no-split: all
    actions at once, as in the paper."""
    best_of: int = 1
    """Candidates for each text; an evaluator chooses the one nearest to its text. 8 takes eight times as long."""
    reach: UseAppendAction[tuple[str, ...]] = ()
    """A joint at a position in a frame: left_wrist@60:0.3,1.6,0.5 is JOINT@FRAME:X,Y,Z; give it again for more. Joints:
    pelvis, left_hip, right_hip, spine1, left_knee, right_knee, spine2, left_ankle, right_ankle, spine3, left_foot,
    right_foot, neck, left_collar, right_collar, head, left_shoulder, right_shoulder, left_elbow, right_elbow,
    left_wrist, right_wrist. Frames count from 0, 20 per second. Positions are in metres in the world: x to the left of
    the person at the start, y up from the floor, z ahead. The root (pelvis) starts at x = z = 0 and faces z+."""
    path: Path | None = None
    """The root's path on the floor: a .csv with columns x,z (metres, in the same world, so the first point is 0,0),
    spread evenly over the length; or frame,x,z for points in these frames only."""

    def run(self) -> None:
        check_quotes("generate", self.text)
        from mmm.constraints import parse_reach, read_path

        start = time.perf_counter()
        constraints = [parse_reach(text) for text in self.reach] + (
            [read_path(self.path)] if self.path else []
        )
        model, texts = self.load(), list(self.text)
        length = self.length[0] if len(self.length) == 1 else list(self.length) or None
        model.plan(texts, length, self.split)  # refuses lengths before the text encoder is loaded
        _ = model.encoder  # loaded here, so that it does not count as sampling
        loaded = time.perf_counter()
        how = {"split": self.split, "constraints": constraints, "best_of": self.best_of, **self.options()}
        motions = model.generate(texts, length, **how)
        sampled = time.perf_counter()
        print_notes(motions)
        for number, motion in enumerate(map(self.fixed, motions)):
            for path in self.outs:
                path = path if len(motions) == 1 else path.with_stem(f"{path.stem}-{number}")
                motion.save(path)
                print(f"{path}: {len(motion)} frames, {motion.text!r}")
        print(
            f"loaded in {loaded - start:.1f} s, sampled in {sampled - loaded:.2f} s, "
            f"written in {time.perf_counter() - sampled:.1f} s"
        )


def print_notes(motions: Sequence[Any]) -> None:
    """Each note once, on stderr."""
    for note in dict.fromkeys(motion.note for motion in motions if motion.note):
        print(note, file=sys.stderr)


def check_quotes(command: str, texts: Sequence[str]) -> None:
    """Refuse several texts of one word each: they are one text whose quotes were forgotten."""
    require(
        len(texts) < 2 or any(len(text.split()) > 1 for text in texts),
        f"{len(texts)} texts of one word each; put quotes around a text: "
        f'mmm {command} "{short(" ".join(texts))}" …',
    )


def check_device(device: str) -> None:
    """Refuse a device that torch does not have on this machine."""
    import torch

    require(
        device.split(":")[0] in ("cpu", "cuda", "mps")
        and (not device.startswith("cuda") or torch.cuda.is_available())
        and (device != "mps" or torch.backends.mps.is_available()),
        f"--device {device}: this machine has no such device for torch; use cpu.",
    )


def check_outs(outs: Sequence[Path]) -> None:
    """Refuse a file that no motion can be written to."""
    from mmm.motion.clip import SUFFIXES

    for path in outs:
        require(
            path.suffix.lower() in SUFFIXES,
            f"--out {path}: cannot write {path.suffix or 'a file without suffix'}; use one of {', '.join(SUFFIXES)}.",
        )
        check_file_to_write(path, "--out")
