"""Does a model do what unusual wordings ask for? A judge that needs no reader: the nearest training clips.

    python -m figures.wordings --data data/everyday

The prompts are those of figures/free-text and figures/free-text-60-earlier.json that ask for one action. Six motions
are made of each. A motion is right if its five nearest training clips, in the space of the shipped evaluator of the
data, show the action (they vote, nearer ones with more weight). Manners are not judged. Writes figures/wordings.json,
with how many training clips the same rule names right.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import torch
import tyro
from torch import Tensor

from figures.blind.answers import CLASSES
from mmm.data import MotionFolder
from mmm.evaluation.best_of import evaluator_of
from mmm.model import MMM, SHIPPED
from mmm.training.run_folder import write_json

HERE = Path(__file__).parent
SEEDS, NEAREST, EVERY = 6, 5, 5  # of the training clips every fifth is judged
# Classes that readers' names do not tell apart, where CLASSES does not say so.
SAME = {"walk-uneven": "walk", "walk-back-diagonal": "walk-back", "jump-forward-repeatedly": "jump-forward"}
SAME |= {f"walk-curve-{side}": f"walk-turn-{side}" for side in ("left", "right")}


def prompts() -> list[tuple[str, str, list[str]]]:
    """(kind, text, names that are right) of each prompt for one action."""
    found = []
    for name in ("free-text/prompts.json", "free-text-60-earlier.json"):
        for prompt in json.loads((HERE / name).read_text(encoding="utf-8")):
            actions = prompt.get("actions") or [prompt["contents"]]
            if len(actions) == 1 and actions[0] and prompt["kind"] not in ("two", "beyond"):
                found.append((prompt["kind"], prompt["text"], actions[0]))
    return found


def vote(motion: Tensor, clips: Tensor, classes: list[str]) -> set[str]:
    """Names of what most of the nearest clips show. `motion` (W,), `clips` (n, W): embeddings."""
    distances = (clips - motion).norm(dim=1)
    votes: Counter[str] = Counter()
    for row in distances.topk(min(NEAREST, len(clips)), largest=False).indices.tolist():
        votes[SAME.get(classes[row], classes[row])] += 1 / (float(distances[row]) + 0.1)
    winner = votes.most_common(1)[0][0]
    return {winner, *CLASSES.get(winner, ())}


def main(data: Path, model: Path = SHIPPED, out: Path = HERE / "wordings.json") -> None:
    """Judge a model and write the counts.

    Args:
        data: A data folder with compositions.json, which names the actions of its training clips.
        model: Model or run folder.
        out: File to write.
    """
    whole, folder = MMM.from_pretrained(model), MotionFolder.open(data)
    evaluator, actions = evaluator_of(whole), folder.compositions()["clips"]

    def embed(features: Tensor) -> Tensor:
        return evaluator.embed_motion(features[None], torch.tensor([len(features)]))[0]

    names, classes = list(actions), list(actions.values())
    clips = torch.stack([embed(torch.tensor(folder.features(name)[:196])) for name in names])
    known = range(0, len(names), EVERY)
    others = [torch.arange(len(names)) != row for row in known]
    hits = sum(
        SAME.get(classes[row], classes[row])
        in vote(
            clips[row], clips[rest], [own for own, keep in zip(classes, rest.tolist(), strict=True) if keep]
        )
        for row, rest in zip(known, others, strict=True)
    )
    counts: dict[str, dict[str, int]] = {}
    for kind, text, right in prompts():
        made = whole.generate([text] * SEEDS, seed=list(range(SEEDS)), split=False)
        seen = [vote(embed(torch.tensor(motion.features)), clips, classes) for motion in made]
        own = counts.setdefault(kind, {"right": 0, "of": 0})
        own["right"] += sum(bool(names & set(right)) for names in seen)
        own["of"] += SEEDS
    counts["all"] = {key: sum(own[key] for own in counts.values()) for key in ("right", "of")}
    write_json(out, {"training clips": {"right": hits, "of": len(known)}, "motions": counts})
    print(json.dumps(counts["all"]))


if __name__ == "__main__":
    tyro.cli(main)
