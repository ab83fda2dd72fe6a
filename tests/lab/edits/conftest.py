"""A small synthetic data set: legs that walk or run, arms that act on the spot."""

import numpy as np
import pytest
from made_up.evaluator import RandomEvaluator

from mmm.data import Clip, write_folder
from mmm.datasets.synthetic.captions import captions
from mmm.datasets.synthetic.choreograph import dance
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.edits.held_out import EditConfig, HeldOut
from mmm.motion.features import features_to_joints, joints_to_features

WALK, RUN, STAND = Action("walk", direction="forward"), Action("run", direction="forward"), Action("stand")
SIDES = ("left", "right", "both")
VAL = {
    "walk": (WALK, None, 90),
    "run": (RUN, None, 80),
    "march": (Action("march", direction="forward"), None, 96),
    "squat": (Action("squat", count=2), None, 84),
    "kick": (Action("kick", side="left", count=2), None, 76),
    "wave-left": (STAND, Action("wave", side="left", count=3), 80),
    "bow": (Action("bow", count=1), None, 88),
}
TRAIN = {f"{name}-{side}": (STAND, Action(name, side=side, count=3 if name == "wave" else None), 80)
         for name in ("wave", "raise") for side in SIDES if (name, side) != ("wave", "left")}  # fmt: skip
TRAIN |= {"clap": (STAND, Action("clap", count=4), 80), "walk-clap": (WALK, Action("clap", count=4), 80)}


def danced(name, legs, arms, frames, seed):
    joints, program = dance(Program((Segment(legs, arms, 0, frames),), frames, seed))
    features = joints_to_features(joints.astype(np.float32))
    return Clip(name, features, features_to_joints(features), captions(program, 2), program.to_dict())


@pytest.fixture(scope="session")
def danced_folder(tmp_path_factory):
    """Val: three clips that walk or run, four that do not; train: other actions of the arms, walking with a clap."""
    clips = [danced(name, *what, seed) for seed, (name, what) in enumerate({**VAL, **TRAIN}.items())]
    splits = {"train": list(TRAIN), "val": list(VAL), "test": ["walk"]}
    info = {"name": "synthetic", "fps": 20.0, "skeleton": "humanml3d", "source": "", "licence": "", "seed": 0}
    return write_folder(tmp_path_factory.mktemp("danced") / "danced", clips, splits, info)


@pytest.fixture(scope="session")
def held(danced_folder):
    """`held(clips)` → the danced clips of val with a random evaluator."""

    def open_(clips=None, split="val"):
        return HeldOut.open(danced_folder, RandomEvaluator(), EditConfig(split=split, clips=clips, pool=3))

    return open_


@pytest.fixture(scope="session")
def toy_held(toy):
    """`toy_held(clips, seed)` → the clips of the toy data's train split with a random evaluator."""

    def open_(clips=None, seed=0, pool=4):
        config = EditConfig(split="train", clips=clips, seed=seed, pool=pool)
        return HeldOut.open(toy, RandomEvaluator(), config)

    return open_
