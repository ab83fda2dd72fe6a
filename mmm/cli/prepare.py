"""`mmm prepare`: create a data set, or check the user's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, subcommand

from mmm.errors import require


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
        _need("--source", self.source, "the folder or the archives of Bandai-Namco's data")
        from mmm.datasets import bandai

        _report(bandai.prepare(self.out, list(self.source), seed=self.seed, limit=self.limit))


@dataclasses.dataclass
class PrepareCMU:
    """Convert CMU's motion capture (BVH, everyday motion, free for any use) with the captions of this project.

    The takes are those of the Daz-friendly BVH release at cgspeed.com, as published (120 fps) or reduced to 20 fps;
    give all of it or some subjects. The captions describe pieces of 131 takes of subjects 1 to 14. Takes without a
    caption are left out.
    """

    source: UseAppendAction[tuple[Path, ...]]
    """Folder (searched recursively) or .zip / .tar.xz archive of SUBJECT_NUMBER.bvh; repeat it for several."""
    out: Path = Path("data/cmu")
    """Folder to write."""
    captions: Path | None = None
    """CSV table of more captions: file,start,end,action,caption, such as
    `16/16_35.bvh,0.5,2,run,a person runs straight ahead`. Times are seconds from 1/20 s after the first frame of a
    published take (which is a T-pose), from the first frame of a reduced one. Several lines for a piece are several
    captions; `action` may be empty."""
    seed: int = 0
    """Seed of the splits."""

    def run(self) -> None:
        _need("--source", self.source, "the folder or the archive of CMU's captures")
        from mmm.datasets import cmu

        _report(cmu.prepare(self.out, list(self.source), self.captions, self.seed))


@dataclasses.dataclass
class PrepareUnion:
    """Join several data sets to one, to train one model on all of them:
    `mmm prepare union --data data/bandai --data data/cmu --share 0.6 --share 0.4 --out data/everyday`

    The splits are those of the sources; val_NAME and test_NAME list the clips of one source."""

    data: UseAppendAction[tuple[Path, ...]]
    """A data folder; give the option two or more times."""
    share: UseAppendAction[tuple[float, ...]] = ()
    """How often training draws this source, once for each --data; by default all alike."""
    out: Path = Path("data/union")
    """Folder to write."""

    def run(self) -> None:
        _need("--data", self.data, "two or more data folders, one each time")
        from mmm.datasets import union

        _report(union.prepare(self.out, self.data, self.share or None, progress=True))


@dataclasses.dataclass
class PrepareHumanML3DCMU:
    """Build the free part of HumanML3D: its 2,913 clips of CMU's captures, and their mirror images.

    It needs no AMASS and no SMPL: the motions come from CMU's captures as BVH, clips, captions and splits from files
    that HumanML3D publishes under the MIT licence (https://github.com/EricGuo5513/HumanML3D). The skeleton is
    another one, so results cannot be compared with those on HumanML3D. Clips whose take you do not have are left out.
    """

    bvh: UseAppendAction[tuple[Path, ...]]
    """Folder (searched recursively) or .zip / .tar.xz archive of CMU's takes, as for `mmm prepare cmu`; repeat it for
    several."""
    index: Path
    """HumanML3D's index.csv, which says which frames of which take are a clip."""
    texts: Path
    """HumanML3D's texts.zip, or the folder of its text files."""
    splits: Path | None = None
    """Folder with HumanML3D's train.txt, val.txt and test.txt; by default that of index.csv."""
    out: Path = Path("data/humanml3d-cmu")
    """Folder to write."""

    def run(self) -> None:
        _need("--bvh", self.bvh, "the folder or the archive of CMU's captures")
        from mmm.datasets import humanml3d_cmu

        _report(humanml3d_cmu.prepare(self.out, list(self.bvh), self.index, self.texts, self.splits))


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
    """Create or check a data set (synthetic, bandai, cmu, union, humanml3d, humanml3d-cmu, kit)."""

    what: (
        Annotated[PrepareSynthetic, subcommand("synthetic")]
        | Annotated[PrepareBandai, subcommand("bandai")]
        | Annotated[PrepareCMU, subcommand("cmu")]
        | Annotated[PrepareUnion, subcommand("union")]
        | Annotated[PrepareHumanML3D, subcommand("humanml3d")]
        | Annotated[PrepareHumanML3DCMU, subcommand("humanml3d-cmu")]
        | Annotated[PrepareKIT, subcommand("kit")]
    )

    def run(self) -> None:
        self.what.run()


def _need(option: str, paths: tuple[Path, ...], what: str) -> None:
    """An option that can be repeated is not missed by the parser."""
    require(paths, f"{option} is missing: give {what}, as data/README.md describes.")


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
