"""`mmm generate`: text to motion files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from mmm.errors import require


@dataclasses.dataclass
class Generate:
    """Text to motion: `mmm generate "a person waves with the left hand" --out wave.gif --out wave.html`"""

    text: Positional[tuple[str, ...]]
    """What the person does; several texts make several motions."""
    model: Path | None = None
    """Model or run folder; the shipped model by default."""
    length: UseAppendAction[tuple[int, ...]] = ()
    """Frames (24 to 196, 20 per second); once, or once per text. By default estimated from the text."""
    seed: int = 0
    """Same text, length and seed, same motion; text i has seed + i."""
    out: UseAppendAction[tuple[Path, ...]] = ()
    """File to write: .gif .mp4 .png (film strip) .html (player) .bvh .npy; give it again for more.
    With several texts, -0, -1, … is put before the suffix."""
    steps: int | None = None
    """Passes of the sampler; by default ten for 196 frames, fewer for shorter ones."""
    guidance: float | None = None
    """How closely to follow the text (1: plain; by default the model's own, 2 for ours)."""
    temperature: float = 1.0
    """Below 1 more of the same, above 1 more varied."""
    device: str = "cpu"
    """cpu, cuda, mps."""

    def run(self) -> None:
        from mmm.model import MMM, SHIPPED

        check_device(self.device)
        outs = self.out or (Path("motion.gif"),)
        check_outs(outs)
        start = time.perf_counter()
        model = MMM.from_pretrained(self.model or SHIPPED, self.device)
        length = self.length[0] if len(self.length) == 1 else list(self.length) or None
        frames = model.frame_counts(
            list(self.text), length
        )  # also loads the text encoder if lengths are estimated
        _ = model.encoder
        loaded = time.perf_counter()
        options = {} if self.guidance is None else {"guidance": self.guidance}
        motions = model.generate(
            list(self.text), frames, self.seed, steps=self.steps, temperature=self.temperature, **options
        )
        sampled = time.perf_counter()
        for number, motion in enumerate(motions):
            for path in outs:
                path = path if len(motions) == 1 else path.with_stem(f"{path.stem}-{number}")
                motion.save(path)
                print(f"{path}: {len(motion.features)} frames, {motion.text!r}")
        print(
            f"loaded in {loaded - start:.1f} s, sampled in {sampled - loaded:.2f} s, "
            f"written in {time.perf_counter() - sampled:.1f} s"
        )


def check_device(device: str) -> None:
    """Refuse a device that torch does not have here."""
    import torch

    require(
        device.split(":")[0] in ("cpu", "cuda", "mps")
        and (not device.startswith("cuda") or torch.cuda.is_available())
        and (device != "mps" or torch.backends.mps.is_available()),
        f"--device {device}: this machine has no such device for torch; use cpu.",
    )


def check_outs(outs: Sequence[Path]) -> None:
    """Refuse a file that no motion can be written to, before anything is made."""
    from mmm.motion.clip import SUFFIXES

    for path in outs:
        require(
            path.suffix.lower() in SUFFIXES,
            f"--out {path}: cannot write {path.suffix or 'a file without suffix'}; use one of {', '.join(SUFFIXES)}.",
        )
