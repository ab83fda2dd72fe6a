"""Several candidates: the nearest to the text is chosen, and each action of a sequence counts by itself."""

import numpy as np
import pytest
import torch

from mmm.evaluation.best_of import APART, best_of, distance, evaluator_of
from mmm.evaluation.evaluator import SHIPPED


class Likes:
    """An evaluator for which a text is its number of letters, and a motion is its first feature, a mean over frames."""

    name, width = "letters", 1

    def embed_text(self, captions):
        return torch.tensor([[float(len(caption.text))] for caption in captions])

    def embed_motion(self, features, lengths):
        assert features.shape[1] == int(lengths)
        return features[:, :, 0].mean(1, keepdim=True)


def test_the_nearest_of_the_candidates_is_chosen_and_the_first_is_the_motion_without_them(model):
    text = "a person bows"
    many = model.generate([text] * 4, 40, seed=[7 + APART * k for k in range(4)])
    far = [abs(motion.features[:, 0].mean() - len(text)) for motion in many]
    chosen = best_of(model, ["a person waves", text], 4, 40, seed=6, evaluator=Likes())[1]
    best = int(np.argmin(far))
    assert best != 0 and len(set(far)) == 4, "another seed would show more"
    assert np.array_equal(chosen.features, many[best].features)
    assert distance(model, chosen, Likes()) == pytest.approx(min(far), rel=1e-5)
    alone = best_of(model, [text], 1, 40, seed=7, evaluator=Likes())[0]
    assert np.array_equal(alone.features, model.generate(text, 40, seed=7).features)


def test_each_action_of_a_sequence_is_compared_with_its_own_text(model):
    motion = model.generate("a person walks, then waves", 80)
    (first, walks), (middle, waves) = motion.segments
    means = [motion.features[first:middle, 0].mean(), motion.features[middle:, 0].mean()]
    expected = np.mean([abs(means[0] - len(walks)), abs(means[1] - len(waves))])
    assert distance(model, motion, Likes()) == pytest.approx(expected, rel=1e-5)


def test_a_model_without_an_evaluator_and_absurd_counts_are_refused(model, monkeypatch):
    with pytest.raises(ValueError, match="no evaluator of .* is shipped"):
        model.generate("a person bows", 40, best_of=2)
    for count in (0, 65):
        with pytest.raises(ValueError, match=f"best_of is {count}"):
            model.generate("a person bows", 40, best_of=count)
    monkeypatch.setitem(model.info, "data", "bandai")
    evaluator = evaluator_of(model)
    assert evaluator.name.startswith("bandai-") and (SHIPPED / "bandai").is_dir()
    how = {"split": False, "temperature": 0.5}
    (expected,) = best_of(model, ["walks, then bows"], 3, 60, 4, evaluator, **how)
    motion = model.generate("walks, then bows", 60, seed=4, best_of=3, **how)
    assert np.array_equal(motion.features, expected.features)
    (again,) = model.generate(["walks, then bows"], 60, seed=4, best_of=3, **how)
    assert np.array_equal(again.features, expected.features)
