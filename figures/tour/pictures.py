"""The animation at the top of the README: `python figures/tour/pictures.py`, ten seconds; four texts, one seed."""

from mmm import MMM
from mmm.viz.animation import animate_beside

TEXTS = [
    "a person waves with the left hand",
    "a tired person walks and turns left",
    "someone bows deeply",
    "a man runs forward",
]

motions = MMM.from_pretrained().generate(TEXTS, [80] * len(TEXTS), seed=0)
animate_beside([motion.every(2) for motion in motions], "figures/tour/texts.gif", size=200)
