"""The judge of wordings: the nearest clips decide, nearer ones count more, and names are those of readers."""

import json

import torch

from figures.wordings import HERE, prompts, vote


def test_the_nearest_clips_decide_and_nearer_ones_count_more():
    clips = torch.tensor([[0.0, 0], [0.1, 0], [3, 0], [3, 0.1], [3, 0.2], [9, 0]])
    classes = ["punch", "punch", "walk-curve-left", "walk-curve-left", "walk-curve-left", "run"]
    assert vote(torch.tensor([0.05, 0]), clips, classes) == {"punch", "box"}
    assert vote(torch.tensor([2.9, 0]), clips, classes) == {"walk-turn-left"}
    assert vote(torch.tensor([9.0, 0]), clips[5:], classes[5:]) == {"run"}


def test_the_stored_counts_are_of_the_prompts_for_one_action():
    asked = prompts()
    assert len(asked) == 73 and all(right for *_, right in asked)
    for name in ("wordings.json", "wordings-before.json"):
        counts = json.loads((HERE / name).read_text(encoding="utf-8"))["motions"]
        assert {kind: own["of"] for kind, own in counts.items() if kind != "all"} == {
            kind: 6 * sum(kind == other for other, *_ in asked) for kind in {kind for kind, *_ in asked}
        }
        log = (HERE / "LOG.md").read_text(encoding="utf-8")
        results = (HERE.parent / "docs/RESULTS.md").read_text(encoding="utf-8")
        assert str(counts["all"]["right"]) in results
        assert f"{counts['all']['right']} of 438" in log and f"{counts['style']['right']} of 96" in log
