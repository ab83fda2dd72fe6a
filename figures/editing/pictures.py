"""The GIFs of editing: `python figures/editing/pictures.py` (with data/bandai prepared), half a minute.

walk-waves.gif: a real walk of Bandai's val split, and the same walk with the upper body asked to wave.
three-actions.gif: three prompts as one sequence of 20 seconds; of six seeds the one whose walk and run differ most.
`gifsicle -O3 --lossy=20 --batch figures/editing/*.gif` then saves a fifth of the bytes.
"""

import numpy as np

from mmm import MMM
from mmm.motion import Motion
from mmm.viz.animation import animate, animate_beside

WALK = "dataset-2_walk_youthful_013"
ASKED = "a person waves with the left hand"
STORY, LENGTHS = "a person walks forward, then raises both hands, then runs", [150, 100, 150]

model = MMM.from_pretrained("bandai-small")
walk = Motion(np.load(f"data/bandai/new_joint_vecs/{WALK}.npy"), text="a real walk (val split)")
waves = model.edit_upper_body(walk, ASKED, seed=0)
moved = np.linalg.norm(walk.joints - waves.joints, axis=-1)[:, [0, 1, 2, 4, 5, 7, 8, 10, 11]].max()
print(f"legs and path moved by {100 * moved:.4f} cm at most")
long = model.generate_long(STORY, LENGTHS, seed=5)

# every second frame: half the size, and ten pictures a second still show every step
pair = [walk.every(2), waves.every(2)]
animate_beside(pair, "figures/editing/walk-waves.gif", [walk.text, f"upper body: {ASKED}"], size=160)
animate(long.every(2), "figures/editing/three-actions.gif", title=STORY, size=140)
