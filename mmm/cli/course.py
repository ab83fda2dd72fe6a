"""`mmm course`: the notebooks, headlessly."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import UseAppendAction


@dataclasses.dataclass
class Course:
    """Run the notebooks in order, headlessly; executed notebooks, figures and metrics go under runs/."""

    profile: str = "quick"
    """quick (a laptop, CI), full (a GPU), or a YAML file."""
    only: UseAppendAction[tuple[str, ...]] = ()
    """Chapter to run, such as 02; give it again for more. All by default."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Change a setting of the profile: --set steps=100, or --set 02.steps=100 in one chapter."""
    data: str = "synthetic"
    """synthetic, bandai, humanml3d, kit, or the folder of a data set."""
    source: UseAppendAction[tuple[Path, ...]] = ()
    """Folder or archives to prepare the data from, the first time only; synthetic needs none."""
    out: Path | None = None
    """Folder of all results; runs/course-DATA-PROFILE by default."""
    keep: bool = False
    """Write the outputs of notebooks that pass into notebooks/ (for the reference run that is committed)."""

    def run(self) -> int:
        from mmm.course import run_course
        from mmm.profiles import parse_assignments

        settings = parse_assignments(self.set)
        result = run_course(
            self.profile, self.only, settings, self.data, self.source, self.out, keep=self.keep
        )
        return 0 if result.ok else 1
