"""Are joints where they were asked for, and what does it cost? `python -m figures.control.study`, four CPU minutes.

100 clips of Bandai's val split give constraints: in turn a position of one joint, positions of three joints, and the
path of the root. bandai-small generates a motion for the clip's caption and length without and with them. Measured on
the joints that a user gets (`Motion.joints`): the distance from the constraint; foot skating and jerk; and FID of the
100 motions against all clips of val by the shipped evaluator. Writes results.json.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch
import tyro

from mmm import MMM
from mmm.constraints import Reach, RootPath, targets_of
from mmm.data import MotionFolder
from mmm.evaluation.evaluator import load_evaluator
from mmm.evaluation.metrics import fid, interval
from mmm.evaluation.pools import embed_clips
from mmm.motion import Motion
from mmm.motion.measures import foot_skating, jerk
from mmm.motion.skeleton import HUMANML3D
from mmm.training.run_folder import write_json

HERE = Path(__file__).parent
KINDS = ("one joint", "three joints", "path")


@dataclasses.dataclass
class Study:
    """Constraints from held-out clips, and motions that are to keep them."""

    data: Path = Path("data/bandai")
    model: str = "bandai-small"
    clips: int = 100
    seed: int = 0
    out: Path = HERE / "results.json"

    def run(self) -> None:
        model, folder = MMM.from_pretrained(self.model), MotionFolder.open(self.data)
        random = np.random.default_rng(self.seed)
        ids = random.permutation(folder.ids("val"))[: self.clips].tolist()
        rows, features = [], {"free": [], "held": []}
        for number, clip in enumerate(ids):
            kind = KINDS[number % len(KINDS)]
            joints = Motion(folder.features(clip)[: model.max_frames]).joints
            constraints = drawn(kind, joints, random)
            wanted = targets_of(constraints, len(joints)).numpy()
            asked = {
                "text": folder.captions(clip)[0].text,
                "length": len(joints),
                "seed": number,
                "split": False,
            }
            row = {"clip": clip, "kind": kind, "frames": len(joints)}
            for name, given in (("free", ()), ("held", constraints)):
                start = time.process_time()
                motion = model.generate(**asked, constraints=given)
                row[name] = measured(motion, wanted) | {"cpu seconds": time.process_time() - start}
                features[name].append(motion.features)
            rows.append(row)
            print(kind, {name: round(100 * row[name]["error"], 2) for name in features}, flush=True)
        result = {"model": self.model, "data": folder.content_hash, "split": "val", "seed": self.seed}
        result["kinds"] = {kind: table([row for row in rows if row["kind"] == kind]) for kind in KINDS}
        result["all"] = table(rows)
        evaluator = load_evaluator(folder)
        real = embed_clips(evaluator, [folder.features(clip) for clip in folder.ids("val")])
        embedded = {name: embed_clips(evaluator, clips) for name, clips in features.items()}
        embedded["real"] = embed_clips(evaluator, [folder.features(clip) for clip in ids])
        result["fid"] = {name: round(fid(real, each), 3) for name, each in embedded.items()}
        write_json(self.out, result | {"rows": rows})
        print(json.dumps({name: value for name, value in result.items()}, indent=1))


def drawn(kind: str, joints: np.ndarray, random: np.random.Generator) -> list[Reach | RootPath]:
    """Constraints that a clip fulfils: random joints in random frames, or its path."""
    if kind == "path":
        return [RootPath(joints[:, 0, [0, 2]].tolist(), range(len(joints)))]
    reaches = []
    for _ in range(1 if kind == "one joint" else 3):
        joint, frame = int(random.integers(joints.shape[1])), int(random.integers(1, len(joints)))
        reaches.append(Reach(HUMANML3D.joints[joint], frame, joints[frame, joint].tolist()))
    return reaches


def measured(motion: Motion, wanted: np.ndarray) -> dict[str, float]:
    """Mean and largest distance from the constraints (m), foot skating, mean and peak jerk (m/s³)."""
    known = ~np.isnan(wanted)
    apart = np.linalg.norm(np.where(known, motion.joints - wanted, 0.0), axis=-1)[known.any(-1)]
    mean, peak = jerk(motion.joints)
    numbers = {"error": apart.mean(), "worst": apart.max(), "skating": foot_skating(motion.joints)}
    return {name: float(value) for name, value in (numbers | {"jerk": mean, "peak": peak}).items()}


def table(rows: list[dict]) -> dict:
    """Means over motions with their 95 % intervals; distances in cm."""
    numbers: dict = {"motions": len(rows)}
    for name in ("free", "held"):
        for measure in rows[0][name]:
            values = [row[name][measure] * (100 if measure in ("error", "worst") else 1) for row in rows]
            mean, half = interval(values)
            numbers[f"{name} {measure}"] = [round(mean, 3), round(half, 3)]
        for measure in ("error", "worst"):
            within = [row[name][measure] < 0.01 for row in rows]
            numbers[f"{name} {measure} within 1 cm"] = float(np.mean(within))
    for measure in ("skating", "jerk"):  # the same clips and seeds, so that differences are paired
        mean, half = interval([row["held"][measure] - row["free"][measure] for row in rows])
        numbers[f"change of {measure}"] = [round(mean, 3), round(half, 3)]
    return numbers


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(Study).run()
