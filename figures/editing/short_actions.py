"""Do long transitions write over short actions? `python figures/editing/short_actions.py`, three minutes.

"a person walks forward, then raises both hands, then runs", 12 seeds each: in how many the oracle sees raised hands,
by the length of that action and of the transitions. Writes short_actions.json.
"""

import json
from pathlib import Path

from mmm import MMM
from mmm.lab.edits.actions import Arms, arms_seen
from mmm.lab.oracle.recognition import recognise

TEXT, SEEDS = "a person walks forward, then raises both hands, then runs", 12
RAISED = Arms("raise", "both", "raise-up-both-hands")

model = MMM.from_pretrained("bandai-small")
found = {}
for frames in (44, 80, 100, 120):
    found[frames] = {}
    for transition in (0, 2, 4, 6, 8):
        motions = [model.generate_long(TEXT, [140, frames, 100], seed, transition) for seed in range(SEEDS)]
        seen = [arms_seen(recognise(motion.joints, motion.fps), RAISED)[0] for motion in motions]
        found[frames][transition] = int(sum(seen))
    print(frames, found[frames], flush=True)
Path("figures/editing/short_actions.json").write_text(
    json.dumps({"of": SEEDS, "seen": found}, indent=1) + "\n"
)
