"""Captions: true to the program, varied, every word with its part of speech."""

import re

import pytest

from mmm.data.captions import format_caption, parse_captions
from mmm.datasets.synthetic.captions import captions, choices, key
from mmm.datasets.synthetic.choreograph import draw_program
from mmm.datasets.synthetic.phrases import PHRASES
from mmm.datasets.synthetic.program import Action, Program, Segment
from mmm.datasets.synthetic.words import inflect, tag

TAGS = set("VERB NOUN DET ADP NUM AUX PRON ADJ ADV CCONJ SCONJ".split())
STAND = Action("stand")


@pytest.fixture(scope="module")
def told():
    return [(program, captions(program)) for program in map(draw_program, range(250))]


def one(legs=STAND, arms=None, seed=0):
    return [c.text for c in captions(Program((Segment(legs, arms, 0, 60),), 60, seed), 8)]


def test_three_or_more_different_captions(told):
    for _, said in told:
        assert len({c.text for c in said}) >= 3


def test_at_least_250_words_with_valid_tags(told):
    words = {w for _, said in told for c in said for w in re.findall(r"[a-z-]+", c.text)}
    assert len(words) >= 250
    assert {t for _, said in told for c in said for _, t in c.words} == TAGS


def test_every_word_is_tagged_in_order(told):
    for _, said in told[:100]:
        for caption in said:
            assert len(caption.words) == len(caption.text.split())
            assert not re.search(r"[<>{}|:A-Z]", caption.text), caption.text
            assert parse_captions(format_caption(caption)) == [caption]


@pytest.mark.parametrize("side", ["left", "right"])
def test_sides_are_always_said_and_never_the_other(side):
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
                said = set(re.findall(r"[a-z]+", text))
                assert said & {side, sense} and other not in said, text


def test_sides_agree_in_whole_programs(told):
    for program, said in told:
        sides = {a.side for s in program.segments for a in (s.legs, s.arms) if a}
        sides |= {a.direction for s in program.segments for a in (s.legs, s.arms) if a}
        looks = any(s.arms and s.arms.name == "look" for s in program.segments)
        for caption in said:
            words = set(re.findall(r"[a-z]+", caption.text))
            assert looks or (words & {"left", "right"}) <= sides, (program, caption.text)


def test_counts_and_speeds_that_are_said_are_true():
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
    assert sum(
        bool(set(t.split()) & slow | ({"speed", "hurry"} & set(t.split()))) for t in texts
    ) > 0.4 * len(texts)


def test_order_in_time_is_the_programs():
    program = Program(
        (Segment(Action("sit"), None, 0, 70), Segment(STAND, Action("clap", count=3), 70, 120)), 120, 1
    )
    for caption in captions(program, 12):
        text = caption.text
        sit = min(m.start() for m in re.finditer(r"\b(sit|seat|chair|stool)", text))
        clap = re.search(r"clap|applau|palms|cheer", text).start()
        turned = re.search(r"\bafter (?!that)", text) and not text.startswith("after")
        assert (sit < clap) != bool(turned), text


def test_all_phrases_have_known_words_and_a_reader():
    for name, phrases in PHRASES.items():
        for phrase in phrases:
            assert "<" in phrase, (name, phrase)
            for word in re.sub(r"<[a-z:-]+>|\{[a-zA-Z]+\}|\|.*|,", " ", phrase).split():
                if word not in ("SIDE", "OTHER", "TURNWISE"):
                    tag(word)
    actions = [Action("turn", direction="left", angle=a) for a in (90, 180, 360)]
    actions += [Action("walk_turn", direction="left", angle=a) for a in (90, 180)]
    for action in actions:
        assert len(choices(action)) >= 3 and key(action) in PHRASES


def test_an_unknown_word_is_refused_by_name():
    with pytest.raises(ValueError, match="'zyzzyva' .* lexicon"):
        tag("zyzzyva")


def test_inflection():
    forms = {
        "sit": "sitting",
        "wave": "waving",
        "carry": "carries",
        "go": "goes",
        "punch": "punches",
        "have": "has",
    }
    for verb, form in forms.items():
        assert inflect(verb, "ing" if form.endswith("ing") else "third") == form
    assert tag("feet") == ("foot", "NOUN") and tag("punches") == ("punch", "NOUN")


def test_left_is_an_adjective_before_a_limb_and_a_direction_elsewhere():
    tags = set()
    for seed in range(20):
        for caption in captions(
            Program((Segment(Action("turn", direction="left", angle=90), None, 0, 40),), 40, seed)
        ):
            tags |= {t for w, t in caption.words if w == "left"}
    hand = captions(Program((Segment(STAND, Action("wave", side="left", count=2), 0, 40),), 40, 0))
    assert {t for c in hand for w, t in c.words if w == "left"} == {"ADJ"}
    assert {"ADV", "NOUN"} <= tags  # "a left turn" has the third
