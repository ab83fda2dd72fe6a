"""The GIFs of control: `python -m figures.control.pictures`, a minute.

path.gif: a walk along an S; balls mark the points of the path. touch.gif: the left wrist at a ball in frame 60.
The distances that it prints are those of `Motion.joints`.
`gifsicle -O3 --lossy=20 --batch figures/control/*.gif` then saves a fifth of the bytes.
"""

from pathlib import Path

import numpy as np

from figures.control.study import measured
from mmm import MMM
from mmm.constraints import Reach, RootPath, targets_of
from mmm.viz.animation import animate

HERE = Path(__file__).parent
BALL = (0.5, 1.75, 0.25)
WALK, WAVE = "a person walks forward", "a person raises the left hand"


def main() -> None:
    model = MMM.from_pretrained()
    ahead = np.linspace(0, 5, 51)
    curve = np.stack([0.7 * np.sin(2 * np.pi * ahead / 5), ahead], 1)
    path, reach = RootPath(curve.tolist()), Reach("left_wrist", 60, BALL)
    marks = np.insert(curve[::5], 1, 0.0, axis=1)
    for name, text, length, wish, balls in (
        ("path", WALK, 140, path, marks),
        ("touch", WAVE, 80, reach, np.array([BALL])),
    ):
        free = model.generate(text, length=length)
        motion = model.generate(text, length=length, constraints=[wish])
        wanted = targets_of([wish], length).numpy()
        for which, each in (("without", free), ("with", motion)):
            error = measured(each, wanted)["error"]
            print(f"{name}.gif, {which} the constraint: {100 * error:.2f} cm away in the mean")
        shown = motion.every(2) if name == "path" else motion
        animate(shown, HERE / f"{name}.gif", title=text, size=200, balls=balls)


if __name__ == "__main__":
    main()
