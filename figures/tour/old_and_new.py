"""The figure before and since the mannequin: `python figures/tour/old_and_new.py` writes figure-old-and-new.png.

The same frames of three motions of the default model (seed 0), above by the drawing of revision OLD, below by
today's. It needs a clone with its history.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

OLD = "0510bbb"  # the last revision with the flat figure
ACTIONS = [("someone bows deeply", 100, 0.45), ("a person walks forward", 120, 0.4)]
ACTIONS.append(("a person waves with the left hand", 120, 0.5))  # text, frames, which moment
SIZE, STEP, COLOURS = 320, 4, 96
HERE = Path(__file__).parent


def draw(motions: str, folder: str) -> None:
    """A GIF of each motion, by the package that this process finds first."""
    from mmm.motion import Motion
    from mmm.viz.animation import animate

    with np.load(motions) as arrays:
        for name, joints in arrays.items():
            animate(
                Motion.from_joints(joints, text=name).every(STEP), Path(folder) / f"{name}.gif", size=SIZE
            )


def main() -> None:
    from mmm import MMM

    model = MMM.from_pretrained()
    with tempfile.TemporaryDirectory() as folder:
        old, out = Path(folder, "old"), [Path(folder, "before"), Path(folder, "since")]
        np.savez(
            old.with_suffix(".npz"), **{text: model.generate(text, n, 0).joints for text, n, _ in ACTIONS}
        )
        tree = subprocess.run(
            ["git", "archive", OLD, "mmm"], cwd=HERE.parents[1], check=True, capture_output=True
        )
        with tarfile.open(fileobj=io.BytesIO(tree.stdout)) as files:
            files.extractall(old, filter="data")
        for root, target in zip((old, HERE.parents[1]), out, strict=True):
            target.mkdir()
            command = [sys.executable, __file__, str(old.with_suffix(".npz")), str(target)]
            subprocess.run(command, env=os.environ | {"PYTHONPATH": str(root)}, check=True)
        sheet = Image.new("RGB", (SIZE * len(ACTIONS), SIZE * len(out)))
        for row, target in enumerate(out):
            for column, (text, _, moment) in enumerate(ACTIONS):
                with Image.open(target / f"{text}.gif") as gif:
                    gif.seek(round(moment * (gif.n_frames - 1)))
                    sheet.paste(gif.convert("RGB"), (SIZE * column, SIZE * row))
        sheet = sheet.quantize(COLOURS, dither=Image.Dither.NONE)
        sheet.save(HERE / "figure-old-and-new.png", optimize=True)


if __name__ == "__main__":
    draw(*sys.argv[1:]) if sys.argv[1:] else main()
