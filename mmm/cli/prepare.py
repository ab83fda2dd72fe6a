"""`mmm prepare`: create a data set, or check the user's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, subcommand


@dataclasses.dataclass
class PrepareSynthetic:
    """Create the synthetic data set with a procedural choreographer; it needs no download."""

    out: Path = Path("data/synthetic")
    """Folder to write."""
    clips: int = 2000
    """Number of clips."""
    seed: int = 0
    """The same seed gives the same clips."""

    def run(self) -> None:
        from mmm.datasets import synthetic

        _report(synthetic.prepare(self.out, clips=self.clips, seed=self.seed, progress=True))


@dataclasses.dataclass
class PrepareBandai:
    """Convert Bandai-Namco Research Motiondataset 1 and 2 (BVH, real motion capture, CC BY-NC 4.0)."""

    source: UseAppendAction[tuple[Path, ...]]
    """Folder (searched recursively) or .zip / .tar.xz archive; repeat the option for several."""
    out: Path = Path("data/bandai")
    """Folder to write."""
    seed: int = 0
    """Seed of captions and splits."""
    limit: int | None = None
    """At most this many takes of each action class (5 or more), for a quick look."""

    def run(self) -> None:
        from mmm.datasets import bandai

        _report(bandai.prepare(self.out, list(self.source), seed=self.seed, limit=self.limit))


@dataclasses.dataclass
class _PrepareUsers:
    source: Path
    """Your folder; it is checked and never altered."""
    out: Path | None = None
    """Folder to write (splits without bad clips, report); data/NAME by default."""

    kind = ""

    def run(self) -> None:
        from mmm.datasets import humanml3d

        _report(
            humanml3d.prepare(self.source, self.out or Path("data") / self.kind, self.kind, progress=True)
        )


@dataclasses.dataclass
class PrepareHumanML3D(_PrepareUsers):
    """Check a HumanML3D folder; bad clips are left out and reported by name."""

    kind = "humanml3d"


@dataclasses.dataclass
class PrepareKIT(_PrepareUsers):
    """Check a KIT-ML folder; bad clips are left out and reported by name."""

    kind = "kit"


@dataclasses.dataclass
class Prepare:
    """Create or check a data set (synthetic, bandai, humanml3d, kit)."""

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
        print(f"All of them by name, and what was done: {report}\n")
    for reason, names in folder.info.get("left_out", {}).items():
        some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        print(f"left out, {reason}: {len(names)} ({some}; see dataset.json)")
    print(f"{folder.path}: " + ", ".join(f"{name} {len(ids)}" for name, ids in folder.splits.items()))
