"""Captions are true to their program, and varied."""

import re

import pytest

from mmm.datasets.synthetic.captions import captions
from mmm.datasets.synthetic.choreograph import draw_program
from mmm.datasets.synthetic.program import Action, Program, Segment

STAND = Action("stand")


@pytest.fixture(scope="module")
def described():
    return [(program, captions(program)) for program in map(draw_program, range(250))]


def one(legs=STAND, arms=None, seed=0):
    return [c.text for c in captions(Program((Segment(legs, arms, 0, 60),), 60, seed), 8)]


def test_every_program_has_several_captions_of_many_words(described):
    texts = [[caption.text for caption in captions] for _, captions in described]
    assert min(len(set(group)) for group in texts) >= 3
    assert len({word for group in texts for text in group for word in re.findall(r"[a-z-]+", text)}) >= 250
    assert not [text for group in texts for text in group if re.search(r"[<>{}|:A-Z]|  ", text)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_sides_are_always_stated_and_never_the_opposite(side):
    other = {"left": "right", "right": "left"}[side]
    sense = {"left": "counterclockwise", "right": "clockwise"}[side]
    actions = [
        (Action("kick", side=side, count=2), None),
        (Action("walk", direction=side), None),
        *((Action(n, direction=side, angle=a), None) for n in ("turn", "walk_turn") for a in (90, 180)),
        (Action("run", direction=side, angle=90), None),
        (Action("walk_curve", direction=side, angle=90), None),
        *((STAND, Action(n, side=side, count=2)) for n in ("wave", "raise", "punch", "throw")),
        (STAND, Action("stretch", side="both", direction=side)),
        (Action("walk", direction="forward"), Action("wave", side=side, count=3)),
    ]
    for legs, arms in actions:
        for seed in range(6):
            for text in one(legs, arms, seed):
                words = set(re.findall(r"[a-z]+", text))
                assert words & {side, sense} and other not in words, text


def test_sides_agree_in_whole_programs(described):
    for program, group in described:
        sides = {a.side for s in program.segments for a in (s.legs, s.arms) if a}
        sides |= {a.direction for s in program.segments for a in (s.legs, s.arms) if a}
        looks = any(s.arms and s.arms.name == "look" for s in program.segments)
        for caption in group:
            words = set(re.findall(r"[a-z]+", caption.text))
            assert looks or (words & {"left", "right"}) <= sides, (program, caption.text)


def test_stated_counts_and_speeds_are_true():
    numbers = {"once": 1, "one": 1, "twice": 2, "two": 2, "three": 3, "four": 4}
    slow = {"slowly", "slow", "lazily", "leisurely", "calmly"}
    fast = {"quickly", "fast", "rapidly", "briskly", "swiftly", "hastily"}
    for seed in range(30):
        for text in one(Action("squat", count=3, speed="slow"), seed=seed):
            words = set(text.split())
            assert not words & fast and {numbers[w] for w in words & set(numbers) if w != "one"} <= {3}
        for text in one(Action("jump", count=1, direction="place"), seed=seed):
            assert not set(text.split()) & {"jumps.", "two", "twice"} and "a jumps" not in text
    texts = [t for seed in range(30) for t in one(Action("squat", count=3, speed="slow"), seed=seed)]
    assert sum("three" in t for t in texts) > 0.4 * len(texts)
    assert sum(bool(set(t.split()) & {*slow, "speed", "hurry"}) for t in texts) > 0.4 * len(texts)


def test_order_in_time_is_the_programs():
    sit, clap = Segment(Action("sit"), None, 0, 70), Segment(STAND, Action("clap", count=3), 70, 120)
    program = Program((sit, clap), 120, 1)
    for caption in captions(program, 12):
        text = caption.text
        sit = min(m.start() for m in re.finditer(r"\b(sit|seat|chair|stool)", text))
        clap = re.search(r"clap|applau|palms|cheer", text).start()
        turned = re.search(r"\bafter (?!that)", text) and not text.startswith("after")
        assert (sit < clap) != bool(turned), text
