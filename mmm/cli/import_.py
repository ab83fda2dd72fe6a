"""`mmm import`: a user's own motions: one file to look at, or a folder as a data set."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from mmm.cli.generate import check_outs
from mmm.errors import require


@dataclasses.dataclass
class Import:
    """Your own motions: any BVH file, or a folder of them with captions as a data set to train on.

    `mmm import walk.bvh --out walk.html` shows how a file is understood: which of its joints correspond to HumanML3D's
    22, its unit, its axis that points up. A file does not state these; they are guessed unless you give them.

    `mmm import FOLDER --captions captions.csv --out data/mine` writes a data set for `mmm train`. The table has the
    columns file,caption: several lines for a file are several captions. With the columns start,end (seconds) a
    caption describes a part of the take, which becomes a clip of its own.
    """

    source: Positional[Path]
    """A .bvh file, a .npy file (joints (T, 22, 3) or features (T, 263) at 20 fps), or a folder of such files."""
    out: UseAppendAction[tuple[Path, ...]] = ()
    """Of a file: what to write, .npy .bvh .html (player) .gif .mp4 .png (film strip); give it again for more.
    Of a folder: the data folder."""
    captions: Path | None = None
    """Of a folder: the table of captions, CSV in UTF-8 with the columns file,caption or file,caption,start,end."""
    map: str | None = None
    """Joint map: your YAML file, or cmu, daz, mixamo, bandai, humanml3d. By default the known one that fits, else
    guessed. A line for each of HumanML3D's joints: `left_hip: LeftUpLeg`, `spine2: [Spine, Chest]` (halfway),
    `left_foot: LeftFoot/end` (End Site)."""
    unit: str | None = None
    """Unit of the file: cm, m, mm, inch, cmu (5.6 cm, CMU's captures) or the metres of one unit. By default guessed
    from the size of the body."""
    up: str | None = None
    """Axis that points up: y, z, x, -y, -z, -x. By default the one along which the head is above the feet."""
    fps: float | None = None
    """Frames per second of a .bvh whose line 'Frame Time:' is wrong."""
    skip: float = 0.0
    """Seconds at the start of every file to leave out, such as a T-pose. Times in the table are those of the file."""
    seed: int = 0
    """Of a folder: seed of the splits."""
    val: float = 0.1
    """Of a folder: ratio of the takes for validation, at least one."""
    test: float = 0.1
    """Of a folder: ratio of the takes for the test, at least one."""

    def run(self) -> None:
        if self.source.is_dir():
            self._import_folder()
        else:
            self._show_file()

    def _show_file(self) -> None:
        from mmm.bvh.capture import load_motion

        require(
            self.captions is None or not self.source.exists(),
            f"--captions is for a folder, but {self.source} is a file; give the folder that it lies in.",
        )
        check_outs(self.out)
        for path in self.out:
            require(
                os.path.realpath(path) != os.path.realpath(self.source),
                f"--out {path} is the source; name another file.",
            )
        captured = load_motion(self.source, self.map, self.unit, self.up, self.fps, self.skip)
        print(captured.report())
        for path in self.out:
            captured.motion.save(path)
            print(f"{path}: HumanML3D's body, {len(captured.motion)} frames")

    def _import_folder(self) -> None:
        from mmm.cli.prepare import _report
        from mmm.datasets import own
        from mmm.motion.clip import SUFFIXES

        require(
            self.captions is not None,
            f"{self.source} is a folder: give its captions with --captions captions.csv (columns file,caption), or "
            "one of its files.",
        )
        require(
            len(self.out) == 1 and self.out[0].suffix.lower() not in SUFFIXES,
            f"--out is {', '.join(map(str, self.out)) or 'missing'}, expected one folder for the data set, such as "
            "data/mine.",
        )
        options = {
            "joint_map": self.map,
            "unit": self.unit,
            "up": self.up,
            "fps": self.fps,
            "skip": self.skip,
        }
        folder = own.prepare(
            self.out[0], self.source, self.captions, self.seed, self.val, self.test, progress=True, **options
        )
        for line in folder.info["understood"]:
            print(line)
        for take, reasons in folder.info.get("suspicious", {}).items():
            print(f"suspicious: {take}: {'; '.join(reasons)}")
        if any("map guessed" in line for line in folder.info["understood"]):
            print("some joint maps were guessed: check one with `mmm import FILE --out look.html`")
        _report(folder)
        print(f"try: mmm train tokenizer --data {folder.path} --preset tiny")
