"""`mmm prepare`: make or check a data set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, subcommand


@dataclasses.dataclass
class PrepareSynthetic:
    """Make the synthetic data set: a procedural choreographer, no download needed."""

    out: Path = Path("data/synthetic")
    """Folder to write."""
    clips: int = 2000
    """How many clips."""
    seed: int = 0
    """Same seed, same clips."""

    def run(self) -> None:
        from mmm.datasets import synthetic

        _report(synthetic.prepare(self.out, clips=self.clips, seed=self.seed, progress=True))


@dataclasses.dataclass
class PrepareBandai:
    """Convert Bandai-Namco Research Motiondataset 1 and 2 (BVH, real motion capture, CC BY-NC 4.0)."""

    source: UseAppendAction[tuple[Path, ...]]
    """Folder (searched recursively) or .zip / .tar.xz archive; give it again for more."""
    out: Path = Path("data/bandai")
    """Folder to write."""
    seed: int = 0
    """Of captions and splits."""
    limit: int | None = None
    """Only so many takes of each content (5 or more), for a quick look."""

    def run(self) -> None:
        from mmm.datasets import bandai

        _report(bandai.prepare(self.out, list(self.source), seed=self.seed, limit=self.limit))


@dataclasses.dataclass
class _PrepareUsers:
    source: Path
    """The folder you have obtained; it is checked and never altered."""
    out: Path | None = None
    """Folder for our side files (splits without bad clips, report); data/NAME by default."""

    kind = ""

    def run(self) -> None:
        from mmm.datasets import humanml3d

        _report(
            humanml3d.prepare(self.source, self.out or Path("data") / self.kind, self.kind, progress=True)
        )


@dataclasses.dataclass
class PrepareHumanML3D(_PrepareUsers):
    """Check a HumanML3D folder; bad clips are reported and left out by name."""

    kind = "humanml3d"


@dataclasses.dataclass
class PrepareKIT(_PrepareUsers):
    """Check a KIT-ML folder; bad clips are reported and left out by name."""

    kind = "kit"


@dataclasses.dataclass
class Prepare:
    """Make or check a data set (synthetic, bandai, humanml3d, kit)."""

    what: (
        Annotated[PrepareSynthetic, subcommand("synthetic")]
        | Annotated[PrepareBandai, subcommand("bandai")]
        | Annotated[PrepareHumanML3D, subcommand("humanml3d")]
        | Annotated[PrepareKIT, subcommand("kit")]
    )

    def run(self) -> None:
        self.what.run()


def _report(folder) -> None:
    report = folder.path / "report.md"
    if report.is_file():
        from mmm.datasets.humanml3d_check import head

        print(head(report.read_text(encoding="utf-8")))
        print(f"Each of them by name, and what was done with it: {report}\n")
    for why, names in folder.info.get("left_out", {}).items():
        print(
            f"left out, {why}: {len(names)} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}; see dataset.json)"
        )
    print(f"{folder.path}: " + ", ".join(f"{name} {len(ids)}" for name, ids in folder.splits.items()))
