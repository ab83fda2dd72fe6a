"""A small data set of the choreographer's, danced to order: legs that go, arms that do something on the spot."""

from pathlib import Path

import numpy as np
import pytest
from made_up.evaluator import RandomEvaluator

from mmm.data import Clip, write_folder
from mmm.datasets.synthetic.captions import captions
from mmm.datasets.synthetic.choreograph import dance
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.lab.edits.clips import HeldOut
from mmm.lab.edits.judge import Judge
from mmm.motion.features import features_to_joints, joints_to_features

HERE = Path(__file__).resolve().parent

WALK, RUN, STAND = Action("walk", direction="forward"), Action("run", direction="forward"), Action("stand")
MARCH, SQUAT, KICK = (
    Action("march", direction="forward"),
    Action("squat", count=2),
    Action("kick", side="left", count=2),
)
SIDES = ("left", "right", "both")
VAL = {
    "walk": (WALK, None, 90),
    "run": (RUN, None, 80),
    "march": (MARCH, None, 96),
    "squat": (SQUAT, None, 84),
    "kick": (KICK, None, 76),
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
    """Val: three clips that go and four that do not; train: the other actions of the arms, and a clap while walking."""
    clips = [danced(name, *what, seed) for seed, (name, what) in enumerate({**VAL, **TRAIN}.items())]
    splits = {"train": list(TRAIN), "val": list(VAL), "test": ["walk"]}
    info = {
        "name": "synthetic",
        "fps": 20.0,
        "skeleton": "humanml3d",
        "source": "",
        "licence": "MIT",
        "seed": 0,
    }
    return write_folder(tmp_path_factory.mktemp("danced") / "danced", clips, splits, info)


@pytest.fixture(scope="session")
def judge(danced_folder):
    return Judge.of(RandomEvaluator(), HeldOut.open(danced_folder), pool=3)


@pytest.fixture(scope="session")
def toy_judge(toy):
    return Judge.of(RandomEvaluator(), HeldOut.open(toy, "train"), pool=4)
