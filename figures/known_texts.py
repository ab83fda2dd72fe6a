"""Does a model notice requests that it has not learned? `python figures/known_texts.py`, ten seconds.

Two lists of made-up requests, of what Bandai-Namco's data show and of what they do not, and the 40 prompts of
figures/free-text by the judgement of their readers. Writes figures/known_texts.json: how many get `Motion.note`, and
how well the similarity to the nearest known caption separates them (AUC).
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from figures.blind.score import find_answers, score
from mmm.model import MMM
from mmm.training.run_folder import write_json

HERE = Path(__file__).parent
SHOWN = """
a person waves hello/someone jogs slowly/the man bows/a girl raises her left arm/a person strolls forward/he
walks backwards/a tired man walks/turn right while walking/wave both hands/a soldier marches forward/throws a
punch/kicks the air/she dances/a knight swings his sword/points the way with the right hand/an elderly woman
takes a bow/somebody sprints/sidestep to the left/raise both hands above your head/says goodbye waving
"""
NOT_SHOWN = """
a person stands still/someone sits down on a chair/a person jumps over a box/he climbs a ladder/a person
swims/juggles three balls/a man lies down on the floor/plays the guitar/crawls on all fours/eats an apple/a
person does a cartwheel/drives a car/throws a ball overhand/picks something up from the ground/a woman drinks
from a cup/types on a keyboard/does push-ups/kneels and prays/a person squats/shoots an arrow with a bow
"""


def similarities(model: MMM, texts: list[str]) -> np.ndarray:
    return np.array([cosine for _, cosine in model.known.nearest(model.embed(texts).sentence)])


def requests(lines: str) -> list[str]:
    return [" ".join(text.split()) for text in lines.split("/")]


def main() -> None:
    model = MMM.from_pretrained()
    strips = score(HERE / "free-text", find_answers(HERE / "free-text")).values()
    judged = [strip for strip in strips if "prompt" in strip.row]
    groups = {"shown": requests(SHOWN), "not shown": requests(NOT_SHOWN)}
    for mark in Counter(strip.mark for strip in judged):
        groups[f"judged {mark}"] = [strip.row["prompt"]["text"] for strip in judged if strip.mark == mark]
    cosines = {name: similarities(model, texts) for name, texts in groups.items()}
    notes = {
        name: {"notes": int((values < model.known.threshold).sum()), "of": len(values)}
        for name, values in cosines.items()
    }

    def auc(better: str, worse: str) -> float:
        a, b = cosines[better], cosines[worse]
        return float(mannwhitneyu(a, b).statistic / (len(a) * len(b)))

    separation = {"shown from not shown": auc("shown", "not shown")}
    separation["judged right from wrong"] = auc("judged right", "judged wrong")
    result = {"model": model.info["data"], "threshold": model.known.threshold, "notes": notes, "auc": separation}
    write_json(HERE / "known_texts.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
