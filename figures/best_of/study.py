"""What several candidates are worth: the share of right actions with the best of 1, 2, 4 and 8.

    python -m figures.best_of.study --data data/bandai --out figures/best_of

The evaluator chooses; geometry (`mmm.lab.by_length.shows`, `mmm.lab.composed.verdict`) says what is right. Texts: the
captions of Bandai's val split that `mmm.lab.by_length` takes, and two actions after each other ("then") or at once
("while") as in `mmm.lab.composed`. Candidates are nested: the best of 4 is chosen from the first 4 of the same 8.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from tqdm import tqdm

from mmm.data import MotionFolder
from mmm.evaluation.best_of import APART, distance, evaluator_of
from mmm.evaluation.evaluator import TrainedEvaluator
from mmm.evaluation.metrics import interval
from mmm.evaluation.protocol import model_hash
from mmm.lab.by_length import captions_by_class, shows
from mmm.lab.composed import TEXTS, verdict
from mmm.model import MMM, SHIPPED
from mmm.motion import Motion
from mmm.training.run_folder import write_json, write_manifest

COUNTS = (1, 2, 4, 8)


def questions(folder: MotionFolder, captions: int) -> Iterator[tuple[str, str, str]]:
    """Kind of text ("one", "then" or "while"), text, and the action or actions that it asks for."""
    for name, texts in captions_by_class(folder, "val", captions).items():
        yield from (("one", text, name) for text in texts)
    for kind, pairs in json.loads(TEXTS.read_text(encoding="utf-8")).items():
        yield from ((kind, text, pair) for pair, texts in pairs.items() for text in texts)


def is_right(motion: Motion, kind: str, asked: str) -> bool:
    joints = np.asarray(motion.joints, np.float64)
    return shows(joints, asked, motion.fps) if kind == "one" else verdict(joints, kind, asked)["right"]


def by_count(
    far: Float[np.ndarray, "n k"], right: Bool[np.ndarray, "n k"], texts: list[str]
) -> dict[str, dict[str, float]]:
    """Number of candidates → right, judged, share, and half of the 95 % interval over texts."""
    rows = {}
    for count in [c for c in COUNTS if c <= far.shape[1]]:
        chosen = right[np.arange(len(right)), far[:, :count].argmin(1)]
        shares = [chosen[[text == other for other in texts]].mean() for text in dict.fromkeys(texts)]
        half = interval(shares).half if len(shares) > 1 else float("nan")
        rows[str(count)] = {
            "right": int(chosen.sum()),
            "judged": len(chosen),
            "share": round(float(chosen.mean()), 4),
            "half": round(float(half), 4),
        }
    return rows


@dataclasses.dataclass
class Arguments:
    """Right actions by the number of candidates; writes results.json and manifest.json."""

    data: Path
    """A data folder of Bandai-Namco's data."""
    out: Path
    """Folder for the numbers."""
    model: Path = SHIPPED
    """Model or run folder; the shipped model by default."""
    evaluator: Path | None = None
    """Folder of the evaluator that chooses; by default the shipped one of the model's data."""
    captions: int = 4
    """Of each action class."""
    seeds: int = 4
    """Questions with each text."""
    most: int = 8
    """Candidates."""

    def run(self) -> None:
        folder, model = MotionFolder.open(self.data), MMM.from_pretrained(self.model)
        evaluator = (
            TrainedEvaluator.from_pretrained(self.evaluator) if self.evaluator else evaluator_of(model)
        )
        rows: dict[str, list[tuple[str, list[float], list[bool]]]] = {}
        clock = {"sampling": 0.0, "choosing": 0.0}
        for kind, text, asked in tqdm(list(questions(folder, self.captions)), unit="text"):
            seeds = [seed + APART * k for seed in range(self.seeds) for k in range(self.most)]
            start = time.process_time()
            motions = model.generate([text] * len(seeds), seed=seeds)
            middle = time.process_time()
            far = [distance(model, motion, evaluator) for motion in motions]
            clock["sampling"] += middle - start
            clock["choosing"] += time.process_time() - middle
            right = [is_right(motion, kind, asked) for motion in motions]
            for first in range(0, len(seeds), self.most):
                rows.setdefault(kind, []).append(
                    (text, far[first : first + self.most], right[first : first + self.most])
                )
        count = sum(map(len, rows.values())) * self.most
        result = {
            "model": model_hash(model),
            "evaluator": evaluator.name,
            "data": folder.name,
            "content_hash": folder.content_hash,
            "seeds": self.seeds,
            "cpu_seconds_per_candidate": {name: round(spent / count, 4) for name, spent in clock.items()},
            "rows": {
                kind: by_count(
                    np.array([r[1] for r in own]), np.array([r[2] for r in own]), [r[0] for r in own]
                )
                for kind, own in rows.items()
            },
        }
        write_manifest(
            self.out / "manifest.json", {"model": result["model"], "threads": torch.get_num_threads()}
        )
        write_json(self.out / "results.json", result)
        for kind, counts in result["rows"].items():
            print(
                kind,
                ", ".join(f"best of {n}: {row['right']} of {row['judged']}" for n, row in counts.items()),
            )


if __name__ == "__main__":
    tyro.cli(Arguments).run()
