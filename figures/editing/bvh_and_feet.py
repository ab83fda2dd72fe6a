"""BVH files out and feet put right, measured: `python -m figures.editing.bvh_and_feet` writes bvh_and_feet.json.

Needs data/bandai and the test extra (bvhio, the independent reader). A minute or two.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from mmm import MMM
from mmm.bvh.feet import fix_feet
from mmm.bvh.writing import write_bvh
from mmm.motion import Motion, features_to_joints
from mmm.motion.measures import physical
from mmm.motion.rigid import fit_rigid
from tests.bvh.test_writing import distances, read_with_bvhio

MIXED = """a person walks forward|a person waves with the right hand|a person runs forward|a person jumps
a person dances|a person bows|an old person walks slowly|a person walks and turns left|a person runs in a circle
a tired person walks|a person walks backwards|a person walks sideways|a happy person walks
a person dashes forward and stops|an angry person walks forward|a proud person walks and turns right
a person kicks|a person runs and turns left|a person punches|a person raises both hands""".replace(
    "\n", "|"
).split("|")
WALKS = """a person walks forward|someone walks and turns right|a person is running|a childish person walks
a masculine person walks forward|a feminine person walks|an exhausted person walks|a person runs and turns right
a person walks backward slowly|a sad person walks|a person walks to the left|a person dashes|a musical person walks
an active person runs|a giant walks|a chimpira walks|a person walks forward, then turns around|an elderly person runs
a youthful person walks and turns left|a person marches""".replace("\n", "|").split("|")

model = MMM.from_pretrained("bandai-small")
val = Path("data/bandai/val.txt").read_text().split()
real = [np.load(f"data/bandai/new_joints/{name}.npy") for name in val[::8]]
mixed = [features_to_joints(model.generate(text, 120, seed=i).features) for i, text in enumerate(MIXED)]
walks = [model.generate(text, 120, seed=300 + i) for i, text in enumerate(WALKS)]


def exported(clips):
    """cm between what bvhio reads and the clip's joints; the rigid body written; the joints of a stretched file."""
    away, body, stretched = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bvh"
        for joints in clips:
            write_bvh(path, joints)
            read = read_with_bvhio(path)
            away.append(distances(read, joints))
            body.append(distances(read, fit_rigid(joints).joints).max())
            write_bvh(path, joints, stretch=True)
            stretched.append(distances(read_with_bvhio(path), joints).max())
    away = np.concatenate(away)
    return {
        "clips": len(clips), "mean": away.mean(), "p99": np.percentile(away, 99), "max": away.max(),
        "above_1_cm": (away > 1).mean(), "wrists_mean": away[:, 20:].mean(), "written_body_max": max(body),
        "stretched_max": max(stretched),
    }  # fmt: skip


def feet(motions):
    """Means over clips before and after fix_feet, and the mean change of all joints, cm.

    The slip is a mean over the clips that go somewhere.
    """
    fixed = [fix_feet(motion) for motion in motions]
    found = {}
    for name, clips in (("before", motions), ("after", fixed)):
        rows = [physical(clip.joints) for clip in clips]
        found[name] = {measure: np.nanmean([row[measure] for row in rows]) for measure in rows[0]}
    change = [
        100 * np.linalg.norm(a.joints - b.joints, axis=-1).mean() for a, b in zip(motions, fixed, strict=True)
    ]
    return found | {"clips": len(motions), "change_cm": np.mean(change)}


def plain(value):
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else round(float(value), 4)


results = plain({
    "bvh, generated": exported(mixed), "bvh, real (val)": exported(real),
    "feet, generated locomotion": feet(walks),
    "feet, real (val)": feet([Motion.from_joints(joints) for joints in real]),
    "feet, real locomotion (val)": feet([
        Motion.from_joints(np.load(f"data/bandai/new_joints/{name}.npy"))
        for name in val if any(word in name for word in ("_walk", "_run", "_dash"))][1::3]),
})  # fmt: skip
Path("figures/editing/bvh_and_feet.json").write_text(json.dumps(results, indent=1) + "\n")
print(json.dumps(results, indent=1))
