"""The showcase: what it measures, that it refuses what is not right, and that it says why."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from figures import showcase
from figures.showcase import HERO, Action, Arguments, around, first_right, measured
from mmm.motion import Motion
from tests.viz.test_strip import moving, standing, waving

WALK = Action("walks", 41, {"speed": around(1.0), "left_arm": (0, 70)})


def walking(metres_per_second: float) -> np.ndarray:
    return moving(np.linspace([0, 0], [0, 2 * metres_per_second], 41)).astype(np.float32)


class Walker:
    """A model whose speed grows with the seed: 0, 0.2, 0.4 m/s, … and that waves in the second action."""

    tokenizer = SimpleNamespace(config=SimpleNamespace(ratio=4))

    def generate(self, text, length, seed):
        return Motion.from_joints(walking(seed / 5), text=text)

    def generate_long(self, texts, lengths, seed):
        return Motion.from_joints(np.concatenate([walking(seed / 5), waving(60)]).astype(np.float32))


def test_a_wave_is_told_from_a_raised_hand_and_left_from_right():
    numbers = measured(waving(60, joint=20))
    assert numbers["left_swings"] >= 5 and numbers["right_swings"] == 0
    assert measured(waving(60, joint=21))["right_swings"] >= 5
    raised = np.repeat(standing()[None], 40, 0)
    raised[:, 20] += np.linspace(0, 1, 40)[:, None] * [-0.4, 1.0, 0]
    assert measured(raised)["left_swings"] == 0 and measured(raised)["left_arm"] > 100


def test_the_first_right_seed_is_taken_and_the_refused_ones_are_kept():
    motion, result = first_right(Walker(), [WALK])
    assert result["seed"] == 5 and len(result["refused"]) == 5  # 1 m/s; 0.8 is more than 15 % less
    assert result["measured"][0]["speed"] == pytest.approx(1.0, abs=0.01) and len(motion) == 41
    assert result["refused"][1]["outside"] == ["speed 0.2 (limits 0.85, 1.15)"]


def test_each_action_of_a_sequence_has_its_own_limits():
    wave = Action("waves", 60, {"left_swings": (4, 99), "speed": (0, 0.1)})
    motion, result = first_right(Walker(), [WALK, wave])
    assert result["seed"] == 5 and [list(numbers) for numbers in result["measured"]] == [
        ["speed", "left_arm"],
        ["left_swings", "speed"],
    ]
    still = wave._replace(limits={"left_swings": (0, 1)})
    assert first_right(Walker(), [WALK, still])[0] is None


def test_a_prompt_that_is_never_right_is_an_error_with_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(showcase.MMM, "from_pretrained", lambda folder: Walker())
    monkeypatch.setattr(showcase, "model_hash", lambda model: "0")
    turn = WALK._replace(text="turns", limits={"turning": (60, 120)})
    with pytest.raises(ValueError, match=r"'turns', seed 15: turning 0.0 \(limits 60, 120\)"):
        Arguments(out=tmp_path).run([[WALK], [turn]])
    assert [path.name for path in tmp_path.iterdir()] == ["showcase.json"]
    right, wrong = json.loads((tmp_path / "showcase.json").read_text())["prompts"]
    assert right["seed"] == 5 and "seed" not in wrong and len(wrong["refused"]) == 16
    Arguments(out=tmp_path).run([[WALK], [WALK]])
    assert {path.name for path in tmp_path.iterdir()} == {"showcase.json", "hero.gif"}


def test_the_prompts_show_a_style_a_sequence_and_two_things_at_once():
    texts = [action.text for actions in HERO for action in actions]
    assert len(HERO) == 6 and any(" while " in text for text in texts)
    assert max(map(len, HERO)) == 3 and any("old" in text for text in texts)
    known = set(measured(standing()[None].repeat(20, 0)))
    assert all(set(action.limits) <= known for actions in HERO for action in actions)
